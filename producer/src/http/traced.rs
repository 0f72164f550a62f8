//! The span of a request for orders.

use std::time::SystemTime;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode};
use runtime::trace_context::{TRACEPARENT, TraceParent};
use runtime::traces::{KeyValue, Span, SpanKind, Tracer};

use super::meters::method_label;
use super::requests;

/// The span of a request that is being answered.
#[derive(Debug)]
pub(super) struct RequestSpan {
    context: TraceParent,
    parent: Option<TraceParent>,
    method: &'static str,
    route: String,
    began: SystemTime,
}

impl RequestSpan {
    /// Decides whether the request is sampled, and begins its span. Replaces the caller's span in the
    /// header by this one, so that the order continues the trace under the request's span. Returns
    /// `None` when the request is not sampled.
    pub(super) fn begin(tracer: &Tracer, request: &mut Request) -> Option<Self> {
        if !tracer.is_on() {
            return None;
        }
        let parent = requests::trace_of(request.headers());
        let context = tracer.admit(parent);
        // Hex digits and dashes are always a valid value.
        let header = HeaderValue::from_str(&context.to_string()).ok()?;
        request.headers_mut().insert(TRACEPARENT, header);
        context.is_sampled().then(|| Self {
            context,
            parent,
            method: method_label(request.method()),
            route: request
                .extensions()
                .get::<MatchedPath>()
                .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned()),
            began: SystemTime::now(),
        })
    }

    /// Records the span of a request that was answered. Records its route and not its path, because the
    /// path contains the order's id.
    pub(super) fn end(self, tracer: &Tracer, status: StatusCode) {
        let Self { method, route, .. } = self;
        let times = (self.began, SystemTime::now());
        let span = Span::new(
            self.context,
            SpanKind::Server,
            format!("{method} {route}"),
            times,
        )
        .child_of(self.parent)
        .with([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ]);
        // A request that is refused is the client's mistake, not a failure of the service.
        tracer.record(if status.is_server_error() {
            span.failed(status.as_u16().to_string())
        } else {
            span
        });
    }
}
