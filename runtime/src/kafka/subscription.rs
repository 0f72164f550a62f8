//! A member of a consumer group that reads one topic, owned by one thread.
//!
//! Rebalances run inside [`Subscription::poll`], on the caller's thread: between two polls the
//! assignment does not change, so a loop that finishes its transaction before it polls again
//! never loses a partition in the middle of one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};

use super::group::GroupContext;
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

/// How long the question for the offsets of all new partitions may take.
const PLACE_TIMEOUT: Duration = Duration::from_millis(200);

/// How long that for one of them may, when not all were told.
const PLACE_ONE_TIMEOUT: Duration = Duration::from_millis(100);

/// How soon it is asked again for those that were not told.
const PLACE_AGAIN: Duration = Duration::from_millis(500);

/// A broker that was away within this time may still be loading the group.
const LATELY: Duration = Duration::from_secs(10);

/// What it tells meanwhile has changed after this long.
const SETTLED: Duration = Duration::from_secs(2);

/// A group member's connection to its topic.
pub struct Subscription {
    consumer: BaseConsumer<GroupContext>,
    topic: String,
    paused: bool,
    progress: Progress,
    /// No earlier are partitions placed that could not be.
    place_at: Option<Instant>,
    /// The offsets that the group told last while they were in doubt, and since when it tells them.
    doubted: Option<(Instant, Vec<(Partition, KafkaOffset)>)>,
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

/// A partition of which nothing was committed is read from its beginning.
const fn from_committed(offset: KafkaOffset) -> KafkaOffset {
    match offset {
        KafkaOffset::Offset(offset) => KafkaOffset::Offset(offset),
        _ => KafkaOffset::Beginning,
    }
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
            place_at: None,
            doubted: None,
        })
    }

    /// The next record, waiting for it up to `timeout`. Resumes what was paused.
    pub fn poll(&mut self, timeout: Duration) -> Polled<BorrowedMessage<'_>> {
        self.resume();
        self.poll_as_is(timeout)
    }

    fn poll_as_is(&mut self, timeout: Duration) -> Polled<BorrowedMessage<'_>> {
        self.place_when_due();
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
                    self.consumer.context().note(&error);
                    tracing::debug!(%error, topic = self.topic, "poll");
                    return Polled::Nothing;
                }
            }
        }
    }

    fn place_when_due(&mut self) {
        if self.consumer.context().has_unplaced()
            && self.place_at.is_none_or(|at| at <= Instant::now())
        {
            self.place_at = match self.place() {
                Ok(()) => None,
                Err(error) => {
                    tracing::debug!(%error, "the offsets of new partitions are not known yet");
                    Some(Instant::now() + PLACE_AGAIN)
                }
            };
        }
    }

    /// Begins to read what is ours, from the group's committed offsets or from the beginning.
    ///
    /// librdkafka would do so by itself. But an offset that an open transaction holds back
    /// (`UNSTABLE_OFFSET_COMMIT`) comes as none, and when the assignment changes while it is asked
    /// for, it is taken for none (`rd_kafka_assignment_apply_offsets`, as of 2.12): the partition
    /// would be read from its beginning, and each of its records have its outcome twice.
    fn place(&mut self) -> Result<(), KafkaError> {
        let unplaced = self.consumer.context().unplaced();
        let told = match self.offsets_of(&unplaced, PLACE_TIMEOUT) {
            Ok(told) => told,
            // One that isn't told holds back the answer of all.
            Err(_) if unplaced.len() > 1 => unplaced
                .iter()
                .filter_map(|one| self.offsets_of(&[*one], PLACE_ONE_TIMEOUT).ok())
                .flatten()
                .collect(),
            Err(error) => return Err(error),
        };
        self.trust(&told)?;
        let mut list = TopicPartitionList::with_capacity(told.len());
        for (partition, offset) in &told {
            list.add_partition_offset(&self.topic, *partition, *offset)?;
        }
        self.consumer.incremental_assign(&list)?;
        let context = self.consumer.context();
        if context.placed(told.iter().map(|(partition, _)| *partition)) {
            Ok(())
        } else {
            Err(KafkaError::OffsetFetch(
                RDKafkaErrorCode::UnstableOffsetCommit,
            ))
        }
    }

    /// Doubts what the group tells soon after a broker was away, until it has told the same for a
    /// while: a coordinator that restarts may answer from a group that it has loaded in part, with
    /// offsets of long ago. (Kafka 4.3, `CoordinatorRuntime`: a load that was given up because the
    /// leadership moved on makes the next one, which is still going on, count as done.)
    fn trust(&mut self, told: &[(Partition, KafkaOffset)]) -> Result<(), KafkaError> {
        if !self.consumer.context().lost_broker_within(LATELY) {
            self.doubted = None;
            return Ok(());
        }
        match &self.doubted {
            Some((since, same)) if same == told => {
                if since.elapsed() >= SETTLED {
                    return Ok(());
                }
            }
            _ => self.doubted = Some((Instant::now(), told.to_vec())),
        }
        Err(KafkaError::OffsetFetch(
            RDKafkaErrorCode::CoordinatorLoadInProgress,
        ))
    }

    /// From where the group reads these partitions; of all of them, or an error.
    fn offsets_of(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<(Partition, KafkaOffset)>, KafkaError> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            asked.add_partition(&self.topic, *partition);
        }
        let committed = self.consumer.committed_offsets(asked, timeout)?;
        let elements = committed.elements();
        let offsets = elements.iter().map(|element| {
            element.error()?;
            Ok((element.partition(), from_committed(element.offset())))
        });
        offsets.collect()
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
        let mut told = Vec::new();
        let committed = self.consumer.committed(timeout)?;
        for element in committed.elements_for_topic(&self.topic) {
            element.error()?;
            told.push((element.partition(), from_committed(element.offset())));
        }
        self.trust(&told)?;
        let mut list = TopicPartitionList::new();
        let mut positions = Positions::new();
        for (partition, offset) in told {
            if let KafkaOffset::Offset(offset) = offset {
                positions.insert(partition, offset);
            }
            self.progress.forget(std::iter::once(&partition));
            list.add_partition_offset(&self.topic, partition, offset)?;
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
