//! The queue of spans that wait for their export, its bound, and the resource that all spans belong to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::Counter;
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{
    EnvResourceDetector, ResourceDetector, TelemetryResourceDetector,
};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter as Exporter, SpanProcessor,
};

use super::settings::variable;
use super::{Span, dropped};
use crate::lifecycle::Failure;

/// Spans that wait for their export, and the thread that exports them.
#[derive(Debug)]
pub(super) struct SpanQueue {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    waiting: Arc<AtomicUsize>,
    capacity: usize,
    full: Counter,
}

impl SpanQueue {
    /// Starts the thread that exports to the collector of the environment. `capacity` spans may wait.
    ///
    /// # Errors
    /// Exit code 2 for an address or a header that cannot be used.
    pub(super) fn open(service: &str, capacity: usize) -> Result<Self, Failure> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| Failure::bad_setting(format!("OTEL_EXPORTER_OTLP_*: {error}")))?;
        exporter.set_resource(&resource(service));
        Ok(Self::over(exporter, capacity))
    }

    fn over(exporter: impl Exporter + 'static, capacity: usize) -> Self {
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = CountingExporter {
            exporter,
            waiting: Arc::clone(&waiting),
            not_exported: dropped("not_exported"),
            is_failing: AtomicBool::new(false),
        };
        // The processor also drops spans for which it has no room, without saying how many. This never
        // happens, because `push` counts the spans that wait in it.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(capacity)
            .build();
        Self {
            processor: BatchSpanProcessor::builder(exporter)
                .with_batch_config(config)
                .build(),
            scope: InstrumentationScope::builder("checkout")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            waiting,
            capacity,
            full: dropped("queue_full"),
        }
    }

    /// Adds a span, or drops it when there is no room. Never waits.
    pub(super) fn push(&self, span: Span) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.full.increment(1);
            return;
        }
        self.processor.on_end(span.into_data(self.scope.clone()));
    }

    /// Exports what waits, for at most `timeout`, and ends the thread.
    pub(super) fn shut_down(&self, timeout: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(timeout) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Counts what was taken from the queue and what was lost, and logs when exports begin to fail and
/// when they succeed again.
#[derive(Debug)]
struct CountingExporter<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    not_exported: Counter,
    is_failing: AtomicBool,
}

impl<E: Exporter> Exporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector receives spans again");
                }
            }
            Err(error) => {
                self.not_exported
                    .increment(u64::try_from(spans).unwrap_or(u64::MAX));
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        "the collector does not receive spans: they are dropped and counted, and \
                         orders are not affected; check OTEL_EXPORTER_OTLP_ENDPOINT"
                    );
                }
            }
        }
        exported
    }
}

/// Returns the resource that all spans of the process belong to. Names of the environment win over ours.
fn resource(service: &str) -> Resource {
    let given = EnvResourceDetector::new().detect();
    let name = variable("OTEL_SERVICE_NAME")
        .or_else(|| {
            let name = given.get(&Key::from_static_str("service.name"));
            name.map(|name| name.to_string())
        })
        .unwrap_or_else(|| service.to_owned());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.namespace", "checkout"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_service_name(name)
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::SystemTime;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use opentelemetry::trace::SpanKind;
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;
    use crate::trace_context::TraceParent;

    /// A collector that answers when it is told to: with an error where the answer is false.
    #[derive(Debug)]
    struct Collector {
        received: Sender<usize>,
        answers: Mutex<Receiver<bool>>,
    }

    impl Exporter for Collector {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let _ = self.received.send(batch.len());
            match self.answers.lock().unwrap().recv() {
                Ok(true) => Ok(()),
                _ => Err(OTelSdkError::InternalFailure("away".to_owned())),
            }
        }
    }

    fn span() -> Span {
        let now = SystemTime::now();
        let context = TraceParent::random().with_sampled(true);
        Span::new(context, SpanKind::Client, "poll", (now, now))
    }

    #[test]
    fn a_collector_that_does_not_answer_delays_nobody_and_what_is_lost_is_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let shown = recorder.handle();
        let (received, batches) = channel();
        let (answer, answers) = channel();
        let collector = Collector {
            received,
            answers: Mutex::new(answers),
        };
        let queue = metrics::with_local_recorder(&recorder, || SpanQueue::over(collector, 4));
        // The first four are taken at once and not answered; four more wait, and the others are dropped.
        (0..4).for_each(|_| queue.push(span()));
        let mut taken = 0;
        while taken < 4 {
            taken += batches.recv_timeout(Duration::from_secs(60)).unwrap();
            if taken < 4 {
                answer.send(true).unwrap();
            }
        }
        (0..10).for_each(|_| queue.push(span()));
        let lost = |reason: &str, spans: u64| {
            let line =
                format!("checkout_trace_spans_dropped_total{{reason=\"{reason}\"}} {spans}\n");
            let shown = shown.render();
            assert!(shown.contains(&line), "{line} in {shown}");
        };
        lost("queue_full", 6);
        // The shutdown does not wait longer than it may.
        queue.shut_down(Duration::from_millis(10));
        drop(answer);
        while taken < 8 {
            taken += batches.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        // The collector is gone: the thread ends, and with it the collector's own sender.
        while batches.recv().is_ok() {}
        assert_eq!(taken, 8);
        lost("not_exported", 8);
    }

    #[test]
    fn a_resource_names_the_service() {
        let resource = resource("sink");
        let value = |key: &'static str| resource.get(&Key::from_static_str(key));
        assert_eq!(
            value("service.name").map(|it| it.to_string()).as_deref(),
            Some("sink")
        );
        assert!(value("telemetry.sdk.name").is_some());
    }
}
