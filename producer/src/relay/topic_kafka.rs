//! The order status topic through librdkafka: thin, because what is in here the simulator does not
//! see.

use std::time::Duration;

use runtime::kafka::{KafkaSettings, Outgoing, Producers, TransactionError};
use runtime::lifecycle::Failure;

use super::ports::Log;

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(1);

/// The name that fences, with its `/turn`: the same on every instance that publishes one outbox to
/// this topic.
pub(super) fn transactional_id(topic: &str) -> String {
    format!("{topic}/relay")
}

/// The producers, while this instance has the lock.
pub(super) struct KafkaTopic {
    producers: Producers,
}

impl KafkaTopic {
    /// Does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub(super) fn new(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        let id = transactional_id(topic);
        Ok(Self {
            producers: Producers::new(vec![
                settings.transactional_producer(&id)?,
                settings.transactional_producer(&format!("{id}/turn"))?,
            ]),
        })
    }
}

impl Log for KafkaTopic {
    fn open(&mut self) -> Result<(), String> {
        self.producers.open().map_err(|failure| failure.to_string())
    }

    fn close(&mut self) {
        self.producers.close();
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.init(timeout)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.producers.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producers.current()?.send(record, ROOM)
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.drain(timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.commit(timeout)
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.abort(timeout)
    }
}
