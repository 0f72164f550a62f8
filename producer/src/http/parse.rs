//! The parsers of what clients send, without the server around them, for fuzzing (`lab/fuzz`).

use axum::body::Bytes;
use axum::http::header::{HeaderName, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use runtime::trace_context::TraceParent;
use schemas::{Currency, Status};

use super::auth::Caller;
use super::json::object;
use super::problem::Problem;
use super::requests::{OldPlaceBody, OldStatusBody, PlaceBody, StatusBody};
use super::{answers, bulk, etag, idempotency, list, orders};
use crate::ingress::{Action, Change, Precondition};
use crate::orders::NewOrder;

/// A refusal, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The problem's JSON.
    pub problem: Vec<u8>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status().as_u16(),
            problem: serde_json::to_vec(&problem.details()).unwrap_or_default(),
        }
    }
}

/// Parses the body of `POST /orders`.
///
/// # Errors
/// 400 or 422, as for all functions here that do not document other statuses.
pub fn new_order(body: &[u8], default_currency: Currency) -> Result<NewOrder, Refused> {
    let body: PlaceBody<'_> = object(body)?;
    Ok(body.new_order(default_currency)?)
}

/// Parses the body of `POST /order/create`, including the fields that its answer repeats.
///
/// # Errors
/// See [`new_order`].
pub fn old_order(body: &[u8], default_currency: Currency) -> Result<NewOrder, Refused> {
    let body: OldPlaceBody<'_> = object(body)?;
    let order = body.new_order(default_currency)?;
    let prices = body.prices_as_written()?;
    debug_assert_eq!(prices.len(), order.products.len());
    debug_assert!(body.total_as_written().is_some());
    Ok(order)
}

/// Parses the body of `PATCH /orders/{order_id}`.
///
/// # Errors
/// See [`new_order`].
pub fn status(body: &[u8]) -> Result<Status, Refused> {
    let body: StatusBody<'_> = object(body)?;
    Ok(body.wanted()?)
}

/// Parses the body of `POST /order/status-update`: an order's id and the status that is wanted.
///
/// # Errors
/// See [`new_order`]; 404 for an id that no order of the old system has.
pub fn old_status(body: &[u8]) -> Result<(String, Status), Refused> {
    let body: OldStatusBody<'_> = object(body)?;
    Ok(body.wanted()?)
}

/// Parses a line of `POST /orders/bulk`.
///
/// # Errors
/// See [`new_order`].
pub fn bulk_line(line: &[u8], default_currency: Currency) -> Result<Change, Refused> {
    let trace = TraceParent::random();
    Ok(bulk::change(
        line,
        &Caller::anyone(),
        trace,
        default_currency,
    )?)
}

/// Returns the numbered lines of a body that arrives in `chunks`; 413 for a line that is longer than
/// `longest`.
pub fn bulk_lines(chunks: &[&[u8]], longest: usize) -> Vec<(u64, Result<Vec<u8>, Refused>)> {
    let chunks = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk));
    bulk::cut(chunks, longest)
        .into_iter()
        .map(|(number, content)| (number, content.map_err(Refused::from)))
        .collect()
}

/// Parses the value of `If-Match`.
///
/// # Errors
/// 400, also for bytes that a header cannot have.
pub fn if_match(value: &[u8]) -> Result<Option<Precondition>, Refused> {
    Ok(etag::if_match(&one_header(IF_MATCH, value)?)?)
}

/// Parses the value of `Idempotency-Key`.
///
/// # Errors
/// 400, also for bytes that a header cannot have.
pub fn idempotency_key(value: &[u8]) -> Result<String, Refused> {
    let name = HeaderName::from_static(idempotency::IDEMPOTENCY_KEY);
    let action = Action::SetStatus {
        order_id: "17".to_owned(),
        wanted: Status::Sent,
        precondition: None,
    };
    let claim = idempotency::claim(&one_header(name, value)?, &Caller::anyone(), &action)?;
    Ok(claim.map(|claim| claim.key).unwrap_or_default())
}

fn one_header(name: HeaderName, value: &[u8]) -> Result<HeaderMap, Problem> {
    let value = HeaderValue::from_bytes(value)
        .map_err(|error| Problem::BadRequest(format!("{name}: {error}")))?;
    Ok(HeaderMap::from_iter([(name, value)]))
}

/// Parses the query of `GET /orders`. Returns the path of the page that begins after the order `after`.
///
/// # Errors
/// 400.
pub fn list_query(
    status: Option<&str>,
    limit: Option<&str>,
    after: Option<&str>,
) -> Result<String, Refused> {
    Ok(list::next_of(status, limit, after)?)
}

/// Returns the path of an order, as in `Location`.
pub fn order_path(order_id: &str) -> String {
    answers::order_path(order_id)
}

/// Returns the order that the last segment of a path names.
///
/// # Errors
/// 400 for a segment that is not UTF-8, 404 for an id that no order can have.
pub fn path_order(path: &str) -> Result<String, Refused> {
    Ok(orders::order_of(path)?)
}
