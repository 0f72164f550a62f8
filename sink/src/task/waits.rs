//! Waiting: no record is taken, and the group is polled so that the task stays a member.

use std::time::Duration;

use runtime::assignment::Assignment;
use runtime::circuit_breaker::PAUSE;
use runtime::clock::Clock;
use runtime::kafka::GroupConsumer;
use runtime::lifecycle::Failure;
use runtime::metrics::{Count, RetryClass};
use runtime::registry::{Lookup, SchemaSource};
use schemas::{SchemaId, VoucherPlan};

use super::{State, Task};
use crate::bisection::Bisection;
use crate::limits::{REWIND, WAIT_STEP};
use crate::ports::{DeadLetters, Observer, Table};

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: GroupConsumer,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    pub(super) fn wait_for_database(&mut self, bisection: Bisection, until: Duration) -> State {
        if self.wait(until) {
            return State::WaitingForDatabase { bisection, until };
        }
        State::Writing {
            bisection,
            since: None,
        }
    }

    pub(super) fn wait_for_broker(&mut self, until: Duration) -> State {
        if self.wait(until) {
            return State::WaitingForBroker { until };
        }
        // A rebalance may have revoked the partitions of the dead letters meanwhile.
        self.end_writing()
    }

    pub(super) fn wait_to_commit(&mut self, until: Duration) -> State {
        if self.wait(until) {
            return State::WaitingToCommit { until };
        }
        State::CommittingOffsets
    }

    pub(super) fn wait_for_schema(&mut self, schema_id: SchemaId) -> State {
        let is_pending = matches!(self.ports.schemas.lookup(schema_id), Lookup::Pending);
        if self.held.is_none() || !is_pending {
            return State::Reading;
        }
        self.stay_in_group(WAIT_STEP);
        State::WaitingForSchema { schema_id }
    }

    pub(super) fn open_circuit(&mut self) -> State {
        let why = self.breaker.to_string();
        tracing::error!("{why}");
        self.ports.observer.flow().circuit_opened(&why);
        self.forget_batches();
        State::CircuitOpen {
            until: self.now() + PAUSE,
        }
    }

    pub(super) fn wait_for_circuit(&mut self, until: Duration) -> State {
        if self.wait(until) {
            return State::CircuitOpen { until };
        }
        State::Rewinding { not_before: until }
    }

    /// Reads every partition from the group's committed offset. Both batches are empty.
    pub(super) fn rewind(&mut self, not_before: Duration) -> State {
        if self.wait(not_before) {
            return State::Rewinding { not_before };
        }
        if let Some(why) = self.consumer_failure.take() {
            return self.give_up_consumer(&why);
        }
        self.assignment.forget_committed();
        self.deferred.clear();
        if self.assignment.is_empty() {
            return State::Reading;
        }
        if let Err(why) = self.ports.source.rewind(REWIND) {
            self.report_blocked(&format!("cannot read the group's offsets: {why}"));
            return State::Rewinding {
                not_before: self.pause_ends(RetryClass::Kafka),
            };
        }
        self.backoff.reset();
        State::Reading
    }

    /// Discards the consumer: another member has its name, or librdkafka reported a fatal error.
    pub(super) fn give_up_consumer(&mut self, why: &str) -> State {
        tracing::warn!(why, "the consumer cannot go on; joining the group again");
        self.report_blocked(&format!("joining the group again: {why}"));
        self.forget_batches();
        self.assignment = Assignment::default();
        self.deferred.clear();
        State::Rejoining {
            until: self.pause_ends(RetryClass::Kafka),
        }
    }

    pub(super) fn rejoin(&mut self, until: Duration) -> Result<State, Failure> {
        if self.wait(until) {
            return Ok(State::Rejoining { until });
        }
        self.ports.source.reopen()?;
        Ok(State::Reading)
    }

    /// Waits for a short time. Returns false, without waiting, from `until` on.
    fn wait(&mut self, until: Duration) -> bool {
        let left = until.saturating_sub(self.now());
        if left.is_zero() {
            return false;
        }
        self.stay_in_group(left.min(WAIT_STEP));
        true
    }

    /// Returns when the next pause between attempts ends.
    pub(super) fn pause_ends(&mut self, class: RetryClass) -> Duration {
        self.ports.observer.flow().count(Count::retry(class));
        self.now() + self.backoff.next_pause()
    }

    /// Polls the group without taking records.
    pub(super) fn stay_in_group(&mut self, time: Duration) {
        self.ports.source.keep_alive(time);
        self.follow_assignment();
    }

    /// Follows the changes of the assignment.
    pub(super) fn follow_assignment(&mut self) {
        let (consumer, flow) = (&mut self.ports.source, self.ports.observer.flow());
        self.assignment.follow(consumer, flow, |partition| {
            self.batch.forget(partition);
            self.next.forget(partition);
            self.deferred.forget(partition);
            self.held.take_if(|held| held.partition == partition);
        });
    }
}
