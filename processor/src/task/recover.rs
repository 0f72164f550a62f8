//! Which state follows an error.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::TransactionError;
use runtime::metrics::{Count, PROCESSOR_TRANSACTIONS, RetryClass};
use runtime::refusals::Refusal;
use runtime::registry::SchemaSource;
use schemas::OrderStatusPlan;

use super::{Guarantee, State, Task};
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// Returns the state that follows an error before the end of the transaction is under way: the same
    /// state until the transaction's deadline, unless a rebalance has revoked a partition of the batch.
    pub(super) fn repeat_or_recover(&mut self, state: State, error: TransactionError) -> State {
        let TransactionError::Retriable(why) = error else {
            return self.recover(state, error);
        };
        self.interrupted = true;
        self.report_blocked(&format!("waiting for the broker: {why}"));
        if self.stay_in_group(Duration::ZERO) {
            self.forget_refusals();
            let why = "a rebalance revoked partitions of the open transaction".to_owned();
            return self.recover(state, TransactionError::Abortable(why));
        }
        if self.now() >= self.deadline {
            // New clients look up the coordinator again, and their takeover aborts the transaction there.
            return self.recover(state, TransactionError::Fatal(why));
        }
        state
    }

    /// Returns whether the batch, of which nothing was committed, can be written again as it is.
    pub(super) fn can_repeat(&self) -> bool {
        // Records that were forgotten have to be read again.
        let is_there = !self.batch.is_empty() || !self.deferred.is_empty();
        // So have those that were prefetched, with the batch that they follow.
        let is_alone = self.next.batch.is_empty() && self.next.end.is_none();
        let is_whole = !self.interrupted && !self.must_read_again;
        is_there && is_alone && is_whole && !self.failures.are_serious()
    }

    /// Begins the pause before the batch is written again.
    pub(super) fn begin_to_repeat(&mut self) -> State {
        // A revocation may have emptied the prefetched batch: drops what is left of it.
        self.next.clear();
        State::WaitingToRepeat {
            until: self.now() + self.pause_for_broker(),
        }
    }

    /// Returns the state that follows an error in `state`.
    pub(super) fn recover(&mut self, state: State, error: TransactionError) -> State {
        tracing::warn!(%error, ?state, "a transaction failed; nothing is lost");
        self.failures.note_failure();
        if !self.learn_refusals() && self.failures.are_serious() {
            self.report_blocked(&format!(
                "the same records have failed to be committed several times: {error}"
            ));
        }
        match error {
            TransactionError::Retriable(_) | TransactionError::Abortable(_) => {
                match self.guarantee {
                    // Until the transaction's deadline. After that the coordinator aborts it.
                    Guarantee::ExactlyOnce => State::Aborting,
                    Guarantee::AtLeastOnce => State::WaitingToOpen {
                        until: self.back_off(),
                    },
                }
            }
            // A fenced producer alone means a takeover in progress, or a transaction that outlived its
            // timeout. Only the group decides which process keeps the name (see `rejoin`).
            TransactionError::Fatal(why) | TransactionError::Fenced(why) => {
                // Only the group's committed offsets tell whether it was committed.
                self.count_transaction("unknown");
                self.report_blocked(&why);
                State::WaitingToOpen {
                    until: self.back_off(),
                }
            }
        }
    }

    /// Forgets the batches, and returns when the pause before the next attempt ends.
    pub(super) fn back_off(&mut self) -> Duration {
        self.forget_batches();
        let pause = match self.failures.blocked_pause() {
            Some(pause) => {
                let flow = self.ports.observer.flow();
                flow.count(Count::retry(RetryClass::Refused));
                pause
            }
            None => self.pause_for_broker(),
        };
        self.now() + pause
    }

    /// Returns the pause before the broker is asked again.
    pub(super) fn pause_for_broker(&mut self) -> Duration {
        let flow = self.ports.observer.flow();
        flow.count(Count::retry(RetryClass::Kafka));
        self.backoff.next_pause()
    }

    /// Counts a transaction by the outcome with which it ended.
    pub(super) fn count_transaction(&mut self, outcome: &'static str) {
        let flow = self.ports.observer.flow();
        flow.count(Count::one_of(PROCESSOR_TRANSACTIONS, "outcome", outcome));
    }

    /// Forgets all records that were read and not committed.
    pub(super) fn forget_batches(&mut self) {
        self.forgotten = self.oldest_read();
        self.batch.clear();
        self.next.clear();
        self.held = None;
        self.must_read_again = false;
        self.breaker = self.breaker_before.clone();
    }

    /// Forgets which records were refused, after a rebalance revoked partitions of the batch: refused
    /// records are numbered by the outputs that the batch had before.
    pub(super) fn forget_refusals(&mut self) {
        drop(self.ports.log.take_refused());
        self.batch.clear_outputs();
        self.must_read_again = true;
    }

    /// Learns which records the broker refused, since it would refuse them again. Reports what is done
    /// about them, and returns whether a record is blocked.
    pub(super) fn learn_refusals(&mut self) -> bool {
        let refused = self.ports.log.take_refused();
        self.must_read_again |= !refused.is_empty();
        let remedies = self.failures.learn(&self.batch, &refused);
        let topics = self.batch.topics();
        let source = &topics.source;
        for (origin, _, why) in &remedies.reduced {
            tracing::warn!(
                topic = source,
                partition = origin.partition,
                offset = origin.offset,
                why,
                "the dead letter is too large for {}; it is written again without what does not \
                 fit, and names the original by topic, partition, offset and SHA-256",
                topics.dead_letters
            );
        }
        let flow = self.ports.observer.flow();
        flow.refused(remedies.reduced.len(), Refusal::Reduced);
        let Some((origin, why)) = &remedies.blocked else {
            return false;
        };
        tracing::error!(
            topic = source,
            partition = origin.partition,
            offset = origin.offset,
            why,
            "the broker refuses the voucher or the dead letter of this record; it is sent again after a pause of up to \
             30 s, and the partitions of this task wait for it"
        );
        flow.refused(1, Refusal::Blocked);
        flow.blocked(&format!(
            "{} does not accept what {source}/{}/{} became: {why}; check the topic's \
             max.message.bytes and the rights on it",
            origin.topic, origin.partition, origin.offset
        ));
        true
    }
}
