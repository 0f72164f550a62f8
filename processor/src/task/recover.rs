//! What an error says to do next.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{Membership, TransactionError};
use runtime::lifecycle::Failure;
use runtime::registry::SchemaSource;
use runtime::stepping::Step;
use schemas::OrderStatusPlan;

use super::setbacks::{Blocked, Setbacks};
use super::{Guarantee, LOOK, LOOK_MARGIN, State, Task, Then};
use crate::ports::{Log, Observer, Refusal, TransactionEnd};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// Before the end of the transaction is under way: the same call again until its deadline,
    /// unless a rebalance took a part of the batch meanwhile.
    pub(super) fn again_or_recover(&mut self, error: TransactionError) -> Step {
        let TransactionError::Retriable(why) = error else {
            return self.recover(error);
        };
        self.interrupted = true;
        self.observer
            .standing(&format!("waiting for the broker: {why}"));
        if self.stay_in_group(Duration::ZERO) {
            self.forget_refusals();
            return self.recover(TransactionError::Abortable(
                "a rebalance took partitions of the open transaction".to_owned(),
            ));
        }
        if self.clock.now() >= self.deadline {
            // Opening aborts it at the coordinator, with clients that know where that is.
            return self.recover(TransactionError::Fatal(why));
        }
        Step::Continue
    }

    /// What an error says to do next.
    pub(super) fn recover(&mut self, error: TransactionError) -> Step {
        tracing::warn!(%error, state = ?self.state, "a transaction did not go through; nothing is lost");
        self.setbacks.failed();
        if !self.learn_refusals() && self.setbacks.keep_from_flowing() {
            self.observer.standing(&format!(
                "the same records were not committed again: {error}"
            ));
        }
        match error {
            TransactionError::Retriable(_) | TransactionError::Abortable(_) => {
                match self.settings.guarantee {
                    // Within the transaction's own deadline: beyond it the coordinator aborts.
                    Guarantee::ExactlyOnce => self.state = State::Aborting,
                    Guarantee::AtLeastOnce => self.pause_then(Then::Open),
                }
                Step::Continue
            }
            // A fence of the producer alone is a takeover that is under way, or a transaction that
            // outlived its timeout: only the group says whose the name is (see `rejoin`).
            TransactionError::Fatal(why) | TransactionError::Fenced(why) => {
                self.observer.transaction_ended(TransactionEnd::Unknown);
                self.observer.standing(&why);
                self.pause_then(Then::Open);
                Step::Continue
            }
        }
    }

    /// A rebalance has taken partitions of the batch: refused records are numbered by what it held
    /// before.
    pub(super) fn forget_refusals(&mut self) {
        drop(self.log.take_refused());
        self.batch.clear_outputs();
    }

    /// What the broker refused, it would refuse again: says so, and what is done about it. Returns
    /// whether a record is blocked by it.
    pub(super) fn learn_refusals(&mut self) -> bool {
        let refused = self.log.take_refused();
        let learned = self.setbacks.learn(&self.batch, &refused);
        let source = &self.settings.topics.source;
        for ((partition, offset), why) in &learned.reduced {
            tracing::warn!(
                topic = source,
                partition,
                offset,
                why,
                "the dead letter is too large for {}; it is written again without what does not \
                 fit, and names the original by topic, partition, offset and SHA-256",
                self.settings.topics.dead_letters
            );
        }
        self.observer
            .refused(learned.reduced.len(), Refusal::Reduced);
        if let Some(Blocked {
            partition,
            offset,
            topic,
            why,
        }) = &learned.blocked
        {
            tracing::error!(
                topic = source,
                partition,
                offset,
                why,
                "the broker refuses what became of this record; it is tried again after a pause of \
                 up to 30 s, and the partitions of this task wait for it"
            );
            self.observer.refused(1, Refusal::Blocked);
            self.observer.standing(&format!(
                "{topic} does not take what became of {source}/{partition}/{offset}: {why}; see \
                 the topic's max.message.bytes and the rights on it"
            ));
        }
        learned.blocked.is_some()
    }

    /// What failed once may fail again at once.
    pub(super) fn pause_then(&mut self, then: Then) {
        self.forget_batch();
        let pause = match self.setbacks.pause() {
            Some(pause) => pause,
            None => self.backoff.next_pause(),
        };
        self.state = State::Pausing {
            until: self.clock.now() + pause,
            then,
        };
    }

    /// The consumer is dead: another member has its name, or librdkafka gave up.
    ///
    /// Of two processes with one name one has to end and the other to go on. The group takes joins
    /// one after the other, so whoever was replaced last is alone in that and the other is never
    /// replaced again; fences of producers come in no such order and would end both.
    pub(super) fn rejoin(&mut self, why: &str) -> Step {
        tracing::warn!(why, "the consumer can't go on; joining the group anew");
        self.forget_batch();
        self.assigned.clear();
        self.committed.clear();
        self.deferred.clear();
        self.joined = false;
        // Whose partitions these are is not known any more.
        self.setbacks = Setbacks::new();
        self.observer
            .standing(&format!("joining the group anew: {why}"));
        let is_fenced = self.log.is_fenced();
        if is_fenced {
            self.observer.fenced();
        }
        if is_fenced && self.fences.note(self.clock.now()) {
            self.state = State::LookingForAnother {
                until: self.look_ends(),
            };
            return Step::Continue;
        }
        self.join_anew()
    }

    fn join_anew(&mut self) -> Step {
        match self.log.open_consumer() {
            Ok(()) => {
                self.pause_then(Then::Open);
                Step::Continue
            }
            Err(failure) => Step::Stop(failure),
        }
    }

    /// A member that nobody heartbeats is gone by then.
    fn look_ends(&self) -> Duration {
        self.clock.now() + self.log.session_timeout() + LOOK_MARGIN
    }

    /// Fenced for the third time: finds out whether another process has this task's name, or whether
    /// it was fenced by joins of its own (the client repeats a join that a coordinator did not answer
    /// for a while, and the coordinator then answers both).
    ///
    /// This task is no member meanwhile. A member of its name that stays for longer than a session
    /// timeout is therefore heartbeated by another process, and this one ends. One that disappears
    /// was its own earlier self, and a coordinator that does not answer is an outage: neither is
    /// somebody else.
    pub(super) fn look_for_another(&mut self, until: Duration) -> Step {
        match self.log.look_for_our_name(LOOK) {
            Membership::Present if self.clock.now() >= until => {
                Step::Stop(self.another_has_our_name())
            }
            Membership::Present => Step::Continue,
            Membership::Rebalancing => {
                self.state = State::LookingForAnother {
                    until: self.look_ends(),
                };
                Step::Continue
            }
            Membership::Absent | Membership::Unknown => {
                tracing::info!("no other process has this task's name; joining the group anew");
                self.fences.forget();
                self.join_anew()
            }
        }
    }

    fn another_has_our_name(&self) -> Failure {
        Failure::failed(format!(
            "another process keeps taking over \"{}\"; each instance needs a PROCESSOR_INSTANCE_ID \
             of its own (the default is the host's name)",
            self.settings.transactional_id
        ))
    }
}
