//! Metrics and readiness of the relay.

use metrics::{Counter, Gauge, counter, gauge};
use runtime::health::Part;
use runtime::metrics as names;

use super::ports::Observer;
use super::shared_low_water::SharedLowWater;

/// The metrics and the readiness of the relay. Metrics are looked up once; a batch only adds to them.
pub(super) struct RelayObserver {
    part: Part,
    low_water: SharedLowWater,
    active: Gauge,
    published: Counter,
    committed: Counter,
    failed: Counter,
}

impl RelayObserver {
    /// Registers the metrics. `part` is never "not ready": without the relay the ingress accepts orders
    /// all the same.
    pub(super) fn new(part: Part, low_water: SharedLowWater) -> Self {
        let transactions =
            |outcome: &'static str| counter!(names::RELAY_TRANSACTIONS, "outcome" => outcome);
        let observer = Self {
            part,
            low_water,
            active: gauge!(names::RELAY_ACTIVE),
            published: counter!(names::RELAY_PUBLISHED),
            committed: transactions("committed"),
            failed: transactions("failed"),
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
        self.published
            .increment(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    fn transaction_failed(&mut self) {
        self.failed.increment(1);
    }
}
