//! A member of a consumer group that reads one topic, owned by one thread.
//!
//! Rebalances happen inside [`poll`](GroupConsumer::poll) and
//! [`keep_alive`](GroupConsumer::keep_alive), on the caller's thread: between two polls the assignment
//! does not change. So a loop that finishes its transaction before it polls again never loses a
//! partition in the middle of one.
//!
//! Partitions are never paused. Records come through a queue of their own, which a loop leaves alone
//! while it waits for something else and polls the group. The client prefetches into that queue,
//! within its bounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};

use super::blocked::{Blocked, BlockedPartitions};
use super::commit_error::{CommitError, is_unanswered};
use super::fetch_queue::{FetchQueue, Fetched, FetchedRecord};
use super::group_consumer::GroupConsumer;
use super::halted::Halted;
use super::lag::ConsumerLag;
use super::limits::{COMMIT_TIMEOUT, RECORDS_PER_EVENT_POLL, REVOCATIONS_OF_REMOVED};
use super::member::AssignedMember;
use super::read_positions::ReadPositions;
use super::rebalance::{AssignmentChange, RebalanceContext};
use super::rewind::Rewind;
use super::stalled::StallDetector;
use super::start_offsets::StartOffsets;
use super::unsettled_offsets::UnsettledOffsets;
use crate::clock::unix_millis;
use crate::kafka::admin::has_other_instances;
use crate::kafka::config::{create_client, session_timeout};
use crate::kafka::partition_list;
use crate::lifecycle::Failure;
use crate::record::{InputRecord as _, Partition, Positions};

/// The result of a poll.
#[derive(Debug)]
pub enum Polled<R> {
    /// A record.
    Record(R),
    /// Nothing within the given time, or an event of the group was handled.
    Nothing,
    /// The client cannot go on (fenced, or a fatal error): build a new one.
    Fatal(String),
}

/// The result of serving the client's queue of events.
enum Event {
    None,
    /// An event, which was handled.
    Handled,
    /// The client cannot go on.
    Fatal(String),
}

/// A group member's connection to its topic.
pub struct Subscription {
    /// The configuration of its client.
    config: ClientConfig,
    leaves_on_close: bool,
    is_beside_transactions: bool,
    pub(super) queue: FetchQueue<RebalanceContext>,
    pub(super) topic: String,
    pub(super) positions: ReadPositions,
    pub(super) start_offsets: StartOffsets,
    pub(super) unsettled: UnsettledOffsets,
    pub(super) halted: BTreeMap<Partition, Halted>,
    /// The rewind whose offsets are being requested.
    pub(super) rewind: Option<Rewind>,
    pub(super) blocked: BlockedPartitions,
    pub(super) stalls: StallDetector,
    pub(super) lag: ConsumerLag,
    changes: Vec<AssignmentChange>,
    member: AssignedMember,
    pub(super) next_health_check: Instant,
    /// The client's events are polled after this many records.
    records_until_events: u32,
    /// Why the client cannot go on. The next poll returns it.
    failure: Option<String>,
}

/// Rounds up to whole milliseconds: the client waits in milliseconds, and its wrapper would spin through
/// a fraction.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(time.as_micros().div_ceil(1000) as u64)
}

