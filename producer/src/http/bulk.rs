//! `POST /orders/bulk`: lines in, a result per line out, both as streams.
//!
//! The lines are read and done by a task of their own, whether or not the client reads the results:
//! many clients send their whole body first. Results that nobody reads yet wait in a [`Spool`].

mod line;
mod lines;
mod spool;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures::{Stream, StreamExt};
use runtime::trace_context::TraceParent;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use super::Api;
use super::answers::Answer;
use super::auth::{Allowance, Caller};
use super::idempotency::IDEMPOTENCY_KEY;
use super::json::{media_type, refuse_announced_excess, refuse_encoding};
use super::orders::trace;
use super::problem::{Problem, ProblemDetails};
use crate::ingress::Pending;

pub(super) use line::{BulkResult, change};
pub(super) use lines::cut;
use lines::{Line, Lines};
pub(super) use spool::Disk;
use spool::{Results, Spool};

/// The media type of a body of JSON lines.
const NDJSON: &str = "application/x-ndjson";

/// So many lines of one request are at work at a time; no more are read meanwhile.
const LINES_AT_WORK: usize = 512;

/// How long the answer to a client that waits to be told to go on waits for its first result. The
/// body has been asked for by then, however slowly it comes.
const FIRST_RESULT: Duration = Duration::from_secs(1);

/// Place many orders, and change their status.
///
/// A JSON object a line: `{"op":"create", ...}` with the fields of a new order, or
/// `{"op":"status","order_id":..,"status":..,"if_match":VERSION}`; each may have an
/// `idempotency_key`. Without `op` a line with a `status` is a change. Lines are independent of
/// each other, except that lines about one order are done in their order. The results come in the
/// order of the lines, while they are being done; a 2xx there is as durable as one of a single
/// request.
///
/// A client may send its whole body before it reads, or read while it sends: results that are not
/// read yet wait on the service's disk.
///
/// Where keys have a rate, the request counts as one and each line as one more; a line beyond the
/// rate is not done, and its result is a 429.
#[utoipa::path(
    post,
    path = "/orders/bulk",
    tag = "orders",
    request_body(content = inline(super::schema::Lines), content_type = "application/x-ndjson",
        example = "{\"op\":\"create\",\"order_id\":\"17\",\"total\":100}\n{\"op\":\"status\",\"order_id\":\"17\",\"status\":\"SENT\"}\n"),
    responses(
        (status = 200, description = "A result per line, as lines", body = BulkResult, content_type = "application/x-ndjson"),
        (status = 400, description = "Malformed; an Idempotency-Key belongs into the lines", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON lines", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn bulk(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(allowance): Extension<Allowance>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let is_ndjson = media_type(&headers).is_some_and(|media| {
        matches!(
            media.as_str(),
            NDJSON | "application/ndjson" | "application/jsonl"
        )
    });
    if !is_ndjson {
        return Err(Problem::UnsupportedMediaType(NDJSON));
    }
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(Problem::BadRequest(
            "a bulk request has no Idempotency-Key; give each line its idempotency_key".to_owned(),
        ));
    }
    refuse_encoding(&headers)?;
    refuse_announced_excess(&headers, api.limits.bulk)?;
    let permit = Arc::clone(&api.bulk_requests)
        .try_acquire_owned()
        .map_err(|_| Problem::Overloaded)?;
    let lines = Lines::new(body, &api.limits);
    let asks = Asks {
        trace: trace(&headers),
        caller,
        allowance,
    };
    let (spool, waiting) = Spool::new(api.spools.clone());
    let task = tokio::spawn(spooled(results(api, asks, lines), spool));
    let mut results = Box::pin(sent(waiting, AbortOnDropHandle::new(task), permit).fuse());
    // hyper tells a client to go on (100) when its body is read, and no more once an answer has
    // begun. A client that waits for that would wait for ever.
    let first = if headers.contains_key(EXPECT) {
        let first = tokio::time::timeout(FIRST_RESULT, results.next());
        first.await.ok().flatten()
    } else {
        None
    };
    let results = futures::stream::iter(first).chain(results);
    let mut response = Response::new(Body::from_stream(results));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

/// What became of a line: known already, or when its group is committed.
enum Work {
    Done(Problem),
    Pending(Pending),
}

/// Who asks, the same for all lines.
#[derive(Clone)]
struct Asks {
    caller: Caller,
    allowance: Allowance,
    trace: TraceParent,
}

/// Does the lines and puts their results into the spool.
async fn spooled(results: impl Stream<Item = Bytes>, mut spool: Spool) {
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        spool.push(&result).await;
    }
    spool.finish();
}

/// The answer's body. A client that goes away ends the task that does its lines, as far as they are
/// not taken in; the request counts until its last result is sent.
fn sent(
    waiting: Results,
    task: AbortOnDropHandle<()>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    futures::stream::unfold((waiting, task, permit), |mut state| async move {
        let part = state.0.next().await?;
        Some((part, state))
    })
}

/// Lines are taken in one after the other, so that those of one order keep their order; their
/// results are waited for together and given in the lines' order.
fn results(api: Api, asks: Asks, lines: Lines) -> impl Stream<Item = Bytes> {
    lines
        .into_stream()
        .then(move |line| {
            let (api, asks) = (api.clone(), asks.clone());
            async move {
                let Line { number, content } = line;
                (number, take_in(&api, &asks, content).await)
            }
        })
        .map(|(number, work)| async move {
            let done = match work {
                Work::Done(problem) => Err(problem),
                Work::Pending(pending) => match pending.outcome().await {
                    Ok(outcome) => Answer::of(outcome),
                    Err(why) => Err(why.into()),
                },
            };
            line::result(number, done)
        })
        .buffered(LINES_AT_WORK)
}

async fn take_in(api: &Api, asks: &Asks, content: Result<Vec<u8>, Problem>) -> Work {
    let change = content.and_then(|line| {
        asks.allowance.take()?;
        line::change(&line, &asks.caller, asks.trace, api.default_currency)
    });
    match change {
        Err(problem) => Work::Done(problem),
        Ok(change) => match api.ingress.submit_in_turn(change).await {
            Ok(pending) => Work::Pending(pending),
            Err(why) => Work::Done(why.into()),
        },
    }
}
