//! Waiting: no record is taken, and the group is polled so that the task stays a member.

use std::time::Duration;

use runtime::circuit_breaker::PAUSE;
use runtime::clock::Clock;
use runtime::kafka::GroupConsumer as _;
use runtime::registry::{Lookup, SchemaSource};
use schemas::{OrderStatusPlan, SchemaId};

use super::{State, Task};
use crate::limits::{PAUSE_STEP, SCHEMA_POLL};
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    pub(super) fn wait_for_schema(&mut self, schema_id: SchemaId) -> State {
        let is_pending = matches!(self.ports.schemas.lookup(schema_id), Lookup::Pending);
        if self.held.is_none() || !is_pending {
            return State::Reading;
        }
        self.stay_in_group(SCHEMA_POLL);
        State::WaitingForSchema { schema_id }
    }

    pub(super) fn open_circuit(&mut self) -> State {
        let why = self.breaker.to_string();
        tracing::error!("{why}");
        self.ports.observer.flow().circuit_opened(&why);
        self.forget_batches();
        // Earlier batches are acknowledged. Without their offsets each new attempt would write them again.
        let deferred = self.deferred.positions();
        if self.ports.log.consumer().commit_offsets(deferred).is_ok() {
            self.assignment.note_committed(&self.deferred.take());
        }
        State::CircuitOpen {
            until: self.now() + PAUSE,
        }
    }

    /// Waits for a short time. Returns `waiting` until `until`, and `then` from then on.
    pub(super) fn wait(&mut self, waiting: State, until: Duration, then: State) -> State {
        let left = until.saturating_sub(self.now());
        if left.is_zero() {
            return then;
        }
        self.stay_in_group(left.min(PAUSE_STEP));
        waiting
    }

    /// Waits until `until`, and then writes what the rebalances meanwhile have left of the batch.
    pub(super) fn wait_to_repeat(&mut self, until: Duration) -> State {
        let left = until.saturating_sub(self.now());
        // Polls at least once, however late it is: the poll says what was revoked.
        self.stay_in_group(left.min(PAUSE_STEP));
        if self.now() < until {
            return State::WaitingToRepeat { until };
        }
        self.end_batch(None)
    }

    /// Polls the group without taking records. Returns whether a partition of the current batch was
    /// revoked.
    pub(super) fn stay_in_group(&mut self, time: Duration) -> bool {
        self.ports.log.consumer().keep_alive(time);
        self.follow_assignment()
    }

    /// Follows the changes of the assignment. Returns whether a partition of the current batch was revoked.
    pub(super) fn follow_assignment(&mut self) -> bool {
        let mut is_batch_cut = false;
        let (consumer, flow) = (self.ports.log.consumer(), self.ports.observer.flow());
        self.assignment.follow(consumer, flow, |partition| {
            is_batch_cut |= self.batch.next_offset(partition).is_some();
            self.batch.forget(partition);
            self.next.batch.forget(partition);
            self.deferred.forget(partition);
            self.failures.forget(partition);
            self.held.take_if(|held| held.partition == partition);
        });
        is_batch_cut
    }
}
