//! Metrics and readiness of one task.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use runtime::flow::{FlowMetrics, FlowMonitor, FlowObserver};
use runtime::group_lag::TaskLag;
use runtime::health::Part;
use runtime::latency;
use runtime::metrics as names;
use schemas::Reason;

use crate::batch::RowTimes;
use crate::ports::Observer;
use crate::tally::Tally;

/// The metrics and the readiness of one task.
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
        }
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
