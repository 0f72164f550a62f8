//! A member of a consumer group that reads one topic, owned by one thread.
//!
//! Rebalances run inside [`Subscription::poll`], on the caller's thread: between two polls the
//! assignment does not change, so a loop that finishes its transaction before it polls again
//! never loses a partition in the middle of one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};

use crate::lifecycle::Failure;
use crate::record::{InputRecord, Partition, Positions};

/// What a rebalance did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentChange {
    /// These partitions are ours from now on, read from their committed offsets.
    Assigned(Vec<Partition>),
    /// These are no longer ours; whatever was read of them and not committed is another's work.
    Revoked(Vec<Partition>),
}

/// What a poll brought.
#[derive(Debug)]
pub enum Polled<R> {
    /// A record.
    Record(R),
    /// Nothing within the time that was given; or an event of the group was handled.
    Nothing,
    /// The client can't go on (fenced, or fatal): build a new one.
    Fatal(String),
}

/// Why offsets were not committed. Neither loses anything: what was done will be done again.
#[derive(Debug, Clone)]
pub enum CommitError {
    /// The group moved on: the partitions may be another's now.
    NotOwner(KafkaError),
    /// The broker did not answer; a later commit makes up for it.
    Unavailable(KafkaError),
}

/// A group member's connection to its topic.
pub struct Subscription {
    consumer: BaseConsumer<GroupContext>,
    topic: String,
    paused: bool,
    progress: Progress,
}

/// What the last polls told.
#[derive(Default)]
struct Progress {
    changes: Vec<AssignmentChange>,
    /// Partitions whose position in the client is true. librdkafka keeps the position of before
    /// through a seek and a rebalance, until the next record or the partition's end is handed out.
    exact: BTreeSet<Partition>,
    /// The one that was made exact last: spares the set a look-up per record.
    last: Option<Partition>,
}

impl Progress {
    /// Takes over what rebalances did during a poll.
    fn follow(&mut self, context: &GroupContext) {
        for change in context.take() {
            if let AssignmentChange::Revoked(partitions) = &change {
                self.forget(partitions.iter());
            }
            self.changes.push(change);
        }
    }

    fn reached(&mut self, partition: Partition) {
        if self.last != Some(partition) {
            self.exact.insert(partition);
            self.last = Some(partition);
        }
    }

    fn forget<'a>(&mut self, partitions: impl Iterator<Item = &'a Partition>) {
        self.last = None;
        for partition in partitions {
            self.exact.remove(partition);
        }
    }
}

/// At least `time`: the client waits in whole milliseconds, and its wrapper spins through the rest.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(time.as_micros().div_ceil(1000) as u64)
}

/// Collects what the rebalance callbacks tell, in order.
#[derive(Default)]
struct GroupContext {
    changed: AtomicBool,
    changes: Mutex<Vec<AssignmentChange>>,
}

