//! Everything that a task waits for: alive, in its group, and saying why.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::lifecycle::Failure;
use runtime::registry::{Lookup, SchemaSource};
use schemas::{SchemaId, VoucherPlan};

use super::{CIRCUIT_PAUSE, SLICE, State, Task};
use crate::bisection::Bisection;
use crate::ports::{DeadLetters, Observer, Source, Table};

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: Source,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    pub(super) fn wait_for_database(&mut self, halves: Bisection, until: Duration) -> State {
        if self.waits(until) {
            return State::WaitingForDatabase { halves, until };
        }
        State::Writing {
            halves,
            since: None,
        }
    }

    pub(super) fn wait_for_broker(&mut self, until: Duration) -> State {
        if self.waits(until) {
            return State::WaitingForBroker { until };
        }
        // A rebalance may have taken the letters away meanwhile.
        self.end_writing()
    }

    pub(super) fn wait_to_commit(&mut self, until: Duration) -> State {
        if self.waits(until) {
            return State::WaitingToCommit { until };
        }
        State::CommittingOffsets
    }

    pub(super) fn wait_for_schema(&mut self, schema_id: SchemaId) -> State {
        let is_pending = matches!(self.ports.schemas.lookup(schema_id), Lookup::Pending);
        if self.held.is_none() || !is_pending {
            return State::Reading;
        }
        self.stay_in_group(SLICE);
        State::WaitingForSchema { schema_id }
    }

    pub(super) fn open_circuit(&mut self) -> State {
        let why = self.breaker.to_string();
        tracing::error!("{why}");
        self.stand(&why);
        self.note_circuit(true);
        self.forget_batches();
        State::CircuitOpen {
            until: self.now() + CIRCUIT_PAUSE,
        }
    }

    pub(super) fn wait_for_circuit(&mut self, until: Duration) -> State {
        if self.waits(until) {
            return State::CircuitOpen { until };
        }
        State::Rewinding { not_before: until }
    }

    /// Nothing is in hand: every partition is read from the group's committed offset.
    pub(super) fn rewind(&mut self, not_before: Duration) -> State {
        if self.waits(not_before) {
            return State::Rewinding { not_before };
        }
        if let Some(why) = self.lost.take() {
            return self.give_up_consumer(&why);
        }
        self.committed.clear();
        self.deferred.clear();
        if self.assigned.is_empty() {
            return State::Reading;
        }
        if let Err(why) = self.ports.source.rewind(SLICE * 10) {
            self.stand(&format!("can't read the group's offsets: {why}"));
            return State::Rewinding {
                not_before: self.pause_ends(),
            };
        }
        self.backoff.reset();
        State::Reading
    }

    /// The consumer is dead: another member has its name, or librdkafka gave up.
    pub(super) fn give_up_consumer(&mut self, why: &str) -> State {
        tracing::warn!(why, "the consumer can't go on; joining the group anew");
        self.stand(&format!("joining the group anew: {why}"));
        self.forget_batches();
        self.assigned.clear();
        self.committed.clear();
        self.deferred.clear();
        self.joined = false;
        State::Rejoining {
            until: self.pause_ends(),
        }
    }

    pub(super) fn rejoin(&mut self, until: Duration) -> Result<State, Failure> {
        if self.waits(until) {
            return Ok(State::Rejoining { until });
        }
        self.ports.source.reopen()?;
        Ok(State::Reading)
    }

    /// Stays in the group for a little while; false when `until` is over.
    fn waits(&mut self, until: Duration) -> bool {
        let left = until.saturating_sub(self.now());
        if left.is_zero() {
            return false;
        }
        self.stay_in_group(left.min(SLICE));
        true
    }

    pub(super) fn pause_ends(&mut self) -> Duration {
        self.now() + self.backoff.next_pause()
    }

    pub(super) fn stand(&mut self, reason: &str) {
        self.ports.observer.standing(reason);
    }
}
