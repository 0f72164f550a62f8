//! Metrics and readiness of one task.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use runtime::flow::{Flow, FlowMetrics};
use runtime::health::Part;
use runtime::kafka::Blocked;
use runtime::metrics as names;
use schemas::Reason;

use crate::batch::Tally;
use crate::ports::{Observer, Refusal, TransactionEnd};
use crate::rule::Skip;

/// Handles are looked up once; a batch only adds. Every label value is there from the start, at 0: the
/// first dead letter of a reason would not be an increase otherwise.
pub struct TaskObserver {
    flow: Flow,
    vouchers: Counter,
    skipped: Counter,
    dead: Counter,
    skips: HashMap<Skip, Counter>,
    reasons: HashMap<Reason, Counter>,
    committed: Counter,
    aborted: Counter,
    unknown: Counter,
    seconds: Histogram,
    fenced: Counter,
    reduced: Counter,
    blocked: Counter,
    partitions: Gauge,
    circuit: Gauge,
}

impl TaskObserver {
    /// Of the task with this number.
    pub fn new(task: u16, part: Part) -> Self {
        let records =
            |outcome: &'static str| counter!(names::PROCESSOR_RECORDS, "outcome" => outcome);
        let transactions =
            |outcome: &'static str| counter!(names::PROCESSOR_TRANSACTIONS, "outcome" => outcome);
        let refused =
            |outcome: &'static str| counter!(names::PROCESSOR_REFUSED, "outcome" => outcome);
        let task = task.to_string();
        Self {
            flow: Flow::new(
                part,
                FlowMetrics {
                    blocked: names::PROCESSOR_BLOCKED,
                    offset: names::PROCESSOR_BLOCKED_OFFSET,
                },
            ),
            vouchers: records("voucher"),
            skipped: records("skipped"),
            dead: records("dead_letter"),
            skips: Skip::ALL
                .into_iter()
                .map(|skip| {
                    (
                        skip,
                        counter!(names::PROCESSOR_SKIPPED, "reason" => skip.as_str()),
                    )
                })
                .collect(),
            reasons: Reason::ALL
                .iter()
                .map(|reason| {
                    (
                        *reason,
                        counter!(names::PROCESSOR_DEAD_LETTERS, "reason" => reason.as_str()),
                    )
                })
                .collect(),
            committed: transactions("committed"),
            aborted: transactions("aborted"),
            unknown: transactions("unknown"),
            seconds: histogram!(names::PROCESSOR_TRANSACTION_SECONDS),
            fenced: counter!(names::PROCESSOR_FENCED),
            reduced: refused("reduced"),
            blocked: refused("blocked"),
            partitions: gauge!(names::PROCESSOR_PARTITIONS, "task" => task.clone()),
            circuit: gauge!(names::PROCESSOR_CIRCUIT_OPEN, "task" => task),
        }
    }
}

impl Observer for TaskObserver {
    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, took: Duration) {
        let mut written = 0;
        for tally in tallies {
            written += tally.vouchers + tally.dead.values().sum::<u64>();
            self.vouchers.increment(tally.vouchers);
            for (skip, count) in &tally.skipped {
                self.skipped.increment(*count);
                if let Some(counter) = self.skips.get(skip) {
                    counter.increment(*count);
                }
            }
            for (reason, count) in &tally.dead {
                self.dead.increment(*count);
                if let Some(counter) = self.reasons.get(reason) {
                    counter.increment(*count);
                }
            }
        }
        // Of offsets alone nobody waits for the commit.
        if written > 0 {
            self.seconds.record(took);
        }
    }

    fn transaction_ended(&mut self, end: TransactionEnd) {
        match end {
            TransactionEnd::Committed => &self.committed,
            TransactionEnd::Aborted => &self.aborted,
            TransactionEnd::Unknown => &self.unknown,
        }
        .increment(1);
    }

    fn refused(&mut self, records: usize, refusal: Refusal) {
        match refusal {
            Refusal::Reduced => &self.reduced,
            Refusal::Blocked => &self.blocked,
        }
        .increment(records as u64);
    }

    fn fenced(&mut self) {
        self.fenced.increment(1);
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