impl GroupContext {
    fn push(&self, change: AssignmentChange) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
        self.changed.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<AssignmentChange> {
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
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            // librdkafka keeps a partition paused through its revocation: when it came back, nobody
            // would resume it, and it would be ours without ever being read.
            if let Err(error) = consumer.resume(partitions) {
                tracing::warn!(%error, "can't resume what is revoked");
            }
            self.push(AssignmentChange::Revoked(partitions_of(partitions)));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                self.push(AssignmentChange::Assigned(partitions_of(partitions)));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed; joining again"),
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

impl Subscription {
    /// Joins the group of `config` and subscribes to `topic`. Does not wait for the broker.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn join(config: &ClientConfig, topic: &str) -> Result<Self, Failure> {
        let consumer: BaseConsumer<GroupContext> = config
            .create_with_context(GroupContext::default())
            .map_err(|error| Failure::bad_setting(format!("Kafka consumer: {error}")))?;
        consumer
            .subscribe(&[topic])
            .map_err(|error| Failure::bad_setting(format!("Kafka consumer: {error}")))?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            paused: false,
            progress: Progress::default(),
        })
    }

    /// The next record, waiting for it up to `timeout`. Resumes what was paused.
    pub fn poll(&mut self, timeout: Duration) -> Polled<BorrowedMessage<'_>> {
        self.resume();
        self.poll_as_is(timeout)
    }

    fn poll_as_is(&mut self, timeout: Duration) -> Polled<BorrowedMessage<'_>> {
        let mut timeout = whole_millis(timeout);
        loop {
            let event = self.consumer.poll(timeout);
            self.progress.follow(self.consumer.context());
            match event {
                None => return Polled::Nothing,
                Some(Ok(message)) => {
                    self.progress.reached(InputRecord::partition(&message));
                    return Polled::Record(message);
                }
                // Other partitions may have records at hand.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.progress.reached(partition);
                    timeout = Duration::ZERO;
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let cause = self
                        .consumer
                        .client()
                        .fatal_error()
                        .map_or_else(|| code.to_string(), |(_, reason)| reason);
                    return Polled::Fatal(cause);
                }
                // Anything else passes by itself: lost connections, an unknown topic that may still
                // be created, a poll that came late. The client goes on, and so do we.
                Some(Err(error)) => {
                    tracing::debug!(%error, topic = self.topic, "poll");
                    return Polled::Nothing;
                }
            }
        }
    }

    /// What rebalances did since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.progress.follow(self.consumer.context());
        std::mem::take(&mut self.progress.changes)
    }

    /// Stays a member of the group for `time` while the loop waits for something else: partitions
    /// are paused, polling goes on, no record is taken.
    pub fn keep_alive(&mut self, time: Duration) {
        if let Ok(assignment) = self.consumer.assignment()
            && assignment.count() > 0
            && let Err(error) = self.consumer.pause(&assignment)
        {
            tracing::debug!(%error, "pause");
        }
        self.paused = true;
        // A partition that was assigned this very moment may still hand out a record: put it back.
        let early = match self.poll_as_is(time) {
            Polled::Record(record) => Some((
                InputRecord::partition(&record),
                InputRecord::offset(&record),
            )),
            Polled::Nothing | Polled::Fatal(_) => None,
        };
        if let Some((partition, offset)) = early
            && let Err(error) = self.seek(
                &Positions::from([(partition, offset)]),
                Duration::from_secs(5),
            )
        {
            tracing::warn!(%error, partition, offset, "can't put a record back");
        }
    }

    fn resume(&mut self) {
        if !self.paused {
            return;
        }
        if let Ok(assignment) = self.consumer.assignment()
            && let Err(error) = self.consumer.resume(&assignment)
        {
            tracing::warn!(%error, "resume");
            return;
        }
        self.paused = false;
    }

    /// Reads again from `positions` on.
    ///
    /// # Errors
    /// When a partition is not ours any more, or its leader does not answer.
    pub fn seek(&mut self, positions: &Positions, timeout: Duration) -> Result<(), KafkaError> {
        if positions.is_empty() {
            return Ok(());
        }
        // Resuming goes back to the position of before the pause, so it comes first.
        self.resume();
        self.progress.forget(positions.keys());
        let sought = self
            .consumer
            .seek_partitions(self.list(positions)?, timeout)?;
        for element in sought.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// Reads every assigned partition again from its committed offset, or from its beginning.
    ///
    /// # Errors
    /// When the broker does not answer within `timeout`: call again.
    pub fn rewind(&mut self, timeout: Duration) -> Result<Positions, KafkaError> {
        self.resume();
        let committed = self.consumer.committed(timeout)?;
        let mut list = TopicPartitionList::new();
        let mut positions = Positions::new();
        for element in committed.elements_for_topic(&self.topic) {
            element.error()?;
            let offset = match element.offset() {
                KafkaOffset::Offset(offset) => {
                    positions.insert(element.partition(), offset);
                    KafkaOffset::Offset(offset)
                }
                _ => KafkaOffset::Beginning,
            };
            self.progress.forget(std::iter::once(&element.partition()));
            list.add_partition_offset(&self.topic, element.partition(), offset)?;
        }
        if list.count() > 0 {
            for element in self.consumer.seek_partitions(list, timeout)?.elements() {
                element.error()?;
            }
        }
        Ok(positions)
    }

    /// The next offsets to read, past control records that were stepped over; only of partitions
    /// of which something was read, or the end reached, since they were assigned or sought.
    pub fn positions(&self) -> Positions {
        let Ok(list) = self.consumer.position() else {
            return Positions::new();
        };
        list.elements_for_topic(&self.topic)
            .into_iter()
            .filter_map(|element| match element.offset() {
                KafkaOffset::Offset(offset)
                    if self.progress.exact.contains(&element.partition()) =>
                {
                    Some((element.partition(), offset))
                }
                _ => None,
            })
            .collect()
    }

    /// Commits `positions` and waits for the answer.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&self, positions: &Positions) -> Result<(), CommitError> {
        if positions.is_empty() {
            return Ok(());
        }
        let list = self.list(positions).map_err(CommitError::Unavailable)?;
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::FencedInstanceId,
                ) => CommitError::NotOwner(error),
                _ => CommitError::Unavailable(error),
            })
    }

    /// Offsets as a transaction takes them.
    ///
    /// # Errors
    /// When an offset is negative, which no record has.
    pub fn list(&self, positions: &Positions) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            list.add_partition_offset(&self.topic, *partition, KafkaOffset::Offset(*offset))?;
        }
        Ok(list)
    }

    /// This member's identity and generation at this moment: what fences a zombie's offsets.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }
}
