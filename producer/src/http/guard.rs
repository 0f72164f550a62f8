//! The layer around every route: metrics, spans, limits, keys, and problems instead of errors without a
//! body.
//!
//! It is one layer, because every layer of a router costs a few allocations per request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use runtime::trace_context::TraceParent;
use runtime::traces::Tracer;
use tokio::sync::Semaphore;

use super::Limits;
use super::auth::{self, Keys};
use super::meters::Meters;
use super::problem::Problem;
use super::requests;
use super::traced::RequestSpan;
use crate::ingress::NotDone;

/// The guard of some routes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guard(Arc<Around>);

#[derive(Debug)]
struct Around {
    meters: Arc<Meters>,
    /// `None` for routes that need no key and answer at once.
    bounds: Option<Bounds>,
}

#[derive(Debug, Clone)]
struct Bounds {
    keys: Option<Keys>,
    requests: Arc<Semaphore>,
    time: Duration,
    tracer: Tracer,
}

impl Guard {
    /// Returns the guard of routes that need no key and answer at once.
    pub(super) fn open() -> Self {
        Self(Arc::new(Around {
            meters: Arc::default(),
            bounds: None,
        }))
    }

    /// Returns a guard with limits, which requires one of `keys` if there are any.
    pub(super) fn bounded(&self, keys: Option<Keys>, limits: Limits, tracer: Tracer) -> Self {
        self.with(Bounds {
            keys,
            requests: Arc::new(Semaphore::new(limits.requests as usize)),
            time: limits.request_time,
            tracer,
        })
    }

    /// Returns a guard with the same shared limits, but with other keys.
    pub(super) fn with_other_keys(&self, keys: Option<Keys>) -> Self {
        match &self.0.bounds {
            Some(bounds) => self.with(Bounds {
                keys,
                ..bounds.clone()
            }),
            None => self.clone(),
        }
    }

    /// Registers the metrics of a route and method at 0, for answers of these statuses.
    pub(super) fn register(&self, route: &str, method: &Method, statuses: &[StatusCode]) {
        self.0.meters.register(route, method, statuses);
    }

    fn with(&self, bounds: Bounds) -> Self {
        Self(Arc::new(Around {
            meters: Arc::clone(&self.0.meters),
            bounds: Some(bounds),
        }))
    }
}

/// Passes a request to its handler. Guarantees that there is an answer, that an error is a problem, and
/// that the request is counted.
pub(super) async fn around(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let around = &*guard.0;
    let meter = around.meters.of(&request);
    let tracer = around.bounds.as_ref().map(|bounds| &bounds.tracer);
    let span = tracer.and_then(|tracer| RequestSpan::begin(tracer, &mut request));
    let response = match &around.bounds {
        Some(bounds) => bounds.answer(request, next).await,
        None => caught(next.run(request), None).await,
    };
    let response = problem_of_bare_error(response);
    meter.count(response.status(), start.elapsed());
    if let (Some(tracer), Some(span)) = (tracer, span) {
        span.end(tracer, response.status());
    }
    response
}

impl Bounds {
    /// Answers a request within the limits. A request beyond the limit is refused at once: a queue here
    /// would only add to the delay that caused it.
    async fn answer(&self, request: Request, next: Next) -> Response {
        let Ok(_permit) = self.requests.try_acquire() else {
            return Problem::from(NotDone::Overloaded).into_response();
        };
        let request = match auth::admit(self.keys.as_ref(), request) {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
        let trace = requests::trace_of(request.headers());
        tokio::time::timeout(self.time, caught(next.run(request), trace))
            .await
            .unwrap_or_else(|_| Problem::TimedOut.into_response())
    }
}

/// Answers a panic of a handler with an error; other requests are not affected. `trace` is the trace in
/// the request's header.
fn caught(
    answered: impl Future<Output = Response>,
    trace: Option<TraceParent>,
) -> impl Future<Output = Response> {
    AssertUnwindSafe(answered)
        .catch_unwind()
        .map(move |answered| answered.unwrap_or_else(|_| panicked(trace)))
}

/// Turns an error without a body, which the HTTP layer itself answered, into a problem.
fn problem_of_bare_error(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    // Keeps headers such as Allow of a 405.
    let kept: HeaderMap = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != CONTENT_LENGTH)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut problem = Problem::Http(status).into_response();
    problem.headers_mut().extend(kept);
    problem
}

fn panicked(trace: Option<TraceParent>) -> Response {
    let trace_id = trace.map(TraceParent::trace_id);
    tracing::error!(
        trace_id,
        "a request's handler panicked; the message is above"
    );
    Problem::Internal.into_response()
}
