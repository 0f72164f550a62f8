//! What stands around every route: counting, bounds, and problems instead of bare errors.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{counter, histogram};
use runtime::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

use super::Api;
use super::problem::Problem;

/// Counts a request by its route's template; a path that is no route's is counted as `other`, so
/// that a client can't make up labels.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = method_label(request.method());
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    histogram!(HTTP_REQUEST_SECONDS, "route" => route.clone(), "method" => method)
        .record(start.elapsed());
    counter!(HTTP_REQUESTS, "route" => route, "method" => method, "status" => status).increment(1);
    response
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// At most so many requests are at work at a time, for at most so long. Whoever is too much is told
/// at once: a queue here would only add to the delay that is the reason for it.
pub(super) async fn bound(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Ok(_permit) = api.requests.try_acquire() else {
        return Problem::Overloaded.into_response();
    };
    match tokio::time::timeout(api.limits.request_time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::TimedOut.into_response(),
    }
}

/// An error that the HTTP layer answered by itself, without a word, becomes a problem.
pub(super) async fn problems(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    // Such as Allow of a 405.
    let kept: HeaderMap = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != axum::http::header::CONTENT_LENGTH)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut problem = Problem::Http(status).into_response();
    problem.headers_mut().extend(kept);
    problem
}

/// A panic in a handler is our fault, and nobody else's request.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request's handler panicked; the message is above");
    Problem::Internal.into_response()
}
