//! What an error says to do next.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::TransactionError;
use runtime::lifecycle::Failure;
use runtime::registry::SchemaSource;
use runtime::stepping::Step;
use schemas::OrderStatusPlan;

use super::{DEADLINE, Guarantee, State, Task};
use crate::ports::{Log, Observer, TransactionEnd};

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
        let now = self.clock.now();
        match error {
            TransactionError::Retriable(_) | TransactionError::Abortable(_) => {
                match self.settings.guarantee {
                    Guarantee::ExactlyOnce => {
                        self.deadline = now + DEADLINE;
                        self.state = State::Aborting;
                    }
                    Guarantee::AtLeastOnce => self.pause_then_open(),
                }
                Step::Continue
            }
            // A fence of the producer alone is a takeover that is under way, or a transaction that
            // outlived its timeout: only the group says whose the name is (see `rejoin`).
            TransactionError::Fatal(why) | TransactionError::Fenced(why) => {
                self.observer.transaction_ended(TransactionEnd::Unknown);
                self.observer.standing(&why);
                self.pause_then_open();
                Step::Continue
            }
        }
    }

    pub(super) fn pause_then_open(&mut self) {
        self.forget_batch();
        self.state = State::Pausing {
            until: self.clock.now() + self.backoff.next_pause(),
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
        self.late.clear();
        self.joined = false;
        self.observer
            .standing(&format!("joining the group anew: {why}"));
        self.observer.fenced();
        if self.fences.note(self.clock.now()) {
            return Step::Stop(self.another_has_our_name());
        }
        match self.log.open_consumer() {
            Ok(()) => {
                self.pause_then_open();
                Step::Continue
            }
            Err(failure) => Step::Stop(failure),
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
