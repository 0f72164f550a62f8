//! Writing a batch and its offsets: in one transaction, or (at least once) one after the other.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{CommitError, GroupConsumer as _, TransactionError};
use runtime::record::Positions;
use runtime::registry::SchemaSource;
use runtime::traces::BatchSteps;
use schemas::OrderStatusPlan;

use super::{Guarantee, State, Task};
use crate::limits::{BROKER_CALL, MAX_TRANSACTION};
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    pub(super) fn produce(&mut self) -> State {
        self.deadline = self.now() + MAX_TRANSACTION;
        self.settling = None;
        self.interrupted = false;
        if self.is_transactional()
            && let Err(error) = self.ports.log.begin()
        {
            return self.recover(State::Producing, error);
        }
        let log = &mut self.ports.log;
        match self.batch.each_output(|record| log.send(record)) {
            Ok(()) => match self.guarantee {
                Guarantee::ExactlyOnce => self.begin_finish(),
                Guarantee::AtLeastOnce => State::Draining,
            },
            // The producer's queue is larger than a batch: if it is full, the broker accepts nothing.
            Err(TransactionError::Retriable(why)) => {
                self.recover(State::Producing, TransactionError::Abortable(why))
            }
            Err(error) => self.recover(State::Producing, error),
        }
    }

    /// Adds the offsets while the records are on their way. If one of the records does not arrive, the
    /// transaction is aborted, offsets included.
    pub(super) fn send_offsets(&mut self) -> State {
        let positions = self.batch.positions();
        match self.ports.log.send_offsets(&positions, BROKER_CALL) {
            Ok(()) => State::Draining,
            Err(error) => self.repeat_or_recover(State::SendingOffsets, error),
        }
    }

    pub(super) fn drain(&mut self) -> State {
        match self.ports.log.drain(BROKER_CALL) {
            Ok(()) => match self.guarantee {
                Guarantee::ExactlyOnce => State::Committing,
                Guarantee::AtLeastOnce => self.defer_offsets(),
            },
            Err(error) => self.repeat_or_recover(State::Draining, error),
        }
    }

    /// Settles an acknowledged batch (at least once). Its offsets are committed later.
    fn defer_offsets(&mut self) -> State {
        self.interrupted = false;
        let now = self.now();
        let positions = self.batch.positions();
        self.deferred.add(&positions, now);
        self.finish_batch(&positions);
        if self.deferred.are_due(now) {
            State::CommittingOffsets
        } else {
            State::Reading
        }
    }

    pub(super) fn commit(&mut self) -> State {
        let answer = self.ports.log.commit(BROKER_CALL);
        self.handle_commit(answer)
    }

    /// Returns the state that follows the answer to a commit.
    pub(super) fn handle_commit(&mut self, answer: Result<(), TransactionError>) -> State {
        match answer {
            Ok(()) => {
                self.count_transaction("committed");
                self.settle_batch();
                if !self.interrupted {
                    return State::Reading;
                }
                // The prefetched records will be read, and counted, again.
                if self.next.is_prefetched {
                    self.breaker_before = self.next.breaker_before.clone();
                }
                State::Opening
            }
            // The commit is in progress, and only its own answer tells how it ends.
            Err(TransactionError::Retriable(why)) => {
                self.interrupted = true;
                if self.now() >= self.deadline {
                    return self.recover(State::Committing, TransactionError::Fatal(why));
                }
                self.report_blocked(&format!("waiting for the answer to a commit: {why}"));
                self.stay_in_group(Duration::ZERO);
                State::Committing
            }
            Err(error) => self.recover(State::Committing, error),
        }
    }

    /// Commits offsets without a transaction: those of records that earn nothing, and those of batches that
    /// are acknowledged already.
    pub(super) fn commit_offsets(&mut self) -> State {
        self.note_settling();
        let mut positions = self.deferred.positions().clone();
        positions.extend(self.batch.positions());
        match self.ports.log.consumer().commit_offsets(&positions) {
            Ok(()) => {
                self.assignment.note_committed(&self.deferred.take());
                self.failures.note_progress(&positions);
                self.backoff.reset();
                if !self.batch.is_empty() {
                    self.settle_batch();
                }
                State::Reading
            }
            Err(CommitError::NotOwner(error)) => {
                // If a partition has a new owner, that one comes to the same outcomes.
                tracing::debug!(%error, "offsets not committed: the group moved on");
                self.failures.note_failure();
                if self.can_repeat() {
                    return self.begin_to_repeat();
                }
                self.forget_batches();
                State::Rewinding
            }
            Err(CommitError::ReadAgain(error)) => {
                tracing::debug!(%error, "it is not certain that the offsets were committed; their records are read again");
                State::WaitingToOpen {
                    until: self.back_off(),
                }
            }
            Err(CommitError::Unavailable(error)) => {
                tracing::debug!(%error, "offsets not committed yet");
                // The outcomes remain valid, and a later commit covers these offsets.
                self.batch.clear_outputs();
                self.report_blocked(&format!("cannot commit offsets: {error}"));
                let pause = self.pause_for_broker();
                if self.stay_in_group(pause) {
                    self.forget_batches();
                    return State::Rewinding;
                }
                State::CommittingOffsets
            }
        }
    }

    /// Aborts the transaction, after all its records are acknowledged: an abort must not overtake the
    /// registration of the first record with the coordinator (confluentinc/librdkafka#4849).
    pub(super) fn abort(&mut self) -> State {
        let is_late = self.now() >= self.deadline;
        if let Err(TransactionError::Retriable(_)) = self.ports.log.drain(BROKER_CALL)
            && !is_late
        {
            self.stay_in_group_before_abort();
            return State::Aborting;
        }
        // A delivery report may have come only now.
        self.learn_refusals();
        match self.ports.log.abort(BROKER_CALL) {
            Ok(()) => {
                self.count_transaction("aborted");
                if self.can_repeat() {
                    return self.begin_to_repeat();
                }
                let until = self.back_off();
                if self.interrupted {
                    State::WaitingToOpen { until }
                } else {
                    State::WaitingToRewind { until }
                }
            }
            Err(TransactionError::Retriable(why)) if !is_late => {
                self.interrupted = true;
                self.report_blocked(&format!("waiting to abort: {why}"));
                self.stay_in_group_before_abort();
                State::Aborting
            }
            Err(TransactionError::Retriable(why) | TransactionError::Abortable(why)) => {
                self.recover(State::Aborting, TransactionError::Fatal(why))
            }
            Err(error) => self.recover(State::Aborting, error),
        }
    }

    fn stay_in_group_before_abort(&mut self) {
        if self.stay_in_group(Duration::ZERO) {
            self.forget_refusals();
        }
    }

    /// Notes that the batch and its offsets are durable.
    pub(super) fn settle_batch(&mut self) {
        let positions = self.batch.positions();
        self.assignment.note_committed(&positions);
        self.finish_batch(&positions);
    }

    /// Counts the batch, whose records are durable up to `positions`, and empties it.
    fn finish_batch(&mut self, positions: &Positions) {
        self.failures.note_progress(positions);
        self.report_health();
        let took = self.now().saturating_sub(self.batch_began);
        let observer = &mut self.ports.observer;
        observer.committed(self.batch.tallies(), took);
        observer.vouchers_committed(self.batch.voucher_times());
        self.report_sampled();
        self.batch.clear();
        self.forgotten = None;
        self.breaker_before = self.breaker.clone();
        self.backoff.reset();
    }

    /// Notes when the commit of the batch's offsets begins. Reads the clock only if spans are recorded.
    pub(super) fn note_settling(&mut self) {
        if !self.batch.sampled().is_empty() {
            self.settling = Some(self.now());
        }
    }

    /// Reports the sampled records of the batch, whose outcomes are durable now.
    fn report_sampled(&mut self) {
        let settling = self.settling.take();
        if self.batch.sampled().is_empty() {
            return;
        }
        let ended = self.now();
        let complete = if self.batch.has_outputs() {
            self.deadline.saturating_sub(MAX_TRANSACTION)
        } else {
            settling.unwrap_or(ended)
        };
        let steps = BatchSteps {
            records: self.batch.records(),
            written: self.batch.outputs(),
            began: self.batch_began,
            complete,
            settling,
            ended,
        };
        let observer = &mut self.ports.observer;
        observer.traced(self.batch.sampled(), steps);
    }
}
