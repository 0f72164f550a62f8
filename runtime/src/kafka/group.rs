//! What a group tells one of its members: partitions come and go, inside of the client's poll.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::subscription::AssignmentChange;
use crate::record::Partition;

/// Collects what the rebalance callbacks tell, in order.
#[derive(Default)]
pub(super) struct GroupContext {
    changed: AtomicBool,
    changes: Mutex<Vec<AssignmentChange>>,
    /// Ours, but the client was not yet told from where to read them.
    unplaced: Mutex<BTreeSet<Partition>>,
    has_unplaced: AtomicBool,
    /// When the client last told that it lost its connection to a broker.
    lost_broker: Mutex<Option<Instant>>,
}

impl GroupContext {
    fn push(&self, change: AssignmentChange) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
        self.changed.store(true, Ordering::Release);
    }

    fn lock_unplaced(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.unplaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client does not read some of our partitions yet. Asked for every record.
    pub(super) fn has_unplaced(&self) -> bool {
        self.has_unplaced.load(Ordering::Acquire)
    }

    /// Which they are.
    pub(super) fn unplaced(&self) -> Vec<Partition> {
        self.lock_unplaced().iter().copied().collect()
    }

    /// The client reads these now. Says whether it reads all that is ours.
    pub(super) fn placed(&self, partitions: impl Iterator<Item = Partition>) -> bool {
        let mut unplaced = self.lock_unplaced();
        for partition in partitions {
            unplaced.remove(&partition);
        }
        self.has_unplaced
            .store(!unplaced.is_empty(), Ordering::Release);
        unplaced.is_empty()
    }

    /// Takes note of an error: whether it is that of a lost connection.
    pub(super) fn note(&self, error: &KafkaError) {
        if let Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut,
        ) = error.rdkafka_error_code()
        {
            *self.lock_lost_broker() = Some(Instant::now());
        }
    }

    /// Whether a broker was away within the last `time`.
    pub(super) fn lost_broker_within(&self, time: Duration) -> bool {
        self.lock_lost_broker()
            .is_some_and(|lost| lost.elapsed() < time)
    }

    fn lock_lost_broker(&self) -> MutexGuard<'_, Option<Instant>> {
        self.lost_broker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The changes since the last call.
    pub(super) fn take(&self) -> Vec<AssignmentChange> {
        // Asked for every record: a look is cheaper than a swap.
        if !self.changed.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.changed.store(false, Ordering::Release);
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka consumer");
        self.note(&error);
    }
}

impl ConsumerContext for GroupContext {
    /// Incremental, as our assignment strategy is.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers = partitions_of(partitions);
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.lock_unplaced().extend(&numbers);
            self.has_unplaced.store(true, Ordering::Release);
            self.push(AssignmentChange::Assigned(numbers));
            // None yet: see `Subscription::place`.
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            // It refuses to take away what it was not given.
            let mut given = TopicPartitionList::new();
            for element in partitions.elements() {
                if !self.lock_unplaced().remove(&element.partition()) {
                    given.add_partition(element.topic(), element.partition());
                }
            }
            self.push(AssignmentChange::Revoked(numbers));
            consumer.incremental_unassign(&given)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance failed; joining again");
        }
    }
}

/// One place for librdkafka's own log lines. Its complaints about connections are debug: whether
/// the broker answers is told by the probe, once, not by every client at every try.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        _ if matches!(
            facility,
            "FAIL" | "ERROR" | "REQTMOUT" | "MAXPOLL" | "SESSTMOUT" | "CONFWARN" | "GETPID"
        ) =>
        {
            tracing::debug!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(facility, message, "librdkafka");
        }
        _ => tracing::debug!(facility, message, "librdkafka"),
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().map(|one| one.partition()).collect()
}
