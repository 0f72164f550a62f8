//! `POST /orders/bulk`: lines in, a result per line out, both as streams.
//!
//! A separate task reads the lines and carries them out, whether or not the client reads the results:
//! many clients send their whole body first. Results that are not read yet wait in a [`Spool`].

mod line;
mod lines;
mod spool;

use std::sync::Arc;

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
use super::description::RouteErrors;
use super::idempotency::IDEMPOTENCY_KEY;
use super::json::{media_type, refuse_announced_excess, refuse_encoding};
use super::problem::Problem;
use super::requests::trace;
use super::schema;
use crate::ingress::{NotDone, Pending};
use crate::limits::{FIRST_RESULT_TIMEOUT, MAX_BULK_LINES_IN_FLIGHT};

pub(super) use line::{BulkResult, change};
pub(super) use lines::cut;
use lines::{Line, Lines};
pub(super) use spool::SpoolDisk;
use spool::{Results, Spool};

/// The media type of a body of JSON lines.
const NDJSON: &str = "application/x-ndjson";

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
    request_body(content = inline(schema::Lines), content_type = "application/x-ndjson",
        example = "{\"op\":\"create\",\"order_id\":\"17\",\"total\":100}\n{\"op\":\"status\",\"order_id\":\"17\",\"status\":\"SENT\"}\n"),
    responses(
        (status = 200, description = "A result per line, as lines", body = BulkResult, content_type = "application/x-ndjson"),
        RouteErrors,
        (status = 400, description = "Malformed; an Idempotency-Key belongs into the lines"),
        (status = 413, description = "Too long"),
        (status = 415, description = "Not JSON lines"),
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
        .map_err(|_| NotDone::Overloaded)?;
    let lines = Lines::new(body, &api.limits);
    let sender = Sender {
        trace: trace(&headers),
        caller,
        allowance,
    };
    let (spool, waiting) = Spool::new(api.spool_disk.clone());
    let task = tokio::spawn(spooled(results(api, sender, lines), spool));
    let mut results = Box::pin(sent(waiting, AbortOnDropHandle::new(task), permit).fuse());
    // hyper sends 100 Continue when the body is first read, but no longer once the answer has begun. A
    // client that expects it would wait for ever.
    let first = if headers.contains_key(EXPECT) {
        let first = tokio::time::timeout(FIRST_RESULT_TIMEOUT, results.next());
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

/// The state of a line: refused, or accepted by the ingress.
enum Work {
    Refused(Problem),
    Pending(Pending),
}

/// The sender of a bulk request, the same for all its lines.
#[derive(Clone)]
struct Sender {
    caller: Caller,
    allowance: Allowance,
    trace: TraceParent,
}

/// Puts results into the spool.
async fn spooled(results: impl Stream<Item = Bytes>, mut spool: Spool) {
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        spool.push(&result).await;
    }
    spool.finish();
}

/// Returns the answer's body. If the client disconnects, the task that carries out its lines is
/// aborted; lines that the ingress has accepted are still written. The permit is held until the last
/// result is sent.
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

/// Returns the results of lines. Lines are submitted one after the other, so that lines about one order
/// are done in their order. Their outcomes are awaited concurrently, and returned in the order of the
/// lines.
fn results(api: Api, sender: Sender, lines: Lines) -> impl Stream<Item = Bytes> {
    lines
        .into_stream()
        .then(move |line| {
            let (api, sender) = (api.clone(), sender.clone());
            async move {
                let Line { number, content } = line;
                (number, submit(&api, &sender, content).await)
            }
        })
        .map(|(number, work)| async move {
            let answer = match work {
                Work::Refused(problem) => Err(problem),
                Work::Pending(pending) => match pending.outcome().await {
                    Ok(outcome) => Answer::of(outcome),
                    Err(why) => Err(why.into()),
                },
            };
            line::result(number, answer)
        })
        .buffered(MAX_BULK_LINES_IN_FLIGHT)
}

async fn submit(api: &Api, sender: &Sender, content: Result<Vec<u8>, Problem>) -> Work {
    let change = content.and_then(|line| {
        sender.allowance.take()?;
        line::change(&line, &sender.caller, sender.trace, api.default_currency)
    });
    match change {
        Err(problem) => Work::Refused(problem),
        Ok(change) => match api.ingress.submit_when_room(change).await {
            Ok(pending) => Work::Pending(pending),
            Err(why) => Work::Refused(why.into()),
        },
    }
}
