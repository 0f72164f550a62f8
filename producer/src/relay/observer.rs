//! Metrics, readiness and traces of the relay.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use runtime::clock::MonotonicClock;
use runtime::health::Part;
use runtime::metrics::{self as names, Count};
use runtime::traces::{Moments, Span, SpanKind, Tracer, message_count, messaging, new_trace};

use super::ports::{Observer, SampledRows};
use super::shared_low_water::SharedLowWater;

/// The metrics, the readiness and the traces of the relay. Metrics are looked up once; a batch only
/// adds to them.
pub(super) struct RelayObserver {
    part: Part,
    low_water: SharedLowWater,
    active: Gauge,
    published: Counter,
    committed: Counter,
    batch_records: Histogram,
    traces: Option<RelayTraces>,
}

/// What the relay needs to record spans.
struct RelayTraces {
    tracer: Tracer,
    clock: MonotonicClock,
    topic: String,
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
            traces: None,
        };
        observer.active.set(0);
        observer
    }

    /// Records spans of sampled rows that are published to `topic`. `clock` is the relay's.
    pub(super) fn tracing(mut self, tracer: Tracer, clock: MonotonicClock, topic: &str) -> Self {
        self.traces = tracer.is_on().then(|| RelayTraces {
            tracer,
            clock,
            topic: topic.to_owned(),
        });
        self
    }
}

impl RelayTraces {
    /// Records a `create` span for each sampled row, and a `send` span for the transaction that
    /// published them.
    fn record(&self, sampled: &SampledRows, rows: usize, (began, ended): (Duration, Duration)) {
        let Self {
            tracer,
            clock,
            topic,
        } = self;
        let moments = Moments::of(clock);
        tracer.note_left_out(sampled.left_out);
        for row in &sampled.rows {
            let at = moments.at(row.at);
            let name = format!("create {topic}");
            let span = Span::new(row.created, SpanKind::Producer, name, (at, at));
            tracer.record(
                span.child_of(Some(row.parent))
                    .with(messaging("create", "create", topic)),
            );
        }
        let times = (moments.at(began), moments.at(ended));
        let span = Span::new(
            new_trace(),
            SpanKind::Client,
            format!("send {topic}"),
            times,
        );
        tracer.record(
            span.with(messaging("send", "send", topic))
                .with([message_count(rows)])
                .linked_to(sampled.rows.iter().map(|row| row.created)),
        );
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

    fn is_tracing(&self) -> bool {
        self.traces.is_some()
    }

    fn published_sampled(
        &mut self,
        sampled: &SampledRows,
        rows: usize,
        (began, ended): (Duration, Duration),
    ) {
        if let Some(traces) = &self.traces {
            traces.record(sampled, rows, (began, ended));
        }
    }
}
