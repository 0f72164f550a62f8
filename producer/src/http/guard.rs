//! What stands around every route: counting, bounds, keys, problems instead of bare errors.
//!
//! One layer instead of one for each: every layer of a router costs a request a few allocations.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::sync::Semaphore;

use super::Limits;
use super::auth::{self, Keys};
use super::meters::Meters;
use super::problem::Problem;

/// What stands around some routes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guard(Arc<Around>);

#[derive(Debug)]
struct Around {
    meters: Arc<Meters>,
    /// None around what answers at once and to anybody.
    bounds: Option<Bounds>,
}

#[derive(Debug, Clone)]
struct Bounds {
    keys: Option<Keys>,
    requests: Arc<Semaphore>,
    time: Duration,
}

impl Guard {
    /// Around what answers at once and to anybody.
    pub(super) fn open() -> Self {
        Self(Arc::new(Around {
            meters: Arc::default(),
            bounds: None,
        }))
    }

    /// Around what is bounded, and asks for one of `keys` if there are any.
    pub(super) fn bounded(&self, keys: Option<Keys>, limits: Limits) -> Self {
        self.with(Bounds {
            keys,
            requests: Arc::new(Semaphore::new(limits.requests as usize)),
            time: limits.request_time,
        })
    }

    /// Within the same bounds, but for other keys.
    pub(super) fn of_other_keys(&self, keys: Option<Keys>) -> Self {
        match &self.0.bounds {
            Some(bounds) => self.with(Bounds {
                keys,
                ..bounds.clone()
            }),
            None => self.clone(),
        }
    }

    fn with(&self, bounds: Bounds) -> Self {
        Self(Arc::new(Around {
            meters: Arc::clone(&self.0.meters),
            bounds: Some(bounds),
        }))
    }
}

/// Lets a request through to its handler, and sees to it that there is an answer, that it is a
/// problem if it is an error, and that it is counted.
pub(super) async fn around(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let around = &*guard.0;
    let meter = around.meters.of(&request);
    let response = match &around.bounds {
        Some(bounds) => bounds.answer(request, next).await,
        None => caught(next.run(request)).await,
    };
    let response = problem_of_bare_error(response);
    meter.count(response.status(), start.elapsed());
    response
}

impl Bounds {
    /// At most so many requests are at work at a time, for at most so long. Whoever is too much is
    /// told at once: a queue here would only add to the delay that is the reason for it.
    async fn answer(&self, request: Request, next: Next) -> Response {
        let Ok(_permit) = self.requests.try_acquire() else {
            return Problem::Overloaded.into_response();
        };
        let request = match auth::admit(self.keys.as_ref(), request) {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
        tokio::time::timeout(self.time, caught(next.run(request)))
            .await
            .unwrap_or_else(|_| Problem::TimedOut.into_response())
    }
}

/// A panic in a handler is our fault, and nobody else's request.
fn caught(answered: impl Future<Output = Response>) -> impl Future<Output = Response> {
    AssertUnwindSafe(answered)
        .catch_unwind()
        .map(|answered| answered.unwrap_or_else(panicked))
}

/// An error that the HTTP layer answered by itself, without a word, becomes a problem.
fn problem_of_bare_error(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    // Such as Allow of a 405.
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

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request's handler panicked; the message is above");
    Problem::Internal.into_response()
}