impl Subscription {
    /// Joins the group of `config` and subscribes to `topic`. Does not wait for the broker.
    /// A static member keeps its place in the group when the subscription is dropped, unless
    /// [`leave_on_close`](Self::leave_on_close) was called.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn join(config: &ClientConfig, topic: &str) -> Result<Self, Failure> {
        let consumer: BaseConsumer<RebalanceContext> =
            create_client(config, RebalanceContext::default(), "consumer")?;
        consumer.subscribe(&[topic]).map_err(|error| {
            Failure::bad_setting(format!("cannot subscribe to {topic}: {error}"))
        })?;
        // Without a group in the configuration, `subscribe` has just failed.
        let group = config.get("group.id").unwrap_or_default();
        Ok(Self {
            config: config.clone(),
            leaves_on_close: false,
            is_beside_transactions: false,
            queue: FetchQueue::new(consumer),
            lag: ConsumerLag::new(group, topic),
            topic: topic.to_owned(),
            positions: ReadPositions::default(),
            start_offsets: StartOffsets::default(),
            unsettled: UnsettledOffsets::default(),
            halted: BTreeMap::new(),
            rewind: None,
            blocked: BlockedPartitions::default(),
            stalls: StallDetector::default(),
            changes: Vec::new(),
            member: AssignedMember::None,
            next_health_check: Instant::now(),
            records_until_events: 0,
            failure: None,
        })
    }

    /// Makes this member leave the group when the subscription is dropped, so that the other members take
    /// over its partitions at once.
    pub const fn leave_on_close(&mut self) {
        self.leaves_on_close = true;
        self.queue.leave_on_close();
    }

    /// Declares that transactions of another client commit offsets of this group too. A commit of offsets
    /// that is not answered then makes this client unusable: it may still arrive, after offsets that a
    /// transaction commits, and set the group back. After a new member's join the broker refuses it.
    #[must_use]
    pub const fn beside_transactions(mut self) -> Self {
        self.is_beside_transactions = true;
        self
    }

    pub(super) fn context(&self) -> &RebalanceContext {
        self.queue.client().context()
    }

    fn next_record(&mut self, mut timeout: Duration) -> Polled<FetchedRecord<'_>> {
        loop {
            match self.queue.next(timeout) {
                Fetched::Record(partition, offset) => {
                    self.records_until_events = self.records_until_events.saturating_sub(1);
                    let is_first_of_several = !self.positions.is_latest(partition);
                    if self.positions.advance(partition, offset) {
                        if is_first_of_several {
                            let timestamp = self.queue.record().timestamp_millis();
                            self.lag.note_read(partition, timestamp);
                        }
                        return Polled::Record(self.queue.record());
                    }
                }
                Fetched::End(partition, end) => {
                    self.positions.set(partition, end);
                    self.lag.note_end(partition);
                    if !self.blocked.is_empty() {
                        self.mark_healthy(partition);
                    }
                }
                Fetched::Nothing => {
                    self.records_until_events = 0;
                    self.stalls.note_drained();
                    return Polled::Nothing;
                }
                Fetched::Error(error) => {
                    self.records_until_events = 0;
                    self.fetch_failed(error);
                    return Polled::Nothing;
                }
            }
            // Other partitions may have fetched records.
            timeout = Duration::ZERO;
        }
    }

    /// Serves the client's events, above all rebalances, waiting for one up to `timeout`.
    fn serve_events(&mut self, timeout: Duration) -> Event {
        // In this order a partition that is restarted is assigned again at once.
        let is_removed = self.check_health();
        self.start_pending_partitions();
        // What the client has logged comes before the revocations of a member that was removed, and a poll
        // that does not wait takes only one of them.
        let timeout = if is_removed {
            timeout.max(REVOCATIONS_OF_REMOVED)
        } else {
            timeout
        };
        let event = self.queue.client().poll(timeout);
        let event = event.map(|polled| polled.map(drop));
        self.sample_lag();
        if self.apply_changes() {
            return Event::Handled;
        }
        match event {
            // The client revokes the partitions of a member that was removed, but not if it learns of that
            // during a rebalance. A new client has none.
            None if is_removed => Event::Fatal(
                "the group removed this member, which still has its partitions".to_owned(),
            ),
            None => Event::None,
            // Every fetched partition is forwarded to the queue of records. If one is not, its record
            // must not be lost: a new client reads everything again.
            Some(Ok(())) => Event::Fatal("a record came among the events".to_owned()),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let fatal = self.queue.client().client().fatal_error();
                Event::Fatal(fatal.map_or_else(|| code.to_string(), |(_, reason)| reason))
            }
            // The client recovers from all other errors by itself: lost connections, an unknown topic
            // that may still be created, a late poll.
            Some(Err(error)) => {
                self.note_error(&error);
                Event::Handled
            }
        }
    }

    /// Notes the time of day and the timestamp of the last record, which would cost too much for each
    /// record.
    fn sample_lag(&mut self) {
        self.lag.set_time(unix_millis());
        if let Some(record) = self.queue.last_record() {
            let (partition, next) = (record.partition(), record.offset() + 1);
            // Otherwise it was read before a rewind.
            if self.positions.next_offset(partition) == Some(next) {
                self.lag.note_read(partition, record.timestamp_millis());
            }
        }
    }

    /// Applies what rebalances did. Returns whether there was any.
    fn apply_changes(&mut self) -> bool {
        let changes = self.context().take_changes();
        for change in &changes {
            match change {
                AssignmentChange::Assigned(partitions) => {
                    self.lag.note_assigned(partitions);
                    if !partitions.is_empty() {
                        self.member.note_assigned(|| self.queue.member_id());
                    }
                }
                AssignmentChange::Revoked(partitions) => {
                    for partition in partitions {
                        self.positions.forget(*partition);
                        self.positions.fetched.remove(partition);
                        self.halted.remove(partition);
                        self.unsettled.forget(*partition);
                        self.stalls.forget(*partition);
                        self.blocked.clear(Some(*partition));
                        self.lag.forget(*partition);
                    }
                }
            }
        }
        if !self.has_partitions() {
            self.member.forget();
        }
        if self.positions.fetched.is_empty() {
            // Log ends are no longer requested, so no answer would clear it.
            self.clear_unknown_ends();
        }
        let any = !changes.is_empty();
        self.changes.extend(changes);
        any
    }

    pub(super) fn note_error(&self, error: &KafkaError) {
        self.context().note_error(error);
        tracing::debug!(%error, topic = self.topic, "poll");
    }

    fn has_partitions(&self) -> bool {
        !self.positions.fetched.is_empty()
            || self.context().has_pending()
            || !self.halted.is_empty()
    }

    /// Returns whether this is still the member to which the partitions were assigned. Otherwise they may
    /// belong to another member, although this one has the group's generation: the client joins again
    /// under a new id, which the group never gives twice.
    pub fn is_same_member(&self) -> bool {
        // Asked without a partition too, because the question wakes the client's main thread.
        let id = self.queue.member_id();
        self.member.is(id.as_deref())
    }

    /// Declares this client unusable. The next poll returns [`Polled::Fatal`] with this reason.
    fn fail(&mut self, why: &str) {
        self.failure.get_or_insert_with(|| why.to_owned());
    }

    /// Returns whether the client cannot go on. The next poll returns why.
    pub(super) fn has_failed(&mut self) -> bool {
        if let Some((_, why)) = self.queue.client().client().fatal_error() {
            self.fail(&why);
        }
        self.failure.is_some()
    }

    /// Returns whether another member has joined with this member's `group.instance.id`.
    pub fn is_fenced(&self) -> bool {
        let fatal = self.queue.client().client().fatal_error();
        fatal.is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
    }

    /// Returns how long the group keeps a member of this configuration that sends no heartbeat.
    pub fn session_timeout(&self) -> Duration {
        session_timeout(&self.config)
    }

    /// Returns whether the group has a member of another instance than this one, whose members are named
    /// `<instance>-<number>`. Returns `false` when a broker does not answer within `timeout`.
    pub fn has_other_instances(&self, instance: &str, timeout: Duration) -> bool {
        let group = self.config.get("group.id").unwrap_or_default();
        has_other_instances(self.queue.client(), group, instance, timeout)
    }

    /// Returns offsets of this topic as a transaction takes them.
    ///
    /// # Errors
    /// When an offset is negative, which no record has.
    pub fn list(&self, positions: &Positions) -> Result<TopicPartitionList, KafkaError> {
        let offsets = positions.iter();
        let offsets = offsets.map(|(partition, next)| (*partition, KafkaOffset::Offset(*next)));
        partition_list(&self.topic, offsets)
    }

    /// Returns this member's identity and its current generation, with which the coordinator fences
    /// the offsets of a former owner.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.queue.client().group_metadata()
    }
}

