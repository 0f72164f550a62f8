//! The order status topic through librdkafka. Kept thin, because the simulator does not cover this
//! code.

use std::time::Duration;

use runtime::kafka::{KafkaSettings, Outgoing, Producers, TransactionError};
use runtime::lifecycle::Failure;

use super::limits::QUEUE_ROOM;
use super::outbox_name::OutboxName;
use super::ports::Topic;

/// Returns the first transactional id; the second one is this with `/turn` appended. All instances that
/// publish one outbox to this topic use the same ids, and each outbox has its own.
fn transactional_id(topic: &str, outbox: Option<&OutboxName>) -> String {
    match outbox {
        None => format!("{topic}/relay"),
        Some(name) => format!("{topic}/relay/{name}"),
    }
}

/// The producers of an instance that has the lock.
pub(super) struct KafkaTopic {
    producers: Producers,
}

impl KafkaTopic {
    /// Builds the port. Does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub(super) fn new(
        settings: &KafkaSettings,
        topic: &str,
        outbox: Option<&OutboxName>,
    ) -> Result<Self, Failure> {
        let id = transactional_id(topic, outbox);
        Ok(Self {
            producers: Producers::new(vec![
                settings.transactional_producer(&id)?,
                settings.transactional_producer(&format!("{id}/turn"))?,
            ]),
        })
    }
}

impl Topic for KafkaTopic {
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
        self.producers.current()?.send(record, QUEUE_ROOM)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outbox_has_its_own_ids_and_the_unnamed_one_keeps_the_original_id() {
        assert_eq!(transactional_id("order-status", None), "order-status/relay");
        let name = "eu".parse().ok();
        let id = transactional_id("order-status", name.as_ref());
        assert_eq!(id, "order-status/relay/eu");
    }
}
