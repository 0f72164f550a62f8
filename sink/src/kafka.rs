//! The ports over librdkafka. Thin, because the simulator does not cover this code.

use std::time::Duration;

use runtime::dead_letter::{self, OutgoingDeadLetter};
use runtime::kafka::rdkafka::ClientConfig;
use runtime::kafka::{KafkaSettings, Outgoing, Producer, Subscription, TransactionError};
use runtime::lifecycle::Failure;

use crate::limits::QUEUE_ROOM;
use crate::ports::{DeadLetters, Drained};

/// Joins the group as the task of this number: a static member that reads the vouchers, committed records
/// only. Does not wait for the broker.
///
/// Its `group.instance.id` is new in every process, so two sinks never share one and there is nothing
/// to configure. A static member takes its own place again when it lost its coordinator for longer
/// than a session; a dynamic one would join as a new member, and the group would wait a session for
/// the old one (ADR 0040). It leaves the group when it is closed, as a dynamic member does.
///
/// # Errors
/// Exit code 2 for settings that cannot work.
pub fn join_group(
    settings: &KafkaSettings,
    topic: &str,
    group: &str,
    task: u16,
) -> Result<Subscription, Failure> {
    let mut config = settings.consumer(group)?;
    config.set("group.instance.id", unique_instance_id(task));
    let mut subscription = Subscription::join(&config, topic)?;
    subscription.leave_on_close();
    Ok(subscription)
}

/// Returns an instance id that no other process and no other task has.
fn unique_instance_id(task: u16) -> String {
    format!("sink-{task}-{:032x}", rand::random::<u128>())
}

/// The dead letter topic, through an idempotent producer without transactions.
pub struct KafkaDeadLetters {
    config: ClientConfig,
    topic: String,
    group: String,
    producer: Producer,
}

impl KafkaDeadLetters {
    /// Builds the client. The dead letters name `group`, which they belong to. Does not wait for the
    /// broker.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub fn new(settings: &KafkaSettings, topic: String, group: &str) -> Result<Self, Failure> {
        let config = settings.producer()?;
        Ok(Self {
            producer: Producer::new(&config)?,
            config,
            topic,
            group: group.to_owned(),
        })
    }
}

impl DeadLetters for KafkaDeadLetters {
    fn send(&mut self, dead_letter: &OutgoingDeadLetter<'_>) -> Result<(), String> {
        let headers: Vec<_> = dead_letter
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .chain([(dead_letter::GROUP, Some(self.group.as_bytes()))])
            .collect();
        let outgoing = Outgoing {
            topic: &self.topic,
            key: dead_letter.key,
            value: dead_letter.value,
            headers: &headers,
        };
        match self.producer.send(&outgoing, QUEUE_ROOM) {
            // Reported by `drain`, with those that the broker refuses.
            Err(TransactionError::Abortable(_)) => Ok(()),
            sent => sent.map_err(|error| self.sentence(&error)),
        }
    }

    fn drain(&mut self, timeout: Duration) -> Drained {
        match self.producer.drain(timeout) {
            Ok(()) => Drained::All,
            Err(TransactionError::Retriable(_)) => Drained::NotYet,
            Err(error) => {
                let failed = self.producer.failed();
                let refused = self.producer.take_refused();
                if refused.len() == failed {
                    Drained::Refused(refused)
                } else {
                    Drained::Failed(self.sentence(&error))
                }
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.producer = Producer::new(&self.config)?;
        Ok(())
    }
}

impl KafkaDeadLetters {
    /// Describes the error without its meaning for a transaction, since this producer has none.
    fn sentence(&self, error: &TransactionError) -> String {
        format!("{}: {}", self.topic, error.why())
    }
}
