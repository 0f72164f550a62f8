//! `/api/orders`: an order explained, followed and revealed by `processor explain`; placed and changed at
//! the ingress.

use std::error::Error;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::path::{self, OrderPath};
use super::{ask, parse, with_command};
use crate::Console;
use crate::http::problem::Problem;
use crate::http::session::{Identity, Operator};
use crate::runs::{Query, Reach, Reason};

/// How long the ingress may take to answer. Normally it answers within a second; it takes longer while
/// it waits for its database.
const INGRESS_TIMEOUT: Duration = Duration::from_secs(15);

/// The maximum number of bytes of the ingress's answer that are passed on. An order has at most 500 products.
const MAX_ANSWER: usize = 256 * 1024;

/// The headers of a page's request that the ingress gets too.
const FORWARDED: [&str; 2] = ["idempotency-key", "traceparent"];

/// How far to search for an order: at most one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExplainParameters {
    /// No whole partitions of a long topic.
    no_scan: bool,
    /// The partitions of the order's key, from beginning to end.
    scan: bool,
    /// All partitions.
    all_partitions: bool,
}

impl ExplainParameters {
    fn reach(&self) -> Result<Reach, Problem> {
        match (self.no_scan, self.scan, self.all_partitions) {
            (false, false, false) => Ok(Reach::Usual),
            (true, false, false) => Ok(Reach::NoScan),
            (false, true, false) => Ok(Reach::Scan),
            (false, false, true) => Ok(Reach::AllPartitions),
            _ => Err(Problem::bad_request(
                "no_scan, scan and all_partitions exclude each other: leave two of them out",
            )),
        }
    }
}

/// The reason for revealing codes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevealBody {
    why: Option<String>,
}

/// The requested status of an order.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StatusBody {
    status: String,
}

/// The answer of the ingress.
#[derive(Debug, Serialize)]
pub(super) struct Forwarded {
    status: u16,
    /// How long the answer took.
    millis: u64,
    /// The answer's JSON, or its text if it is not JSON.
    body: Value,
}

/// `GET /api/orders/{id}`
pub(super) async fn explain(
    State(console): State<Console>,
    _: Identity,
    Path(id): Path<String>,
    Parameters(how): Parameters<ExplainParameters>,
) -> Result<Json<Value>, Problem> {
    let reach = how.reach()?;
    let query = Query::explain(&id, reach).map_err(Problem::bad_request)?;
    let found = ask(&console.runs, &query).await?;
    explained(&id, reach, found, &query)
}

/// `POST /api/orders/{id}/reveal`
pub(super) async fn reveal(
    State(console): State<Console>,
    Operator(who): Operator,
    Path(id): Path<String>,
    Parameters(how): Parameters<ExplainParameters>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let RevealBody { why } = parse(&body)?;
    let reason = Reason {
        by: &who.name,
        why: why.as_deref(),
    };
    let reach = how.reach()?;
    let query = Query::reveal(&id, reach, reason).map_err(Problem::bad_request)?;
    // Without an audit topic this line is the only record of it.
    tracing::info!(
        by = who.name,
        why = reason.why,
        order_id = id,
        "codes are revealed"
    );
    let found = ask(&console.runs, &query).await?;
    explained(&id, reach, found, &query)
}

/// `GET /api/orders/{id}/path`
pub(super) async fn path(
    State(console): State<Console>,
    _: Identity,
    Path(id): Path<String>,
    Parameters(how): Parameters<ExplainParameters>,
) -> Result<Json<OrderPath>, Problem> {
    let query = Query::explain(&id, how.reach()?).map_err(Problem::bad_request)?;
    let found = ask(&console.runs, &query).await?;
    order_path(&id, found).map(Json)
}

