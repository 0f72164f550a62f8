//! Reading: records are polled and evaluated until no record is waiting or the batch is full.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{GroupConsumer as _, Polled};
use runtime::lifecycle::Failure;
use runtime::record::OwnedRecord;
use runtime::registry::SchemaSource;
use schemas::{OrderStatusPlan, SchemaId};

use super::fill::{BatchSlot, Received};
use super::{State, Task};
use crate::batch::Batch;
use crate::limits::{IDLE_POLL, SKIPPED_BATCH_GROWTH};
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    pub(super) fn read(&mut self) -> Result<State, Failure> {
        if self.batch.is_empty() && self.deferred.is_empty() && self.starts_are_held_back() {
            return Ok(Self::search_for_hanging_transactions());
        }
        let mut received = self.receive_first();
        let mut has_grown = true;
        loop {
            match received {
                Received::Added if self.is_full(&self.batch) => return Ok(self.end_batch(None)),
                Received::Added => {
                    has_grown = true;
                    received = self.receive(Duration::ZERO);
                }
                Received::Nothing => {
                    self.follow_assignment();
                    let timeout = self.growth_left();
                    if timeout.is_zero() || !has_grown {
                        return Ok(self.end_batch(None));
                    }
                    has_grown = false;
                    received = self.receive(timeout);
                }
                Received::Isolated => return Ok(self.end_batch(None)),
                Received::AwaitsSchema { schema_id } => {
                    return Ok(self.end_batch(Some(schema_id)));
                }
                Received::CircuitOpened => return Ok(self.open_circuit()),
                Received::Fatal(why) => return self.rejoin(&why),
            }
        }
    }

    /// Receives the first record of a batch, or the first after those that were prefetched.
    fn receive_first(&mut self) -> Received {
        if let Some(end) = self.next.end.take() {
            return end;
        }
        if !self.batch.is_empty() {
            return self.receive(Duration::ZERO);
        }
        self.breaker_before = self.breaker.clone();
        match self.held.take() {
            Some(held) => self.receive_held(held),
            None => self.receive(self.idle_timeout()),
        }
    }

    /// Polls for one record and adds its outcome to the batch.
    fn receive(&mut self, timeout: Duration) -> Received {
        let (log, filler) = self.log_and_filler(BatchSlot::Current);
        filler.add(log.consumer().poll(timeout))
    }

    fn receive_held(&mut self, held: OwnedRecord) -> Received {
        let (_, filler) = self.log_and_filler(BatchSlot::Current);
        filler.add(Polled::Record(held))
    }

    /// Returns how long the first poll of a batch waits.
    fn idle_timeout(&self) -> Duration {
        let left = self.deferred.time_left(self.now());
        left.map_or(IDLE_POLL, |left| left.min(IDLE_POLL))
    }

    /// Returns how long the batch may still grow. A batch with outputs is written without waiting.
    fn growth_left(&self) -> Duration {
        if self.batch.is_empty() || self.batch.has_outputs() {
            return Duration::ZERO;
        }
        (self.batch_began + SKIPPED_BATCH_GROWTH).saturating_sub(self.now())
    }

    pub(super) fn is_full(&self, batch: &Batch) -> bool {
        batch.records() >= self.limits.records
            || batch.outputs() >= self.limits.outputs
            || batch.bytes() >= self.limits.bytes
            || self.failures.end_batch(batch)
    }

    /// Returns the state that writes the batch, commits its offsets, or waits for the schema that ended
    /// it.
    pub(super) fn end_batch(&mut self, missing_schema: Option<SchemaId>) -> State {
        if missing_schema.is_none() {
            self.report_health();
        }
        if self.batch.has_outputs() {
            return State::Producing;
        }
        if !self.batch.is_empty() {
            return State::CommittingOffsets;
        }
        if !self.deferred.is_empty() {
            // The registry may take long to return the schema: the offsets don't wait for it.
            let is_due = missing_schema.is_some() || self.deferred.are_due(self.now());
            return if is_due {
                State::CommittingOffsets
            } else {
                State::Reading
            };
        }
        if let Some(schema_id) = missing_schema {
            return State::WaitingForSchema { schema_id };
        }
        // The held record is in no batch: nothing may be committed past it.
        if self.held.is_none() {
            self.commit_what_is_read();
        }
        State::Reading
    }

    /// Commits the offsets past the control records at the end of the last transactions, so that the
    /// group shows no lag when it is idle. Every record that was read is committed already.
    fn commit_what_is_read(&mut self) {
        let consumer = self.ports.log.consumer();
        if self.assignment.is_read_to_the_end(consumer) {
            self.forgotten = None;
        }
        let positions = consumer.positions();
        if positions.len() >= self.assignment.len() {
            // Every partition was read to its end, so no record is left that could fail again. The one
            // that failed may have been removed by compaction.
            self.failures.note_progress(&positions);
        }
        let uncommitted = self.assignment.uncommitted(positions);
        if !uncommitted.is_empty() && consumer.commit_offsets(&uncommitted).is_ok() {
            self.assignment.note_committed(&uncommitted);
        }
    }
}
