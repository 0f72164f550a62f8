//! The order status topic through librdkafka: thin, because what is in here the simulator does not
//! see.

use std::time::Duration;

use runtime::kafka::rdkafka::ClientConfig;
use runtime::kafka::{KafkaSettings, Outgoing, Producer, TransactionError};
use runtime::lifecycle::Failure;

use super::ports::Log;

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(1);

/// The name that fences: the same on every instance that publishes one outbox to this topic.
pub(super) fn transactional_id(topic: &str) -> String {
    format!("{topic}/relay")
}

/// The producer, while this instance has the lock.
pub(super) struct KafkaTopic {
    config: ClientConfig,
    producer: Option<Producer>,
}

impl KafkaTopic {
    /// Does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub(super) fn new(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        Ok(Self {
            config: settings.transactional_producer(&transactional_id(topic))?,
            producer: None,
        })
    }

    fn producer(&self) -> Result<&Producer, TransactionError> {
        self.producer
            .as_ref()
            .ok_or_else(|| TransactionError::Fatal("there is no producer".to_owned()))
    }
}

impl Log for KafkaTopic {
    fn open(&mut self) -> Result<(), String> {
        // The old one first: two of one name in one process would only fence each other.
        self.producer = None;
        self.producer = Some(Producer::new(&self.config).map_err(|failure| failure.to_string())?);
        Ok(())
    }

    fn close(&mut self) {
        self.producer = None;
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer()?.init(timeout)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.producer()?.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producer()?.send(record, ROOM)
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer()?.drain(timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer()?.commit(timeout)
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer()?.abort(timeout)
    }
}
