//! Finishing a transaction on its producer's thread, and prefetching the next batch meanwhile.
//!
//! The end of a transaction is three calls that can block. The producer's thread makes them, and the
//! loop waits for the outcome in short steps. When the current batch is full there is a backlog, so the
//! next batch is begun meanwhile. It takes only records that the client has already fetched and does
//! not poll the group, so no rebalance happens while the transaction is open. None of these records is
//! written before the transaction is committed. If it is not committed, both batches are forgotten and
//! read again, or the one batch is written again if nothing was prefetched. Without a backlog nothing is prefetched: the loop sleeps until the outcome wakes it.

use std::time::Duration;

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::Clock;
use runtime::kafka::{GroupConsumer as _, Stage, Unfinished};
use runtime::registry::SchemaSource;
use schemas::OrderStatusPlan;

use super::fill::{BatchSlot, Received};
use super::{State, Task};
use crate::batch::Batch;
use crate::limits::{BROKER_CALL, PREFETCH_POLL, PREFETCHED_PER_STEP};
use crate::ports::{Log, Observer};

/// The next batch.
#[derive(Debug)]
pub(super) struct NextBatch {
    /// Whether it is prefetched while the current transaction is finished.
    pub(super) is_prefetched: bool,
    pub(super) batch: Batch,
    /// What ended the prefetch, if anything did.
    pub(super) end: Option<Received>,
    /// The breaker before this batch.
    pub(super) breaker_before: CircuitBreaker,
    /// See [`Task::batch_began`](super::Task).
    pub(super) began: Duration,
}

impl NextBatch {
    pub(super) const fn new(batch: Batch, breaker_before: CircuitBreaker) -> Self {
        Self {
            is_prefetched: false,
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
    /// Returns the state that finishes the open transaction: on the producer's thread where the log can
    /// do that.
    pub(super) fn begin_finish(&mut self) -> State {
        debug_assert!(self.next.batch.is_empty(), "one batch is prefetched");
        // A held record must be processed before any other, and its schema may arrive meanwhile.
        self.next.is_prefetched = self.is_full(&self.batch) && self.held.is_none();
        if self.next.is_prefetched {
            self.next.breaker_before = self.breaker.clone();
        }
        self.note_settling();
        let positions = self.batch.positions();
        if self.ports.log.begin_finish(&positions, BROKER_CALL) {
            State::Finishing
        } else {
            State::SendingOffsets
        }
    }

    /// Prefetches, and waits for the outcome of the transaction.
    pub(super) fn finish(&mut self) -> State {
        let timeout = if !self.next.is_prefetched {
            BROKER_CALL
        } else if self.prefetch() {
            Duration::ZERO
        } else {
            PREFETCH_POLL
        };
        match self.ports.log.poll_finish(timeout) {
            None => State::Finishing,
            Some(Ok(())) => {
                self.count_transaction("committed");
                self.settle_batch();
                if self.next.is_prefetched {
                    self.begin_prefetched_batch();
                    // No transaction is open. Under a sustained backlog this is the only place where
                    // the group is polled.
                    self.stay_in_group(Duration::ZERO);
                }
                State::Reading
            }
            // From here on each call is a step of its own, and the group is polled between the calls.
            // The prefetched batch is discarded: after an interruption all records are read again.
            Some(Err(Unfinished { stage, error })) => match stage {
                Stage::SendingOffsets => self.repeat_or_recover(State::SendingOffsets, error),
                Stage::Draining => self.repeat_or_recover(State::Draining, error),
                Stage::Committing => self.handle_commit(Err(error)),
            },
        }
    }

    /// Prefetches some records. Returns whether the client may have more.
    fn prefetch(&mut self) -> bool {
        for _ in 0..PREFETCHED_PER_STEP {
            if self.next.end.is_some() {
                return false;
            }
            match self.receive_fetched() {
                Received::Added if self.is_full(&self.next.batch) => {
                    self.next.end = Some(Received::Added);
                }
                Received::Added => {}
                Received::Nothing => return false,
                end => self.next.end = Some(end),
            }
        }
        true
    }

    fn receive_fetched(&mut self) -> Received {
        let (log, filler) = self.log_and_filler(BatchSlot::Next);
        filler.add(log.consumer().poll_fetched())
    }

    /// Makes the prefetched batch the current one.
    fn begin_prefetched_batch(&mut self) {
        std::mem::swap(&mut self.batch, &mut self.next.batch);
        self.breaker_before = self.next.breaker_before.clone();
        self.batch_began = self.next.began;
    }
}
