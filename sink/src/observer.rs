//! Metrics and readiness of one task.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use runtime::flow::{Flow, FlowMetrics};
use runtime::health::Part;
use runtime::kafka::Blocked;
use runtime::metrics as names;
use schemas::Reason;

use crate::ports::{Cause, Observer, Refusal};
use crate::tally::Tally;

/// Handles are looked up once; a batch only adds. Every label value is there from the start, at 0: the
/// first dead letter of a reason would not be an increase otherwise.
pub struct TaskObserver {
    flow: Flow,
    inserted: Counter,
    existing: Counter,
    different: Counter,
    tombstones: Counter,
    dead: Counter,
    reasons: BTreeMap<Reason, Counter>,
    batch_seconds: Histogram,
    data_errors: Counter,
    outages: Counter,
    reduced: Counter,
    blocked: Counter,
    circuit: Gauge,
    partitions: Gauge,
}

impl TaskObserver {
    /// Of the task with this number.
    pub fn new(task: u16, part: Part) -> Self {
        let rows = |outcome: &'static str| counter!(names::SINK_ROWS, "outcome" => outcome);
        let errors = |cause: &'static str| counter!(names::SINK_WRITE_ERRORS, "cause" => cause);
        let refused = |outcome: &'static str| counter!(names::SINK_REFUSED, "outcome" => outcome);
        let task = task.to_string();
        Self {
            flow: Flow::new(
                part,
                FlowMetrics {
                    blocked: names::SINK_BLOCKED,
                    offset: names::SINK_BLOCKED_OFFSET,
                },
            ),
            inserted: rows("inserted"),
            existing: rows("existing"),
            different: rows("different"),
            tombstones: rows("tombstone"),
            dead: rows("dead_letter"),
            reasons: Reason::ALL
                .iter()
                .map(|reason| {
                    (
                        *reason,
                        counter!(names::SINK_DEAD_LETTERS, "reason" => reason.as_str()),
                    )
                })
                .collect(),
            batch_seconds: histogram!(names::SINK_BATCH_SECONDS),
            data_errors: errors("data"),
            outages: errors("unavailable"),
            reduced: refused("reduced"),
            blocked: refused("blocked"),
            circuit: gauge!(names::SINK_CIRCUIT_OPEN, "task" => task.clone()),
            partitions: gauge!(names::SINK_PARTITIONS, "task" => task),
        }
    }
}

impl Observer for TaskObserver {
    fn written(&mut self, took: Duration) {
        self.batch_seconds.record(took);
    }

    fn write_failed(&mut self, cause: Cause) {
        match cause {
            Cause::Data => &self.data_errors,
            Cause::Unavailable => &self.outages,
        }
        .increment(1);
    }

    fn refused(&mut self, letters: usize, refusal: Refusal) {
        match refusal {
            Refusal::Reduced => &self.reduced,
            Refusal::Blocked => &self.blocked,
        }
        .increment(letters as u64);
    }

    fn settled(&mut self, tally: &Tally) {
        self.inserted.increment(tally.inserted);
        self.existing.increment(tally.existing);
        self.different.increment(tally.different);
        self.tombstones.increment(tally.tombstones);
        for (reason, count) in &tally.dead {
            self.dead.increment(*count);
            if let Some(counter) = self.reasons.get(reason) {
                counter.increment(*count);
            }
        }
    }

    fn assigned(&mut self, partitions: usize) {
        self.partitions
            .set(u32::try_from(partitions).unwrap_or(u32::MAX));
    }

    fn flowing(&mut self) {
        self.flow.flowing();
    }

    fn blocked(&mut self, blocked: &[Blocked]) {
        self.flow.blocked(blocked);
    }

    fn standing(&mut self, reason: &str) {
        self.flow.standing(reason);
    }

    fn circuit(&mut self, open: bool) {
        self.circuit.set(u8::from(open));
    }
}
