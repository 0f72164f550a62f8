//! A member of a consumer group that reads one topic, owned by one thread.
//!
//! Rebalances run inside [`Subscription::poll`], on the caller's thread: between two polls the
//! assignment does not change, so a loop that finishes its transaction before it polls again
//! never loses a partition in the middle of one.
//!
//! Partitions are never paused: records come through a queue of their own, which nobody has to look
//! into while the group is polled. What the client fetches ahead stays there, within its bounds.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};

use super::fetch_queue::{FetchQueue, Fetched, FetchedRecord};
use super::group::GroupContext;
use super::progress::Progress;
use crate::lifecycle::Failure;
use crate::record::{Partition, Positions};

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

/// What the client had to tell beside records.
enum Served {
    Nothing,
    /// Something, and it is dealt with.
    Event,
    /// It can't go on.
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

/// While records come one after the other, the client's events are looked at this often.
const RECORDS_UNTIL_EVENTS: u32 = 500;

/// A broker that was away within this time may still be loading the group.
const LATELY: Duration = Duration::from_secs(10);

/// What it tells meanwhile has changed after this long.
const SETTLED: Duration = Duration::from_secs(2);

/// A group member's connection to its topic.
pub struct Subscription {
    queue: FetchQueue<GroupContext>,
    topic: String,
    progress: Progress,
    /// So many records later the client's events are looked at.
    records_until_events: u32,
    /// Why the client can't go on, to be told by the next poll.
    fatal: Option<String>,
    /// No earlier are partitions placed that could not be.
    place_at: Option<Instant>,
    /// The offsets that the group told last while they were in doubt, and since when it tells them.
    doubted: Option<(Instant, Vec<(Partition, KafkaOffset)>)>,
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
            queue: FetchQueue::of(consumer),
            topic: topic.to_owned(),
            progress: Progress::default(),
            records_until_events: 0,
            fatal: None,
            place_at: None,
            doubted: None,
        })
    }

    /// The next record, waiting for it up to `timeout`.
    pub fn poll(&mut self, timeout: Duration) -> Polled<FetchedRecord<'_>> {
        if let Some(why) = self.fatal.take() {
            return Polled::Fatal(why);
        }
        if self.records_until_events == 0 {
            // Without a partition there is nothing else to wait for.
            let wait = if self.progress.placed.is_empty() {
                timeout
            } else {
                Duration::ZERO
            };
            match self.serve(wait) {
                // Only now: behind one event there may be others, and none of them wakes anybody.
                Served::Nothing => self.records_until_events = RECORDS_UNTIL_EVENTS,
                Served::Event => return Polled::Nothing,
                Served::Fatal(why) => return Polled::Fatal(why),
            }
        }
        let timeout = if self.progress.placed.is_empty() {
            Duration::ZERO
        } else {
            whole_millis(timeout)
        };
        self.take(timeout)
    }

    /// The next record that the client has at hand. The group is not served: no rebalance happens.
    pub fn poll_at_hand(&mut self) -> Polled<FetchedRecord<'_>> {
        self.take(Duration::ZERO)
    }

    fn take(&mut self, mut timeout: Duration) -> Polled<FetchedRecord<'_>> {
        loop {
            match self.queue.next(timeout) {
                Fetched::Record(partition, offset) => {
                    self.records_until_events = self.records_until_events.saturating_sub(1);
                    if self.progress.pass(partition, offset) {
                        return Polled::Record(self.queue.record());
                    }
                }
                Fetched::End(partition, end) => {
                    self.progress.reached(partition, end);
                }
                Fetched::Nothing => {
                    self.records_until_events = 0;
                    return Polled::Nothing;
                }
                // It passes by itself, or a partition that is unknown may still be created.
                Fetched::Error(error) => {
                    self.records_until_events = 0;
                    self.note(&error);
                    return Polled::Nothing;
                }
            }
            // Other partitions may have records at hand.
            timeout = Duration::ZERO;
        }
    }

    /// Serves what the client has to tell beside records, waiting for it up to `timeout`; rebalances
    /// above all.
    fn serve(&mut self, timeout: Duration) -> Served {
        self.place_when_due();
        let event = self.queue.client().poll(timeout);
        let event = event.map(|polled| polled.map(drop));
        if self.follow() {
            return Served::Event;
        }
        match event {
            None => Served::Nothing,
            // No partition is read that was not led to the queue of records. If one is all the same,
            // this record must not be lost: all is read again by a new client.
            Some(Ok(_)) => Served::Fatal("a record came among the events".to_owned()),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let fatal = self.queue.client().client().fatal_error();
                Served::Fatal(fatal.map_or_else(|| code.to_string(), |(_, reason)| reason))
            }
            // Anything else passes by itself: lost connections, an unknown topic that may still
            // be created, a poll that came late. The client goes on, and so do we.
            Some(Err(error)) => {
                self.note(&error);
                Served::Event
            }
        }
    }

    /// Takes over what rebalances did. Says whether they did anything.
    fn follow(&mut self) -> bool {
        let changes = self.queue.client().context().take();
        for change in &changes {
            if let AssignmentChange::Revoked(partitions) = change {
                for partition in partitions {
                    self.progress.forget(*partition);
                    self.progress.placed.remove(partition);
                }
            }
        }
        let any = !changes.is_empty();
        self.progress.changes.extend(changes);
        any
    }

    fn note(&self, error: &KafkaError) {
        self.queue.client().context().note(error);
        tracing::debug!(%error, topic = self.topic, "poll");
    }

    /// Whether partitions are ours that are not read yet, because the group has not told their offsets.
    pub fn has_unplaced(&self) -> bool {
        self.queue.client().context().has_unplaced()
    }

    fn place_when_due(&mut self) {
        if self.queue.client().context().has_unplaced()
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
        let unplaced = self.queue.client().context().unplaced();
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
            self.queue.lead(&self.topic, *partition)?;
        }
        self.queue.client().incremental_assign(&list)?;
        let placed = told.iter().map(|(partition, _)| *partition);
        self.progress.placed.extend(placed);
        let context = self.queue.client().context();
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
        if !self.queue.client().context().lost_broker_within(LATELY) {
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
        let committed = self.queue.client().committed_offsets(asked, timeout)?;
        let elements = committed.elements();
        let offsets = elements.iter().map(|element| {
            element.error()?;
            Ok((element.partition(), from_committed(element.offset())))
        });
        offsets.collect()
    }

    /// What rebalances did since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.follow();
        std::mem::take(&mut self.progress.changes)
    }

    /// Stays a member of the group for `time` while the loop waits for something else: no record is
    /// taken.
    pub fn keep_alive(&mut self, time: Duration) {
        match self.serve(whole_millis(time)) {
            Served::Nothing => {}
            Served::Event => self.records_until_events = 0,
            // The client says it once.
            Served::Fatal(why) => self.fatal = Some(why),
        }
    }

    /// Reads every assigned partition again from its committed offset, or from its beginning.
    ///
    /// # Errors
    /// When the broker does not answer within `timeout`: call again.
    pub fn rewind(&mut self, timeout: Duration) -> Result<Positions, KafkaError> {
        let mut told = Vec::new();
        let committed = self.queue.client().committed(timeout)?;
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
            self.progress.forget(partition);
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        if list.count() > 0 {
            let sought = self.queue.client().seek_partitions(list, timeout)?;
            for element in sought.elements() {
                element.error()?;
            }
        }
        Ok(positions)
    }

    /// The next offsets to read, past control records that were stepped over; only of partitions
    /// of which something was read, or the end reached, since they were assigned or sought.
    pub fn positions(&self) -> Positions {
        self.progress.positions()
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
        self.queue
            .client()
            .commit(&list, CommitMode::Sync)
            .map_err(|error| match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::FencedInstanceId
                    // The next poll tells it, which a loop that waits to commit never does.
                    | RDKafkaErrorCode::Fatal,
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
        self.queue.client().group_metadata()
    }
}
