//! From a polled record to its outcome in a batch.

use std::time::Duration;

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::Clock;
use runtime::kafka::Polled;
use runtime::record::{InputRecord, OwnedRecord};
use runtime::registry::SchemaSource;
use schemas::{OrderStatusPlan, SchemaId};

use super::Task;
use super::failures::TaskFailures;
use crate::batch::Batch;
use crate::evaluate::{Evaluation, Evaluator};

/// What a poll brought.
#[derive(Debug)]
pub(super) enum Received {
    /// A record, whose outcome is in the batch.
    Added,
    /// A record that is held until its schema is known.
    AwaitsSchema { schema_id: SchemaId },
    /// A record that is held for the next batch, which will have no other record.
    Isolated,
    /// A record that made the circuit breaker open.
    CircuitOpened,
    /// No record is waiting, or an event of the group was handled.
    Nothing,
    /// The consumer cannot go on.
    Fatal(String),
}

/// The batch that a record is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchSlot {
    Current,
    Next,
}

/// Adds records to a batch. Borrows the task without its log, because the record is borrowed from the log.
pub(super) struct BatchFiller<'t, S, C> {
    evaluator: &'t Evaluator,
    schemas: &'t mut S,
    clock: &'t C,
    breaker: &'t mut CircuitBreaker,
    held: &'t mut Option<OwnedRecord>,
    failures: &'t TaskFailures,
    batch: &'t mut Batch,
    /// When the first record with an output was read; without outputs, when the batch's first record was.
    began: &'t mut Duration,
}

impl<L, S, C, O> Task<L, S, C, O> {
    /// Splits the task into its log and the filler of a batch.
    pub(super) fn log_and_filler(&mut self, slot: BatchSlot) -> (&mut L, BatchFiller<'_, S, C>) {
        let (batch, began) = match slot {
            BatchSlot::Current => (&mut self.batch, &mut self.batch_began),
            BatchSlot::Next => (&mut self.next.batch, &mut self.next.began),
        };
        let filler = BatchFiller {
            evaluator: &self.evaluator,
            schemas: &mut self.ports.schemas,
            clock: &self.ports.clock,
            breaker: &mut self.breaker,
            held: &mut self.held,
            failures: &self.failures,
            batch,
            began,
        };
        (&mut self.ports.log, filler)
    }
}

impl<S, C> BatchFiller<'_, S, C>
where
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
{
    /// Adds the outcome of the polled record to the batch.
    pub(super) fn add<R: InputRecord>(mut self, polled: Polled<R>) -> Received {
        let record = match polled {
            Polled::Record(record) => record,
            Polled::Nothing => return Received::Nothing,
            Polled::Fatal(why) => return Received::Fatal(why),
        };
        if self.failures.is_blocked(&record) && !self.batch.is_empty() {
            *self.held = Some(OwnedRecord::of(&record));
            return Received::Isolated;
        }
        let (was_empty, had_outputs) = (self.batch.is_empty(), self.batch.has_outputs());
        let received = self.evaluate(&record);
        self.batch.stamp_sampled(|| self.clock.now());
        if was_empty || had_outputs != self.batch.has_outputs() {
            *self.began = self.clock.now();
        }
        if matches!(received, Received::AwaitsSchema { .. }) {
            *self.held = Some(OwnedRecord::of(&record));
        }
        received
    }

    fn evaluate(&mut self, record: &impl InputRecord) -> Received {
        let outcome = self.evaluator.evaluate(record, self.schemas);
        if let Evaluation::Wait { schema_id } = outcome {
            return Received::AwaitsSchema { schema_id };
        }
        self.breaker.observe(match &outcome {
            Evaluation::Dead(malformed) => Some(malformed.reason()),
            _ => None,
        });
        if self.breaker.is_open() {
            return Received::CircuitOpened;
        }
        match outcome {
            Evaluation::Skip(skip) => self.batch.skip(record, skip),
            Evaluation::Voucher(issued) => self.batch.issue(record, &issued, self.evaluator),
            Evaluation::Dead(malformed) => {
                let extent = self.failures.extent_of(record);
                self.batch.add_dead_letter(record, &malformed, extent);
            }
            Evaluation::Wait { .. } => unreachable!("returned above"),
        }
        Received::Added
    }
}