impl GroupConsumer for Subscription {
    type Record<'a> = FetchedRecord<'a>;

    fn poll(&mut self, timeout: Duration) -> Polled<FetchedRecord<'_>> {
        if let Some(why) = self.failure.take() {
            return Polled::Fatal(why);
        }
        let has_partitions = !self.positions.fetched.is_empty();
        if self.records_until_events == 0 {
            // Without a partition there are only events to wait for.
            let wait = if has_partitions {
                Duration::ZERO
            } else {
                timeout
            };
            match self.serve_events(wait) {
                // After an event the next poll serves events again: more may follow, and the queue of
                // records is woken only once.
                Event::None => self.records_until_events = RECORDS_PER_EVENT_POLL,
                Event::Handled => return Polled::Nothing,
                Event::Fatal(why) => return Polled::Fatal(why),
            }
        }
        let timeout = if self.positions.fetched.is_empty() {
            Duration::ZERO
        } else {
            whole_millis(timeout)
        };
        self.next_record(timeout)
    }

    fn poll_fetched(&mut self) -> Polled<FetchedRecord<'_>> {
        self.next_record(Duration::ZERO)
    }

    fn blocked(&self) -> Vec<Blocked> {
        self.blocked.all()
    }

    fn unread_since(&self) -> Option<i64> {
        self.lag.unread_since()
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.apply_changes();
        std::mem::take(&mut self.changes)
    }

    fn keep_alive(&mut self, time: Duration) {
        match self.serve_events(whole_millis(time)) {
            Event::None => {}
            Event::Handled => self.records_until_events = 0,
            // The client reports the failure only once.
            Event::Fatal(why) => self.failure = Some(why),
        }
    }

    fn positions(&self) -> Positions {
        self.positions.next_offsets()
    }

    fn waits_for_offsets(&self) -> bool {
        self.awaits_start_offsets()
    }

    fn rewind(&mut self, timeout: Duration) -> Result<(), String> {
        self.seek_to_committed(timeout)
            .map_err(|error| error.to_string())
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        if positions.is_empty() {
            return Ok(());
        }
        let list = self.list(positions).map_err(CommitError::Unavailable)?;
        if !self.is_same_member() {
            let error = KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId);
            return Err(CommitError::NotOwner(error));
        }
        let Err(error) = self.queue.commit(&list, COMMIT_TIMEOUT) else {
            return Ok(());
        };
        if self.is_beside_transactions && is_unanswered(&error) {
            self.fail("a commit of offsets was not answered");
            return Err(CommitError::ReadAgain(error));
        }
        Err(CommitError::of(error))
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        let mut new = Self::join(&self.config, &self.topic)?;
        if self.leaves_on_close {
            new.leave_on_close();
        }
        new.is_beside_transactions = self.is_beside_transactions;
        new.lag.follow(&self.lag);
        *self = new;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_member_does_as_the_one_that_it_replaces() {
        let mut config = ClientConfig::new();
        // Nobody listens there: a member that has not joined needs no broker.
        config
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("group.id", "group");
        let member = Subscription::join(&config, "order-status").unwrap();
        let mut member = member.beside_transactions();
        member.leave_on_close();
        member.fail("a commit of offsets was not answered");
        member.reopen().unwrap();
        assert!(member.leaves_on_close && member.is_beside_transactions);
        assert!(!member.has_failed(), "its failure was that of the old one");
    }
}
