//! The port over librdkafka. Thin, because the simulator does not cover this code.

use std::time::{Duration, Instant};

use runtime::kafka::{
    GroupOffsets, KafkaSettings, Membership, MembershipObserver, Outgoing, Producers, Refused,
    Subscription, TransactionError, TransactionScope, Unfinished,
};
use runtime::lifecycle::Failure;
use runtime::record::Positions;

use crate::batch::Topics;
use crate::limits::{HAND_OVER, QUEUE_ROOM};
use crate::ports::Log;
use crate::task::Guarantee;

/// The clients of one task.
pub struct KafkaLog {
    settings: KafkaSettings,
    group: String,
    /// The process of this task, among those of the group.
    instance: String,
    /// This task's `group.instance.id`.
    member: String,
    subscription: Subscription,
    /// Exists while the task looks for another process with its name.
    membership: Option<MembershipObserver>,
    producers: Producers,
    /// How long each stage of the transaction that is being finished may take.
    stage_timeout: Duration,
}

impl KafkaLog {
    /// Joins the group as task `number` of `instance`, whose name is stable: a task that is started again
    /// within the session timeout takes its partitions back without a rebalance. `transactional_id`
    /// begins the ids of both producers.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        group: &str,
        (instance, number): (&str, u16),
        guarantee: Guarantee,
        transactional_id: &str,
    ) -> Result<Self, Failure> {
        let mut consumer_config = settings.consumer(group)?;
        let member = format!("{instance}-{number}");
        consumer_config.set("group.instance.id", &member);
        let producers = match guarantee {
            Guarantee::ExactlyOnce => {
                let scope = TransactionScope {
                    group: group.to_owned(),
                    source: topics.source.clone(),
                    topics: vec![topics.vouchers.clone(), topics.dead_letters.clone()],
                };
                Producers::new(vec![
                    settings.transactional_producer(transactional_id)?,
                    settings.transactional_producer(&format!("{transactional_id}/turn"))?,
                ])
                .ending_hanging_transactions(settings, scope)
            }
            Guarantee::AtLeastOnce => Producers::new(vec![settings.producer()?]),
        };
        let subscription = Subscription::join(&consumer_config, &topics.source)?;
        Ok(Self {
            subscription: match guarantee {
                Guarantee::ExactlyOnce => subscription.beside_transactions(),
                Guarantee::AtLeastOnce => subscription,
            },
            producers,
            stage_timeout: Duration::ZERO,
            settings: settings.clone(),
            group: group.to_owned(),
            instance: instance.to_owned(),
            member,
            membership: None,
        })
    }
}

impl KafkaLog {
    fn ask_for_our_name(&mut self, timeout: Duration) -> Membership {
        if self.membership.is_none() {
            self.membership = MembershipObserver::new(&self.settings, &self.group).ok();
        }
        let observer = self.membership.as_ref();
        observer.map_or(Membership::Unknown, |observer| {
            observer.membership_of(&self.member, timeout)
        })
    }

    /// Returns offsets with the generation of this moment: after a rebalance the broker refuses an
    /// earlier one.
    fn group_offsets(&self, positions: &Positions) -> Result<GroupOffsets, TransactionError> {
        let offsets = self
            .subscription
            .list(positions)
            .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        let group = self.subscription.group_metadata().ok_or_else(|| {
            TransactionError::Abortable("this consumer is in no group".to_owned())
        })?;
        // Checked after the generation was taken, so that both belong to the same member.
        if !self.subscription.is_same_member() {
            let why = "the group has removed this consumer, whose partitions may have a new owner";
            return Err(TransactionError::Abortable(why.to_owned()));
        }
        Ok(GroupOffsets::new(offsets, group))
    }
}

impl Log for KafkaLog {
    type Consumer = Subscription;

    fn consumer(&mut self) -> &mut Subscription {
        &mut self.subscription
    }

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.subscription.forget_answers();
        self.producers.open()
    }

    fn is_fenced(&self) -> bool {
        self.subscription.is_fenced()
    }

    fn session_timeout(&self) -> Duration {
        self.subscription.session_timeout()
    }

    fn look_for_our_name(&mut self, time: Duration) -> Membership {
        let began = Instant::now();
        let found = self.ask_for_our_name(time);
        if matches!(found, Membership::Absent | Membership::Unknown) {
            // The task joins again, and asks no more.
            self.membership = None;
        }
        std::thread::sleep(time.saturating_sub(began.elapsed()));
        found
    }

    fn hand_over(&mut self) {
        // A fenced task has no place in the group to give up: its successor has it.
        let subscription = &mut self.subscription;
        if !subscription.is_fenced() && subscription.has_other_instances(&self.instance, HAND_OVER)
        {
            subscription.leave_on_close();
        }
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

    fn take_refused(&mut self) -> Vec<Refused> {
        self.producers.take_refused()
    }

    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let offsets = self.group_offsets(positions)?;
        self.producers.current()?.send_offsets(offsets, timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.commit(timeout)
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.abort(timeout)
    }

    fn begin_finish(&mut self, positions: &Positions, timeout: Duration) -> bool {
        // If there is an error, the loop makes the calls one by one, and the first of them reports it.
        let (Ok(offsets), Ok(producer)) = (self.group_offsets(positions), self.producers.current())
        else {
            return false;
        };
        self.stage_timeout = timeout;
        producer.start_finish(offsets);
        true
    }

    fn poll_finish(&mut self, timeout: Duration) -> Option<Result<(), Unfinished>> {
        self.producers
            .current()
            .ok()?
            .poll_finish(timeout, self.stage_timeout)
    }
}
