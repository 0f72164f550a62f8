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
use crate::ports::{Observer, TransactionEnd};
use crate::rule::Skip;

/// The metrics, the readiness and the traces of one task.
///
/// Metrics are looked up once; a batch only adds to them. Every label value exists from the start, at
/// 0: without that the first dead letter of a reason would not be an increase.
pub struct TaskObserver {
    flow: FlowMonitor,
    vouchers: Counter,
    skipped: Counter,
    dead: Counter,
    skips: HashMap<Skip, Counter>,
    reasons: HashMap<Reason, Counter>,
    committed: Counter,
    aborted: Counter,
    unknown: Counter,
    seconds: Histogram,
    order_to_voucher: Histogram,
    fenced: Counter,
    /// With the topic of the vouchers.
    tracer: Option<(BatchTracer, String)>,
}

impl TaskObserver {
    /// Registers the metrics of the task of this number, which reports its readiness as `part` and how
    /// far it is behind as `lag`.
    pub fn new(task: u16, part: Part, lag: TaskLag) -> Self {
        let records =
            |outcome: &'static str| counter!(names::PROCESSOR_RECORDS, "outcome" => outcome);
        let transactions =
            |outcome: &'static str| counter!(names::PROCESSOR_TRANSACTIONS, "outcome" => outcome);
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
            committed: transactions("committed"),
            aborted: transactions("aborted"),
            unknown: transactions("unknown"),
            seconds: histogram!(names::PROCESSOR_TRANSACTION_SECONDS),
            order_to_voucher: histogram!(names::ORDER_TO_VOUCHER_SECONDS),
            fenced: counter!(names::PROCESSOR_FENCED),
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
        // Nobody waits for a commit of offsets alone.
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

    fn transaction_ended(&mut self, end: TransactionEnd) {
        match end {
            TransactionEnd::Committed => &self.committed,
            TransactionEnd::Aborted => &self.aborted,
            TransactionEnd::Unknown => &self.unknown,
        }
        .increment(1);
    }

    fn fenced(&mut self) {
        self.fenced.increment(1);
    }
}
