//! From a poll to a batch: one record is judged, and its outcome taken in.

use std::time::Duration;

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::Clock;
use runtime::kafka::Polled;
use runtime::record::{InputRecord, OwnedRecord};
use runtime::registry::SchemaSource;
use schemas::{OrderStatusPlan, SchemaId};

use super::Task;
use super::setbacks::Setbacks;
use crate::batch::Batch;
use crate::evaluate::{Evaluation, Evaluator};

/// What one turn of reading brought.
#[derive(Debug)]
pub(super) enum Received {
    /// A record, and it is in the batch.
    Taken,
    /// A record that is kept aside until its schema is known.
    Held { schema_id: SchemaId },
    /// A record that is kept aside for the next batch, which will hold nothing else.
    SetAside,
    /// A record too many that is dead.
    CircuitOpened,
    /// The queue is empty, or the group had something to say.
    Nothing,
    /// The consumer can't go on.
    Fatal(String),
}

/// BatchSlot batch a record goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchSlot {
    /// The one in hand.
    Current,
    /// The next.
    Next,
}

/// The way into a batch: all of the task but its log, which a record borrows from.
pub(super) struct Intake<'t, S, C> {
    evaluator: &'t Evaluator,
    schemas: &'t mut S,
    clock: &'t C,
    breaker: &'t mut CircuitBreaker,
    held: &'t mut Option<OwnedRecord>,
    setbacks: &'t Setbacks,
    batch: &'t mut Batch,
    /// When the first record was read that needs the transaction; without any, the batch's first.
    began: &'t mut Duration,
}

impl<L, S, C, O> Task<L, S, C, O> {
    /// The log, and the way into a batch for what comes from it.
    pub(super) fn log_and_intake(&mut self, which: BatchSlot) -> (&mut L, Intake<'_, S, C>) {
        let (batch, began) = match which {
            BatchSlot::Current => (&mut self.batch, &mut self.batch_began),
            BatchSlot::Next => (&mut self.ahead.batch, &mut self.ahead.began),
        };
        let intake = Intake {
            evaluator: &self.evaluator,
            schemas: &mut self.schemas,
            clock: &self.clock,
            breaker: &mut self.breaker,
            held: &mut self.held,
            setbacks: &self.setbacks,
            batch,
            began,
        };
        (&mut self.log, intake)
    }
}

impl<S, C> Intake<'_, S, C>
where
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
{
    /// Takes in what was polled.
    pub(super) fn take<R: InputRecord>(self, polled: Polled<R>) -> Received {
        let record = match polled {
            Polled::Record(record) => record,
            Polled::Nothing => return Received::Nothing,
            Polled::Fatal(why) => return Received::Fatal(why),
        };
        if self.setbacks.is_blocked(&record) && !self.batch.is_empty() {
            *self.held = Some(OwnedRecord::of(&record));
            return Received::SetAside;
        }
        let (was_empty, had_outputs) = (self.batch.is_empty(), self.batch.has_outputs());
        let received = take_in(
            &record,
            self.evaluator,
            self.schemas,
            self.batch,
            self.breaker,
            self.setbacks,
        );
        if was_empty || had_outputs != self.batch.has_outputs() {
            *self.began = self.clock.now();
        }
        if matches!(received, Received::Held { .. }) {
            *self.held = Some(OwnedRecord::of(&record));
        }
        received
    }
}

fn take_in<S>(
    record: &impl InputRecord,
    evaluator: &Evaluator,
    schemas: &mut S,
    batch: &mut Batch,
    breaker: &mut CircuitBreaker,
    setbacks: &Setbacks,
) -> Received
where
    S: SchemaSource<Plan = OrderStatusPlan>,
{
    let outcome = evaluator.evaluate(record, schemas);
    if let Evaluation::Wait { schema_id } = outcome {
        return Received::Held { schema_id };
    }
    breaker.observe(match &outcome {
        Evaluation::Dead(malformed) => Some(malformed.reason()),
        _ => None,
    });
    if breaker.is_open() {
        return Received::CircuitOpened;
    }
    match outcome {
        Evaluation::Skip(skip) => batch.skip(record, skip),
        Evaluation::Voucher(issued) => batch.issue(record, &issued, evaluator),
        Evaluation::Dead(malformed) => batch.bury(record, &malformed, setbacks.extent_of(record)),
        Evaluation::Wait { .. } => unreachable!("returned above"),
    }
    Received::Taken
}
