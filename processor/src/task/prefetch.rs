//! Finishing a transaction on its producer's thread, and reading ahead under a backlog meanwhile.
//!
//! A transaction's end is three calls that can block, so the producer's thread makes them and the
//! loop waits for the outcome, in slices. When the batch was full there is more to read, so the next
//! batch is begun meanwhile: from what the client has at hand, without polling the group, so that no
//! rebalance meets the open transaction. Nothing of it is written before that transaction is
//! committed; if it is not, both batches are forgotten and read again. Without a backlog nothing is
//! read meanwhile: the loop sleeps until the outcome wakes it.

use std::time::Duration;

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::Clock;
use runtime::kafka::{Stage, Unfinished};
use runtime::registry::SchemaSource;
use runtime::stepping::Step;
use schemas::OrderStatusPlan;

use super::fill::{BatchSlot, Received};
use super::{SLICE, State, Task};
use crate::batch::Batch;
use crate::ports::{Log, Observer, TransactionEnd};

/// So many records are read between two looks whether the transaction is finished.
const RECORDS_A_STEP: usize = 500;

/// How long a look waits when there is nothing to read.
const LOOK: Duration = Duration::from_millis(1);

/// The next batch.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Whether it is read at all while the transaction is finished.
    pub(super) is_wanted: bool,
    pub(super) batch: Batch,
    /// Why it is not read on, if so.
    pub(super) end: Option<Received>,
    /// As it was before this batch.
    pub(super) breaker_before: CircuitBreaker,
    pub(super) began: Duration,
}

impl Ahead {
    pub(super) const fn new(batch: Batch, breaker_before: CircuitBreaker) -> Self {
        Self {
            is_wanted: false,
            batch,
            end: None,
            breaker_before,
            began: Duration::ZERO,
        }
    }

    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.end = None;
    }
}

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// Where the log can do it. Under a backlog the next batch is read meanwhile; but a record that
    /// waits for its schema is judged before any other.
    pub(super) fn begin_to_finish_beside(&mut self) -> bool {
        debug_assert!(self.ahead.batch.is_empty(), "one batch ahead");
        self.ahead.is_wanted = self.batch_is_full() && self.held.is_none();
        if self.ahead.is_wanted {
            self.ahead.breaker_before = self.breaker.clone();
        }
        self.log.finish_beside(&self.batch.positions(), SLICE)
    }

    /// Waits until the transaction is finished, and reads the next batch meanwhile if that is wanted.
    pub(super) fn finish(&mut self) -> Step {
        let wait = if !self.ahead.is_wanted {
            SLICE
        } else if self.read_ahead() {
            Duration::ZERO
        } else {
            LOOK
        };
        match self.log.poll_finish(wait) {
            None => Step::Continue,
            Some(Ok(())) => {
                self.observer.transaction_ended(TransactionEnd::Committed);
                self.settle_batch();
                if self.ahead.is_wanted {
                    self.take_up_what_was_read_ahead();
                    // No transaction is open. Under a sustained backlog this is the only place where
                    // the group is polled.
                    self.stay_in_group(Duration::ZERO);
                }
                self.state = State::Reading;
                Step::Continue
            }
            // From here on one call after the other, and the group is polled between them. None of
            // these ways leads to the batch ahead: after an interruption all is read again.
            Some(Err(Unfinished { stage, error })) => match stage {
                Stage::SendingOffsets => {
                    self.state = State::SendingOffsets;
                    self.again_or_recover(error)
                }
                Stage::Draining => {
                    self.state = State::Draining;
                    self.again_or_recover(error)
                }
                Stage::Committing => {
                    self.state = State::Committing;
                    self.take_commits_answer(Err(error))
                }
            },
        }
    }

    /// Says whether there may be more at hand.
    fn read_ahead(&mut self) -> bool {
        for _ in 0..RECORDS_A_STEP {
            if self.ahead.end.is_some() {
                return false;
            }
            match self.receive_ahead() {
                Received::Taken if self.is_full(&self.ahead.batch) => {
                    self.ahead.end = Some(Received::Taken);
                }
                Received::Taken => {}
                Received::Nothing => return false,
                end => self.ahead.end = Some(end),
            }
        }
        true
    }

    fn receive_ahead(&mut self) -> Received {
        let (log, intake) = self.log_and_intake(BatchSlot::Next);
        intake.take(log.poll_at_hand())
    }

    fn take_up_what_was_read_ahead(&mut self) {
        std::mem::swap(&mut self.batch, &mut self.ahead.batch);
        self.breaker_before = self.ahead.breaker_before.clone();
        self.batch_began = self.ahead.began;
    }
}
