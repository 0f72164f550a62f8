//! Metrics and readiness of the relay.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use runtime::health::Part;
use runtime::metrics::{self as names, Count};

use super::ports::Observer;
use super::shared_low_water::SharedLowWater;

/// The metrics and the readiness of the relay. Metrics are looked up once; a batch only adds to them.
pub(super) struct RelayObserver {
    part: Part,
    low_water: SharedLowWater,
    active: Gauge,
    published: Counter,
    committed: Counter,
    batch_records: Histogram,
}

impl RelayObserver {
    /// Registers the metrics. `part` is never "not ready": without the relay the ingress accepts orders
    /// all the same.
    pub(super) fn new(part: Part, low_water: SharedLowWater) -> Self {
        let observer = Self {
            part,
            low_water,
            active: gauge!(names::RELAY_ACTIVE),
            published: counter!(names::RELAY_PUBLISHED),
            committed: counter!(names::RELAY_TRANSACTIONS, "outcome" => "committed"),
            batch_records: histogram!(names::BATCH_RECORDS, "service" => "producer"),
        };
        observer.active.set(0);
        observer
    }
}

impl Observer for RelayObserver {
    fn standing_by(&mut self) {
        self.part.ready();
    }

    fn active(&mut self) {
        tracing::debug!("this instance's relay publishes");
        self.active.set(1);
        self.low_water.set_ours(true);
    }

    fn inactive(&mut self) {
        self.active.set(0);
        self.low_water.set_ours(false);
    }

    fn low_water(&mut self, mark: i64) {
        self.low_water.reached(mark);
    }

    fn healthy(&mut self) {
        self.part.ready();
    }

    fn blocked(&mut self, reason: &str) {
        self.part.degraded(reason);
    }

    fn published(&mut self, rows: usize) {
        self.committed.increment(1);
        self.batch_records.record(rows as f64);
        self.published
            .increment(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    fn count(&mut self, count: Count) {
        count.record();
    }
}
