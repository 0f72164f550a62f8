//! One span, and what the SDK makes of it.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::trace_context::TraceParent;

/// The maximum number of links of one span; further ones are only counted. The SDK's own default.
pub const MAX_LINKS: usize = 128;

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    context: TraceParent,
    parent: Option<TraceParent>,
    kind: SpanKind,
    name: Cow<'static, str>,
    times: (SystemTime, SystemTime),
    attributes: Vec<KeyValue>,
    links: Vec<TraceParent>,
    links_left_out: u32,
    error: Option<String>,
}

impl Span {
    /// Returns a span of this name and these times: when it began, and when it ended.
    pub fn new(
        context: TraceParent,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        times: (SystemTime, SystemTime),
    ) -> Self {
        Self {
            context,
            parent: None,
            kind,
            name: name.into(),
            times,
            attributes: Vec::new(),
            links: Vec::new(),
            links_left_out: 0,
            error: None,
        }
    }

    /// Sets the span that this one continues, in the same trace.
    #[must_use]
    pub fn child_of(mut self, parent: Option<TraceParent>) -> Self {
        self.parent = parent;
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn with(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Adds links to other spans, up to [`MAX_LINKS`] in all.
    #[must_use]
    pub fn linked_to(mut self, spans: impl IntoIterator<Item = TraceParent>) -> Self {
        for span in spans {
            if self.links.len() < MAX_LINKS {
                self.links.push(span);
            } else {
                self.links_left_out = self.links_left_out.saturating_add(1);
            }
        }
        self
    }

    /// Marks the span as failed, with the kind of the error, of which there should be few.
    #[must_use]
    pub fn failed(mut self, kind: impl Into<String>) -> Self {
        self.error = Some(kind.into());
        self
    }

    /// Returns the data that is exported.
    pub(super) fn into_data(self, scope: InstrumentationScope) -> SpanData {
        let (began, ended) = self.times;
        let mut attributes = self.attributes;
        let status = match self.error {
            None => Status::Unset,
            Some(kind) => {
                attributes.push(KeyValue::new("error.type", kind));
                Status::Error {
                    description: Cow::Borrowed(""),
                }
            }
        };
        let mut links = SpanLinks::default();
        links.links = self
            .links
            .into_iter()
            .map(|linked| Link::with_context(context_of(linked)))
            .collect();
        links.dropped_count = self.links_left_out;
        SpanData {
            span_context: context_of(self.context),
            parent_span_id: self
                .parent
                .map_or(SpanId::INVALID, |parent| SpanId::from(parent.ids().1)),
            // A received request or record was sent by another process; a written record continues our
            // own work.
            parent_span_is_remote: self.parent.is_some()
                && matches!(self.kind, SpanKind::Server | SpanKind::Consumer),
            span_kind: self.kind,
            name: self.name,
            start_time: began,
            // The clock may be set back, and a span must not end before it began.
            end_time: ended.max(began),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status,
            instrumentation_scope: scope,
        }
    }
}

fn context_of(parent: TraceParent) -> SpanContext {
    let (trace, span) = parent.ids();
    let flags = if parent.is_sampled() {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::NOT_SAMPLED
    };
    SpanContext::new(
        TraceId::from(trace),
        SpanId::from(span),
        flags,
        false,
        TraceState::NONE,
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn data(span: Span) -> SpanData {
        span.into_data(InstrumentationScope::builder("test").build())
    }

    #[test]
    fn a_span_has_the_ids_of_its_header_and_its_parents() {
        let parent =
            TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let own = parent.child();
        let later = UNIX_EPOCH + Duration::from_secs(1);
        let span = Span::new(own, SpanKind::Consumer, "process", (later, UNIX_EPOCH));
        let data = data(span.child_of(Some(parent)).failed("invalid_json"));
        let context = &data.span_context;
        assert!(context.is_sampled() && context.is_valid());
        assert_eq!(context.trace_id().to_string(), parent.trace_id());
        assert_eq!(data.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(context.span_id().to_string(), own.to_string()[36..52]);
        assert_eq!((data.start_time, data.end_time), (later, later));
        assert_eq!(
            data.attributes,
            [KeyValue::new("error.type", "invalid_json")]
        );
    }

    #[test]
    fn links_are_bounded_and_the_others_counted() {
        let context = TraceParent::random().with_sampled(true);
        let times = (UNIX_EPOCH, UNIX_EPOCH);
        let span = Span::new(context, SpanKind::Client, "send", times);
        let links = (0..MAX_LINKS + 3).map(|_| context.child());
        let data = data(span.linked_to(links));
        assert_eq!((data.links.len(), data.links.dropped_count), (MAX_LINKS, 3));
        assert_eq!(data.parent_span_id, SpanId::INVALID);
    }
}
