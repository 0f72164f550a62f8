//! The states before reading, at the start and after a failure: a new producer takes over the
//! transactional id, and every partition goes back to the group's committed offset.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{GroupConsumer as _, TransactionError};
use runtime::lifecycle::Failure;
use runtime::registry::SchemaSource;
use schemas::OrderStatusPlan;

use super::{Guarantee, State, Task};
use crate::limits::BROKER_CALL;
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    pub(super) fn open(&mut self) -> Result<State, Failure> {
        self.interrupted = false;
        self.ports.log.open_producer()?;
        Ok(match self.guarantee {
            Guarantee::ExactlyOnce => State::Initializing,
            Guarantee::AtLeastOnce => State::Rewinding,
        })
    }

    pub(super) fn initialize(&mut self) -> State {
        match self.ports.log.init(BROKER_CALL) {
            Ok(()) => State::Rewinding,
            Err(TransactionError::Retriable(why)) => {
                self.report_blocked(&format!("waiting for the transaction coordinator: {why}"));
                self.stay_in_group(Duration::ZERO);
                State::Initializing
            }
            Err(error) => self.recover(State::Initializing, error),
        }
    }

    /// Forgets what was read, and reads every partition from the group's committed offset.
    pub(super) fn rewind(&mut self) -> State {
        self.forget_batches();
        self.deferred.clear();
        if self.assignment.is_empty() {
            return State::Reading;
        }
        match self.ports.log.consumer().rewind(BROKER_CALL) {
            Ok(()) => {
                self.unstable_rewinds.note_stable();
                self.assignment.forget_committed();
                State::Reading
            }
            Err(why) => {
                self.report_blocked(&format!("cannot read the group's offsets: {why}"));
                let now = self.now();
                if self.is_transactional() && self.unstable_rewinds.note_unstable(now) {
                    return Self::search_for_hanging_transactions();
                }
                let pause = self.pause_for_broker();
                self.stay_in_group(pause);
                State::Rewinding
            }
        }
    }

    /// Returns whether new partitions have waited too long for the offsets at which they begin.
    pub(super) fn starts_are_held_back(&mut self) -> bool {
        if !self.ports.log.consumer().waits_for_offsets() {
            self.unstable_starts.note_stable();
            return false;
        }
        let now = self.now();
        self.is_transactional() && self.unstable_starts.note_unstable(now)
    }

    /// Returns the state that takes over this task's transactional ids again, which ends their hanging
    /// transactions.
    pub(super) fn search_for_hanging_transactions() -> State {
        tracing::warn!(
            "the group has not returned its offsets for longer than a transaction may take; searching \
             for hanging transactions"
        );
        State::Opening
    }
}
