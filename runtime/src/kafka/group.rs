//! What a group tells one of its members: partitions come and go, inside of the client's poll.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// One assignment of a partition to this member: the same partition that went and came back is
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assigned {
    number: u64,
    /// Since when.
    pub(super) since: Instant,
}

/// Collects what the rebalance callbacks tell, in order.
#[derive(Default)]
pub(super) struct GroupContext {
    changed: AtomicBool,
    changes: Mutex<Vec<AssignmentChange>>,
    /// Ours, but the client does not read them: it was not yet told from where, or they are blocked.
    unplaced: Mutex<BTreeMap<Partition, Assigned>>,
    has_unplaced: AtomicBool,
    /// How often partitions came or went.
    rebalances: AtomicU64,
    /// Since when this member is in no group, having fallen out of it.
    lost_membership: Mutex<Option<Instant>>,
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

    fn lock_unplaced(&self) -> MutexGuard<'_, BTreeMap<Partition, Assigned>> {
        self.unplaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client does not read some of our partitions yet. Asked for every record.
    pub(super) fn has_unplaced(&self) -> bool {
        self.has_unplaced.load(Ordering::Acquire)
    }

    /// Which they are.
    pub(super) fn unplaced(&self) -> BTreeMap<Partition, Assigned> {
        self.lock_unplaced().clone()
    }

    /// The client does not read these, though they are ours.
    pub(super) fn unplace(&self, partitions: impl IntoIterator<Item = Partition>) {
        let assigned = Assigned {
            number: self.rebalances.fetch_add(1, Ordering::AcqRel),
            since: Instant::now(),
        };
        let new = partitions.into_iter().map(|one| (one, assigned));
        self.lock_unplaced().extend(new);
        self.has_unplaced.store(true, Ordering::Release);
    }

    /// A number that is another one after each rebalance.
    pub(super) fn assignment_number(&self) -> u64 {
        self.rebalances.load(Ordering::Acquire)
    }

    /// Since when this member is in no group, having fallen out of it.
    pub(super) fn lost_membership(&self) -> Option<Instant> {
        *self.lock_lost_membership()
    }

    fn lock_lost_membership(&self) -> MutexGuard<'_, Option<Instant>> {
        self.lost_membership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The client reads these now.
    pub(super) fn placed(&self, partitions: impl Iterator<Item = Partition>) {
        let mut unplaced = self.lock_unplaced();
        for partition in partitions {
            unplaced.remove(&partition);
        }
        self.has_unplaced
            .store(!unplaced.is_empty(), Ordering::Release);
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
            self.unplace(numbers.iter().copied());
            *self.lock_lost_membership() = None;
            self.push(AssignmentChange::Assigned(numbers));
            // None yet: see `Subscription::place_when_due`.
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            // It refuses to take away what it was not given.
            let mut given = TopicPartitionList::new();
            for element in partitions.elements() {
                if self.lock_unplaced().remove(&element.partition()).is_none() {
                    given.add_partition(element.topic(), element.partition());
                }
            }
            self.rebalances.fetch_add(1, Ordering::AcqRel);
            if consumer.assignment_lost() {
                self.lock_lost_membership().get_or_insert_with(Instant::now);
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
