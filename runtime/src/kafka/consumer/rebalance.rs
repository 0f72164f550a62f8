//! Rebalances: the client's callbacks, which say which partitions are assigned and revoked.
//!
//! The client calls them inside its poll, so on the thread of the loop. Its other callbacks come from
//! threads of its own, hence the locks.

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

use crate::kafka::client_log;
use crate::record::Partition;

/// What a rebalance did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentChange {
    /// These partitions now belong to this member, and are read from their committed offsets.
    Assigned(Vec<Partition>),
    /// These partitions no longer belong to this member. Another member processes the records of them
    /// that were read and not committed.
    Revoked(Vec<Partition>),
}

/// One assignment of a partition. The same partition, revoked and assigned again, has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment {
    epoch: u64,
    /// Since when the partition is pending.
    pub(super) since: Instant,
}

/// The consumer's context: collects what the client's callbacks say.
#[derive(Default)]
pub(super) struct RebalanceContext {
    has_changes: AtomicBool,
    changes: Mutex<Vec<AssignmentChange>>,
    /// Assigned partitions that the client does not fetch: their start offset is not known yet, or
    /// they are halted.
    pending: Mutex<BTreeMap<Partition, Assignment>>,
    has_pending: AtomicBool,
    /// Counts the changes of what the client fetches, so that an answer to an older request can be
    /// recognized.
    epoch: AtomicU64,
    /// Since when this member is in no group, having lost its membership.
    membership_lost: Mutex<Option<Instant>>,
    /// When the client last reported a lost connection to a broker.
    connection_lost: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RebalanceContext {
    /// Returns whether any assigned partition is pending. Cheap: called for every poll of events.
    pub(super) fn has_pending(&self) -> bool {
        self.has_pending.load(Ordering::Acquire)
    }

    /// Returns the assigned partitions that the client does not fetch.
    pub(super) fn pending(&self) -> BTreeMap<Partition, Assignment> {
        lock(&self.pending).clone()
    }

    /// Notes that the client does not fetch these partitions, though they are assigned.
    pub(super) fn set_pending(&self, partitions: impl IntoIterator<Item = Partition>) {
        let assignment = Assignment {
            epoch: self.epoch.fetch_add(1, Ordering::AcqRel),
            since: Instant::now(),
        };
        let new = partitions.into_iter().map(|one| (one, assignment));
        self.change_pending(|pending| pending.extend(new));
    }

    fn change_pending<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<Partition, Assignment>) -> T,
    ) -> T {
        let mut pending = lock(&self.pending);
        let changed = change(&mut pending);
        self.has_pending
            .store(!pending.is_empty(), Ordering::Release);
        changed
    }

    /// Notes that the client fetches these partitions now.
    pub(super) fn set_fetched(&self, partitions: impl Iterator<Item = Partition>) {
        self.change_pending(|pending| {
            for partition in partitions {
                pending.remove(&partition);
            }
        });
    }

    /// Returns a number that changes with each change of what the client fetches.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Returns since when this member is in no group, having lost its membership.
    pub(super) fn membership_lost_since(&self) -> Option<Instant> {
        *lock(&self.membership_lost)
    }

    /// Remembers when a connection was lost, if that is what this error says.
    pub(super) fn note_error(&self, error: &KafkaError) {
        if let Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut,
        ) = error.rdkafka_error_code()
        {
            *lock(&self.connection_lost) = Some(Instant::now());
        }
    }

    /// Returns whether a connection to a broker was lost within the last `time`.
    pub(super) fn connection_lost_within(&self, time: Duration) -> bool {
        lock(&self.connection_lost).is_some_and(|lost| lost.elapsed() < time)
    }

    /// Takes what rebalances did since the last call, in order.
    pub(super) fn take_changes(&self) -> Vec<AssignmentChange> {
        // Most calls find no change, and a load is cheaper than the lock.
        if !self.has_changes.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.has_changes.store(false, Ordering::Release);
        std::mem::take(&mut *lock(&self.changes))
    }

    fn push_change(&self, change: AssignmentChange) {
        lock(&self.changes).push(change);
        self.has_changes.store(true, Ordering::Release);
    }
}

impl ClientContext for RebalanceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka consumer");
        self.note_error(&error);
    }
}

impl ConsumerContext for RebalanceContext {
    /// Assigns and unassigns incrementally, as the cooperative assignment strategy requires.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let elements = partitions.elements();
        let numbers: Vec<_> = elements.iter().map(|one| one.partition()).collect();
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.set_pending(numbers.iter().copied());
            *lock(&self.membership_lost) = None;
            self.push_change(AssignmentChange::Assigned(numbers));
            // Nothing is fetched yet: `start_offsets` does that once the offsets are known.
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            // The client refuses to unassign what it does not fetch.
            let mut fetched = TopicPartitionList::new();
            for element in elements {
                let partition = element.partition();
                let was_pending = self.change_pending(|pending| pending.remove(&partition));
                if was_pending.is_none() {
                    fetched.add_partition(element.topic(), element.partition());
                }
            }
            self.epoch.fetch_add(1, Ordering::AcqRel);
            if consumer.assignment_lost() {
                lock(&self.membership_lost).get_or_insert_with(Instant::now);
            }
            self.push_change(AssignmentChange::Revoked(numbers));
            consumer.incremental_unassign(&fetched)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance failed; joining the group again");
        }
    }
}
