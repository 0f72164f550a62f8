//! A member of a consumer group that reads one topic, owned by one thread.
//!
//! Rebalances run inside [`Subscription::poll`], on the caller's thread: between two polls the
//! assignment does not change, so a loop that finishes its transaction before it polls again
//! never loses a partition in the middle of one.
//!
//! Calls of the client that can wait are made beside the loop, or with a limit of ours: the group's
//! offsets ([`committed`](super::committed)), the ends of partitions ([`ends`](super::ends)), commits
//! and the closing of the client.
//!
//! Partitions are never paused: records come through a queue of their own, which nobody has to look
//! into while the group is polled. What the client fetches ahead stays there, within its bounds.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};

use super::blocked::{Blocked, BlockedPartitions, Cause};
use super::ends::{Ends, Found};
use super::fetch_queue::{FetchQueue, Fetched, FetchedRecord};
use super::group::GroupContext;
use super::placement::Placement;
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

/// How long the coordinator may take to answer a commit.
const COMMIT: Duration = Duration::from_secs(5);

/// A member that is in no group for this long is told.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// How often it is looked whether partitions are blocked.
const HEALTH: Duration = Duration::from_millis(250);

/// While records come one after the other, the client's events are looked at this often.
const RECORDS_UNTIL_EVENTS: u32 = 500;

/// The label of [`Cause::EndUnknown`].
const END_UNKNOWN: &str = "end_unknown";

/// A group member's connection to its topic.
pub struct Subscription {
    pub(super) queue: FetchQueue<GroupContext>,
    pub(super) topic: String,
    pub(super) progress: Progress,
    pub(super) placement: Placement,
    pub(super) blocked: BlockedPartitions,
    ends: Ends,
    /// When it is looked next whether partitions are blocked.
    health_at: Instant,
    /// So many records later the client's events are looked at.
    records_until_events: u32,
    /// Why the client can't go on, to be told by the next poll.
    fatal: Option<String>,
}

/// At least `time`: the client waits in whole milliseconds, and its wrapper spins through the rest.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(time.as_micros().div_ceil(1000) as u64)
}

impl Subscription {
    /// Joins the group of `config` and subscribes to `topic`. Does not wait for the broker.
    /// A static member keeps its place in the group when the subscription is dropped, unless
    /// [`leaves_on_close`](Self::leaves_on_close) says otherwise.
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
            placement: Placement::default(),
            blocked: BlockedPartitions::default(),
            ends: Ends::default(),
            health_at: Instant::now(),
            records_until_events: 0,
            fatal: None,
        })
    }

    /// Has this member leave the group when the subscription is dropped, so that the other members
    /// take over its partitions at once.
    #[must_use]
    pub fn leaves_on_close(mut self) -> Self {
        self.queue.leave_on_close();
        self
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
                    if !self.blocked.is_empty() {
                        self.flows(partition);
                    }
                }
                Fetched::Nothing => {
                    self.records_until_events = 0;
                    self.ends.note_idle();
                    return Polled::Nothing;
                }
                Fetched::Error(error) => {
                    self.records_until_events = 0;
                    self.fetch_failed(error);
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
        self.look_at_health();
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
                    self.placement.revoked(*partition);
                    self.blocked.end(Some(*partition));
                }
            }
        }
        if self.progress.placed.is_empty() {
            // Nothing is asked any more that could end it.
            self.blocked.end_if(None, END_UNKNOWN);
        }
        let any = !changes.is_empty();
        self.progress.changes.extend(changes);
        any
    }

    pub(super) fn note(&self, error: &KafkaError) {
        self.queue.client().context().note(error);
        tracing::debug!(%error, topic = self.topic, "poll");
    }

    /// Keeps [`blocked`](Self::blocked) true.
    fn look_at_health(&mut self) {
        let now = Instant::now();
        if now < self.health_at {
            return;
        }
        self.health_at = now + HEALTH;
        let lost = self.queue.client().context().lost_membership();
        match lost {
            Some(since) if since.elapsed() >= LOST_AFTER => self.all_blocked(Cause::NotAMember),
            Some(_) => {}
            None => self.blocked.end_if(None, Cause::NotAMember.as_str()),
        }
        for (partition, offset) in self.blocked.standing() {
            if self
                .progress
                .next_of(partition)
                .is_some_and(|next| next > offset)
            {
                self.flows(partition);
            }
        }
        let progress = &self.progress;
        let found = self
            .ends
            .look(self.queue.client(), &self.topic, || progress.standing());
        if let Some(found) = found {
            self.note_ends(found);
        }
    }

    fn note_ends(&mut self, found: Found) {
        match found.unknown {
            Some(why) => self.all_blocked(Cause::EndUnknown { why }),
            None => self.blocked.end_if(None, END_UNKNOWN),
        }
        let standing = self.progress.standing();
        for (partition, end) in found.standing {
            if self.blocked.get(partition).is_none() {
                self.blocked.begin(Blocked {
                    topic: self.topic.clone(),
                    partition: Some(partition),
                    offset: standing.get(&partition).copied(),
                    cause: Cause::NoProgress { end },
                });
            }
        }
    }

    fn all_blocked(&mut self, cause: Cause) {
        self.blocked.begin(Blocked {
            topic: self.topic.clone(),
            partition: None,
            offset: None,
            cause,
        });
    }

    /// Why not every assigned partition flows or is at its end; empty when each does.
    pub fn blocked(&self) -> Vec<Blocked> {
        self.blocked.all()
    }

    /// What the group was asked before counts no more: a transaction was ended since.
    pub fn forget_answers(&mut self) {
        self.placement.forget_answers();
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

    /// The next offsets to read, past control records that were stepped over; only of partitions
    /// of which something was read, or the end reached, since they were assigned or sought.
    pub fn positions(&self) -> Positions {
        self.progress.positions()
    }

    /// Commits `positions` and waits for the answer, for some seconds at most.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&self, positions: &Positions) -> Result<(), CommitError> {
        if positions.is_empty() {
            return Ok(());
        }
        let list = self.list(positions).map_err(CommitError::Unavailable)?;
        self.queue
            .commit(&list, COMMIT)
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

    /// Gives this member up for this reason, which the next poll tells.
    pub fn give_up(&mut self, why: &str) {
        self.fatal.get_or_insert_with(|| why.to_owned());
    }

    /// Whether the client can't go on, which the next poll tells.
    pub(super) fn is_dead(&mut self) -> bool {
        if let Some((_, why)) = self.queue.client().client().fatal_error() {
            self.fatal.get_or_insert(why);
        }
        self.fatal.is_some()
    }

    /// Whether the group has given this member's name to another.
    pub fn is_fenced(&self) -> bool {
        let fatal = self.queue.client().client().fatal_error();
        fatal.is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
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
