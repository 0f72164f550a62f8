//! Metrics, readiness and traces of one task.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use runtime::flow::{FlowMetrics, FlowMonitor, FlowObserver};
use runtime::group_lag::TaskLag;
use runtime::health::Part;
use runtime::latency;
use runtime::metrics as names;
use runtime::trace_context::TraceParent;
use runtime::traces::{BatchSteps, BatchTracer, MAX_LINKS, SampledRecords};
use schemas::Reason;

use crate::batch::RowTimes;
use crate::ports::Observer;
use crate::tally::Tally;

/// The metrics, the readiness and the traces of one task.
///
/// Metrics of batches are looked up once; a batch only adds to them.
pub struct TaskObserver {
    flow: FlowMonitor,
    inserted: Counter,
    existing: Counter,
    different: Counter,
    tombstones: Counter,
    dead: Counter,
    reasons: BTreeMap<Reason, Counter>,
    batch_records: Histogram,
    batch_seconds: Histogram,
    voucher_to_row: Histogram,
    order_to_row: Histogram,
    tracer: Option<BatchTracer>,
    /// Spans of processed records whose offsets are not committed yet, as many as one span links to.
    unsettled: Vec<TraceParent>,
}

impl TaskObserver {
    /// Registers the metrics of the task of this number, which reports its readiness as `part` and how
    /// far it is behind as `lag`.
    pub fn new(task: u16, part: Part, lag: TaskLag) -> Self {
        let rows = |outcome: &'static str| counter!(names::SINK_ROWS, "outcome" => outcome);
        let flow = FlowMetrics {
            partitions: names::SINK_PARTITIONS,
            circuit_open: names::SINK_CIRCUIT_OPEN,
            refused: names::SINK_REFUSED,
            blocked: names::SINK_BLOCKED,
            blocked_offset: names::SINK_BLOCKED_OFFSET,
        };
        Self {
            flow: FlowMonitor::new(part, lag, task, flow),
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
            batch_records: histogram!(names::BATCH_RECORDS, "service" => "sink"),
            batch_seconds: histogram!(names::SINK_BATCH_SECONDS),
            voucher_to_row: histogram!(names::VOUCHER_TO_ROW_SECONDS),
            order_to_row: histogram!(names::ORDER_TO_ROW_SECONDS),
            tracer: None,
            unsettled: Vec::new(),
        }
    }

    /// Records spans of sampled vouchers.
    #[must_use]
    pub fn tracing(mut self, tracer: BatchTracer) -> Self {
        self.tracer = tracer.is_on().then_some(tracer);
        self
    }
}

impl Observer for TaskObserver {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        &mut self.flow
    }

    fn written(&mut self, took: Duration) {
        self.batch_seconds.record(took);
    }

    fn rows_committed(&mut self, times: RowTimes) {
        latency::record(&self.voucher_to_row, times.vouchers);
        latency::record(&self.order_to_row, times.orders);
    }

    fn is_tracing(&self) -> bool {
        self.tracer.is_some()
    }

    fn traced(&mut self, records: &SampledRecords, steps: BatchSteps) {
        let Some(tracer) = &self.tracer else {
            return;
        };
        let spans = tracer.batch(records, steps);
        spans.processed();
        if steps.written > 0 {
            spans.inserted("vouchers");
        }
        let room = MAX_LINKS.saturating_sub(self.unsettled.len());
        let processed = records.iter().map(|record| record.process);
        self.unsettled.extend(processed.take(room));
    }

    fn offsets_committed(&mut self, began: Duration, ended: Duration) {
        if let Some(tracer) = &self.tracer {
            tracer.settled(&self.unsettled, began, ended);
            self.unsettled.clear();
        }
    }

    fn settled(&mut self, tally: &Tally) {
        self.batch_records.record(tally.records() as f64);
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
}
