//! Spans over OTLP, of sampled orders: from the HTTP request over outbox, order status and voucher to
//! the row.
//!
//! The ingress decides which requests are sampled, and the flag travels with the order. Every service
//! behind it records spans of the records whose flag is set, and does nothing else: a record without
//! the flag costs one comparison, and where no collector is configured one branch. A span is built
//! when what it is about has ended, with explicit times, and handed to a bounded queue. A thread exports
//! the queue. When the collector is slow or away, spans are dropped and counted; nothing waits.
//!
//! | module | subject |
//! |---|---|
//! | `settings` | the standard `OTEL_*` variables that decide what is recorded |
//! | `span` | one span, and what the SDK makes of it |
//! | `export` | the queue, its bound, and the resource that all spans belong to |
//! | `records` | the sampled records of a batch |
//! | `batches` | the spans of a batch: poll, process, create, send, insert, commit |
//! | `times` | moments of a loop's clock as times of day |

mod batches;
mod export;
mod records;
mod settings;
mod span;
mod times;

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, counter};

pub use batches::{
    BatchSpans, BatchSteps, BatchTracer, message_count, messaging, new_trace, statement,
};
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;
pub use records::{MAX_SAMPLED_RECORDS, SampledRecord, SampledRecords};
pub use span::{MAX_LINKS, Span};
pub use times::Moments;

use crate::lifecycle::Failure;
use crate::metrics::TRACE_SPANS_DROPPED;
use crate::trace_context::TraceParent;
use export::SpanQueue;
use settings::Sampling;

/// Records spans, or does nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Active>>);

#[derive(Debug)]
struct Active {
    sampling: Sampling,
    queue: SpanQueue,
    left_out: Counter,
}

impl Tracer {
    /// Returns a tracer that records nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Starts what the environment asks for: an exporter when a collector is configured, and nothing
    /// otherwise. Counts dropped spans, so it comes after the metrics. `service` is the name of the service
    /// unless the environment names it.
    ///
    /// # Errors
    /// Exit code 2 for variables that cannot be followed.
    pub fn start(service: &str) -> Result<Self, Failure> {
        let Some(settings) = settings::from_environment().map_err(Failure::bad_setting)? else {
            return Ok(Self::off());
        };
        Ok(Self(Some(Arc::new(Active {
            sampling: settings.sampling,
            queue: SpanQueue::open(service, settings.queue)?,
            left_out: dropped("batch_full"),
        }))))
    }

    /// Returns whether spans of sampled traces are recorded.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Decides whether the trace of a request is sampled, and returns the context of the request's own
    /// span: a new span of the caller's trace, or of a new one. Records nothing.
    pub fn admit(&self, caller: Option<TraceParent>) -> TraceParent {
        let own = caller.map_or_else(TraceParent::random, TraceParent::child);
        let is_sampled = self
            .0
            .as_ref()
            .is_some_and(|active| active.sampling.decide(caller, own.ids().0));
        own.with_sampled(is_sampled)
    }

    /// Hands over a span that has ended. Never waits: a span for which there is no room is counted and
    /// dropped.
    pub fn record(&self, span: Span) {
        if let Some(active) = &self.0 {
            active.queue.push(span);
        }
    }

    /// Counts sampled records of which no spans were kept, because their batch had too many.
    pub fn note_left_out(&self, records: usize) {
        if let Some(active) = &self.0 {
            active
                .left_out
                .increment(u64::try_from(records).unwrap_or(u64::MAX));
        }
    }

    /// Exports what is left, for at most `timeout`. Blocks: not for a thread of the async runtime.
    pub fn shut_down(&self, timeout: Duration) {
        if let Some(active) = &self.0 {
            active.queue.shut_down(timeout);
        }
    }
}

/// Returns the counter of spans that were dropped for this reason.
fn dropped(reason: &'static str) -> Counter {
    counter!(TRACE_SPANS_DROPPED, "reason" => reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_nothing_is_sampled_and_the_trace_goes_on() {
        let caller =
            TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let tracer = Tracer::off();
        assert!(!tracer.is_on());
        let own = tracer.admit(Some(caller));
        assert_eq!(own.trace_id(), caller.trace_id());
        assert_ne!(own, caller);
        assert!(!own.is_sampled() && !tracer.admit(None).is_sampled());
        tracer.shut_down(Duration::from_secs(3600));
    }
}
