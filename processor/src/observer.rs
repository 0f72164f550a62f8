//! Metrics, readiness and traces of one task.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use runtime::flow::{FlowMetrics, FlowMonitor, FlowObserver};
use runtime::group_lag::TaskLag;
use runtime::health::Part;
use runtime::latency::{self, RecordTimes};
use runtime::metrics as names;
use runtime::traces::{BatchSteps, BatchTracer, SampledRecords};
use schemas::Reason;

use crate::batch::Tally;
use crate::ports::Observer;
use crate::rule::Skip;

/// The metrics, the readiness and the traces of one task.
///
/// Metrics of batches are looked up once; a batch only adds to them.
pub struct TaskObserver {
    flow: FlowMonitor,
    vouchers: Counter,
    skipped: Counter,
    dead: Counter,
    skips: HashMap<Skip, Counter>,
    reasons: HashMap<Reason, Counter>,
    batch_records: Histogram,
    seconds: Histogram,
    order_to_voucher: Histogram,
    /// The tracer and the topic of the vouchers; `None` without a collector.
    tracer: Option<(BatchTracer, String)>,
}

impl TaskObserver {
    /// Registers the metrics of the task of this number, which reports its readiness as `part` and how
    /// far it is behind as `lag`.
    pub fn new(task: u16, part: Part, lag: TaskLag) -> Self {
        let records =
            |outcome: &'static str| counter!(names::PROCESSOR_RECORDS, "outcome" => outcome);
        let flow = FlowMetrics {
            partitions: names::PROCESSOR_PARTITIONS,
            circuit_open: names::PROCESSOR_CIRCUIT_OPEN,
            refused: names::PROCESSOR_REFUSED,
            blocked: names::PROCESSOR_BLOCKED,
            blocked_offset: names::PROCESSOR_BLOCKED_OFFSET,
        };
        Self {
            flow: FlowMonitor::new(part, lag, task, flow),
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
            batch_records: histogram!(names::BATCH_RECORDS, "service" => "processor"),
            seconds: histogram!(names::PROCESSOR_TRANSACTION_SECONDS),
            order_to_voucher: histogram!(names::ORDER_TO_VOUCHER_SECONDS),
            tracer: None,
        }
    }

    /// Records spans of sampled orders whose vouchers go to the topic `vouchers`.
    #[must_use]
    pub fn tracing(mut self, tracer: BatchTracer, vouchers: &str) -> Self {
        self.tracer = tracer.is_on().then(|| (tracer, vouchers.to_owned()));
        self
    }
}

impl Observer for TaskObserver {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        &mut self.flow
    }

    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, took: Duration) {
        let (mut records, mut written) = (0, 0);
        for tally in tallies {
            records += tally.records();
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
        self.batch_records.record(records as f64);
        // A commit of offsets alone delays no voucher and no dead letter.
        if written > 0 {
            self.seconds.record(took);
        }
    }

    fn vouchers_committed(&mut self, orders: RecordTimes) {
        latency::record(&self.order_to_voucher, orders);
    }

    fn is_tracing(&self) -> bool {
        self.tracer.is_some()
    }

    fn traced(&mut self, records: &SampledRecords, steps: BatchSteps) {
        if let Some((tracer, vouchers)) = &self.tracer {
            let spans = tracer.batch(records, steps);
            spans.processed();
            spans.sent(vouchers);
            spans.settled();
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::metrics::Values;

    use super::*;

    /// The metric is registered at 0 for the values that the table of metrics lists.
    #[test]
    fn every_reason_to_skip_a_record_is_listed_as_a_label() {
        let metric = names::ALL
            .iter()
            .find(|metric| metric.name == names::PROCESSOR_SKIPPED)
            .unwrap();
        let Values::Known(listed) = metric.labels[0].values else {
            panic!("the reasons are known");
        };
        let reasons: Vec<_> = Skip::ALL.iter().map(|skip| skip.as_str()).collect();
        assert_eq!(listed.to_vec(), reasons);
    }
}