/// `POST /api/orders`
pub(super) async fn place(
    State(console): State<Console>,
    Operator(who): Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Forwarded>, Problem> {
    let answer = forward(&console, Method::POST, &["orders"], &headers, body).await?;
    let order_id = answer.body["order_id"].as_str().unwrap_or_default();
    tracing::info!(
        by = who.name,
        order_id,
        status = answer.status,
        "an order was sent to the ingress"
    );
    Ok(Json(answer))
}

/// `POST /api/orders/{id}/status`
pub(super) async fn set_status(
    State(console): State<Console>,
    Operator(who): Operator,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Forwarded>, Problem> {
    let wanted: StatusBody = parse(&body)?;
    if matches!(id.as_str(), "." | "..") {
        return Err(Problem::bad_request(
            "the orders . and .. cannot be reached by a URL",
        ));
    }
    let body = Bytes::from(json!(wanted).to_string());
    let path = ["orders", id.as_str()];
    let answer = forward(&console, Method::PATCH, &path, &headers, body).await?;
    tracing::info!(
        by = who.name,
        order_id = id,
        wanted = wanted.status,
        status = answer.status,
        "a change of an order was sent to the ingress"
    );
    Ok(Json(answer))
}

/// Answers with the result of `explain` and the path that follows from it, so that a page does not search
/// the topics a second time for the path. The path is null where it cannot be told from the result.
fn explained(
    id: &str,
    reach: Reach,
    mut found: Value,
    query: &Query,
) -> Result<Json<Value>, Problem> {
    if found["found"] == false {
        return Err(Problem::not_found(not_found(id, reach, &found)));
    }
    let path = order_path(id, found.clone()).ok();
    if let Some(fields) = found.as_object_mut() {
        fields.insert("path".to_owned(), json!(path));
    }
    Ok(Json(with_command(found, query)))
}

/// Returns the path of an order from the result of `explain`.
fn order_path(id: &str, found: Value) -> Result<OrderPath, Problem> {
    path::of(id, found).map_err(|error| {
        tracing::error!(%error, "the JSON of explain is not as expected");
        Problem::internal()
    })
}

fn not_found(id: &str, reach: Reach, found: &Value) -> String {
    let topic = found["topic"]
        .as_str()
        .unwrap_or("the topic of order statuses");
    // All partitions of the order statuses are read when nothing is found, but not those of the vouchers.
    let (place, voucher) = match reach {
        Reach::NoScan => ("the newest records of ", "no voucher there"),
        Reach::Usual | Reach::Scan => ("", "no voucher in the partitions of its key"),
        Reach::AllPartitions => ("", "no voucher"),
    };
    let mut sentence = format!(
        "order {} is not in {place}{topic}, and has no dead letter and {voucher}",
        schemas::printable(id)
    );
    for gap in found["not_looked_at"].as_array().into_iter().flatten() {
        let text = |name: &str| gap[name].as_str().unwrap_or_default().to_owned();
        sentence += &format!("; not read: {}, because {}", text("what"), text("why"));
    }
    sentence
}

/// Forwards a request to the ingress, with the configured API key.
async fn forward(
    console: &Console,
    method: Method,
    path: &[&str],
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Forwarded, Problem> {
    let Some(ingress) = &console.settings.orders.console_orders_url else {
        return Err(Problem::conflict(
            "orders can be followed here, and not placed: CONSOLE_ORDERS_URL is not set",
        ));
    };
    let url = ingress.join(path.iter().copied());
    let mut request = console
        .http
        .request(method, url)
        .header(CONTENT_TYPE, "application/json")
        .timeout(INGRESS_TIMEOUT)
        .body(body);
    for name in FORWARDED {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    if let Some(key) = &console.orders_key {
        request = request.bearer_auth(key.reveal());
    }
    let started = Instant::now();
    let response = request.send().await.map_err(|error| no_answer(&error))?;
    let status = response.status().as_u16();
    let bytes = limited(response).await?;
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Forwarded {
        status,
        millis,
        body: serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()),
    })
}

/// Reads an answer up to [`MAX_ANSWER`] bytes.
async fn limited(mut response: reqwest::Response) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error))? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Problem::bad_gateway(format!(
                "the ingress answered with more than {MAX_ANSWER} bytes"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Returns the problem for a missing answer. If the connection was made, it is unknown whether the
/// change was made.
fn no_answer(error: &reqwest::Error) -> Problem {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why += &format!(": {cause}");
        source = cause.source();
    }
    if error.is_connect() {
        return Problem::bad_gateway(format!("the ingress cannot be reached: {why}"));
    }
    let sentence = format!(
        "the ingress did not answer, and may have done it all the same; look for the order before you \
         repeat it: {why}"
    );
    match error.is_timeout() {
        true => Problem::timed_out(sentence),
        false => Problem::bad_gateway(sentence),
    }
}
