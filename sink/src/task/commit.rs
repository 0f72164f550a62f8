//! Settles a batch whose rows are durable, and commits its offsets together with those of later batches.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{CommitError, GroupConsumer};
use runtime::metrics::RetryClass;
use runtime::registry::SchemaSource;
use runtime::traces::BatchSteps;
use schemas::VoucherPlan;

use super::{State, Task};
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
    /// Returns the state that follows once all rows of the current batch are settled.
    pub(super) fn end_writing(&mut self) -> State {
        if self.batch.dead().next().is_some() {
            return State::DeadLettering { sent: None };
        }
        self.settle_batch();
        self.after_batch()
    }

    /// Notes that the current batch is durable. Its offsets are to be committed.
    pub(super) fn settle_batch(&mut self) {
        let now = self.now();
        self.deferred.add(self.batch.positions(), now);
        self.ports.observer.settled(self.batch.tally());
        self.report_sampled(now);
        self.batch.clear();
        self.forgotten = None;
        self.breaker_before = self.breaker.clone();
        self.backoff.reset();
        self.report_health();
    }

    /// Reports the sampled records of the current batch, whose outcomes are durable at `now`.
    fn report_sampled(&mut self, now: Duration) {
        let writing_since = self.writing_since.take();
        if self.batch.sampled().is_empty() {
            return;
        }
        let complete = writing_since.unwrap_or(now);
        let steps = BatchSteps {
            records: self.batch.records(),
            written: writing_since.map_or(0, |_| self.batch.rows()),
            // The span of the poll begins with the first sampled record if that was read earlier.
            began: complete,
            complete,
            settling: None,
            ended: now,
        };
        self.ports.observer.traced(self.batch.sampled(), steps);
    }

    /// Returns the state that commits offsets when they are due, or when a record is held: the registry may
    /// take long to return its schema.
    pub(super) fn after_batch(&self) -> State {
        if self.held.is_some() || self.deferred.are_due(self.now()) {
            self.commit_at_once()
        } else {
            State::Reading
        }
    }

    /// Returns the state that commits offsets now. A consumer that cannot go on commits nothing: the
    /// durable records are processed again, which is idempotent.
    pub(super) const fn commit_at_once(&self) -> State {
        match self.consumer_failure {
            None => State::CommittingOffsets,
            Some(_) => State::Reading,
        }
    }

    pub(super) fn commit_offsets(&mut self) -> State {
        let since = self.sampled_commit_begins();
        match self.ports.source.commit_offsets(self.deferred.positions()) {
            Ok(()) => {
                self.assignment.note_committed(&self.deferred.take());
                self.report_commit(since);
            }
            // The new owner of a partition processes the records again, which is idempotent. Offsets of
            // partitions that stay here are committed with later records, or once all records are read. A consumer that cannot go on is
            // replaced at the next poll.
            Err(CommitError::NotOwner(error) | CommitError::ReadAgain(error)) => {
                tracing::debug!(%error, "offsets not committed; their records may be processed again");
                self.deferred.clear();
            }
            Err(CommitError::Unavailable(error)) => {
                self.report_blocked(&format!("cannot commit offsets: {error}"));
                return State::WaitingToCommit {
                    until: self.pause_ends(RetryClass::Kafka),
                };
            }
        }
        self.backoff.reset();
        self.report_health();
        State::Reading
    }

    /// Returns when a commit of offsets begins, if spans are recorded.
    pub(super) fn sampled_commit_begins(&self) -> Option<Duration> {
        self.batch.sampled().is_on().then(|| self.now())
    }

    /// Reports that a commit which began at this moment has succeeded.
    pub(super) fn report_commit(&mut self, since: Option<Duration>) {
        if let Some(since) = since {
            let now = self.now();
            self.ports.observer.offsets_committed(since, now);
        }
    }
}
