//! The old system's routes: its clients move over unchanged.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, SecondsFormat, Utc};
use schemas::{Status, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::auth::Caller;
use super::idempotency::{self, IDEMPOTENCY_REPLAYED};
use super::json::{JsonBody, object, text};
use super::orders::trace;
use super::problem::{Problem, ProblemDetails};
use super::requests::{PlaceBody, StatusBody, integer};
use super::schema::{OldPlaceOrder, OldSetStatus};
use crate::ingress::{Action, Change, Outcome};
use crate::orders::{Order, money_text, rendered};

/// An order as the old system answered it after placing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldOrder<'a> {
    id: i64,
    /// As it was sent.
    #[schema(value_type = super::schema::Money)]
    total: &'a RawValue,
    products: Vec<OldProduct<'a>>,
    #[schema(example = "PENDING")]
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A product as the old system answered it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldProduct<'a> {
    id: i64,
    name: &'a str,
    /// As it was sent.
    #[schema(value_type = super::schema::Money)]
    price: &'a RawValue,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// An order as the old system answered it after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldStatus {
    id: i64,
    #[schema(example = "150.00")]
    total: String,
    #[schema(example = "SENT")]
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

#[derive(Debug, Deserialize)]
struct OldId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Place an order, as the old system's clients do.
#[utoipa::path(
    post,
    path = "/order/create",
    tag = "old system",
    params(super::schema::IdempotencyKey),
    request_body(content = inline(OldPlaceOrder), content_type = "application/json"),
    responses(
        (status = 200, description = "Placed", body = OldOrder,
            headers(("Idempotency-Replayed" = Option<bool>, description = "The same request was answered before"))),
        (status = 400, description = "Malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "No JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "Not an order, or the idempotency key stands for another request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later; outcome-unknown and timed-out: with the same idempotency key", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: JsonBody,
) -> Result<Response, Problem> {
    let body: PlaceBody<'_> = object(&bytes.0)?;
    let action = Action::Place(body.numbered_order(api.default_currency)?);
    let change = Change {
        claim: idempotency::claim(&headers, &caller, &action)?,
        trace: trace(&headers),
        action,
    };
    let (Some(total), prices) = (body.total_as_written(), body.prices_as_written()?) else {
        return Err(Problem::Internal);
    };
    match api.ingress.submit(change)?.outcome().await? {
        Outcome::Placed(order) => placed(&order, total, &prices),
        Outcome::Replayed { body, .. } => {
            // The same request, so its amounts are the same, however they are written now.
            Ok(replayed(placed(&stored(&body)?, total, &prices)?))
        }
        Outcome::Exists { order_id } => Err(Problem::OrderExists(order_id)),
        Outcome::KeyReused => Err(Problem::KeyReused),
        _ => Err(Problem::Internal),
    }
}

/// The order of a stored answer. Answers are stored as the other routes give them.
fn stored(body: &[u8]) -> Result<Order, Problem> {
    rendered(body).ok_or(Problem::Internal)
}

fn replayed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

fn placed(
    order: &Order,
    total: &RawValue,
    prices: &[Option<&RawValue>],
) -> Result<Response, Problem> {
    let (created_at, updated_at) = (iso(order.created_at), iso(order.updated_at));
    let products = order
        .products
        .iter()
        .zip(prices)
        .filter_map(|(product, price)| {
            Some(OldProduct {
                id: product.id?,
                name: &product.name,
                price: (*price)?,
                created_at: created_at.clone(),
                updated_at: updated_at.clone(),
            })
        })
        .collect();
    Ok(Json(OldOrder {
        id: number(order)?,
        total,
        products,
        status: order.status.as_str(),
        created_at,
        updated_at,
    })
    .into_response())
}

/// Change an order's status, as the old system's clients do.
#[utoipa::path(
    post,
    path = "/order/status-update",
    tag = "old system",
    params(super::schema::IdempotencyKey),
    request_body(content = inline(OldSetStatus), content_type = "application/json"),
    responses(
        (status = 200, description = "Changed, or it had the status already", body = OldStatus,
            headers(("Idempotency-Replayed" = Option<bool>, description = "The same request was answered before"))),
        (status = 400, description = "Malformed, or the id is missing", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "The status can't follow the order's", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "No JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "No status, or the idempotency key stands for another request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later; outcome-unknown and timed-out: with the same idempotency key", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn status_update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: JsonBody,
) -> Result<Response, Problem> {
    let (order_id, wanted) = wanted(&bytes.0)?;
    let action = Action::SetStatus {
        order_id,
        wanted,
        precondition: None,
    };
    let change = Change {
        claim: idempotency::claim(&headers, &caller, &action)?,
        trace: trace(&headers),
        action,
    };
    match api.ingress.submit(change)?.outcome().await? {
        Outcome::Changed(order) | Outcome::Unchanged(order) => changed(&order),
        Outcome::Replayed { body, .. } => Ok(replayed(changed(&stored(&body)?)?)),
        Outcome::KeyReused => Err(Problem::KeyReused),
        Outcome::NotFound => Err(Problem::OrderNotFound),
        Outcome::Refused { current, wanted } => Err(Problem::TransitionRefused { current, wanted }),
        _ => Err(Problem::Internal),
    }
}

fn changed(order: &Order) -> Result<Response, Problem> {
    Ok(Json(OldStatus {
        id: number(order)?,
        total: money_text(order.total),
        status: order.status.as_str(),
        created_at: iso(order.created_at),
        updated_at: iso(order.updated_at),
    })
    .into_response())
}

/// Which order shall have which status.
///
/// # Errors
/// 400 for no JSON or no id, 404 for an id that is none, 422 for no status.
pub(super) fn wanted(body: &[u8]) -> Result<(String, Status), Problem> {
    let OldId { id } = object(body)?;
    let id = id.ok_or_else(|| Problem::BadRequest("id is missing".to_owned()))?;
    let order_id = old_id(id).ok_or(Problem::OrderNotFound)?;
    let status: StatusBody<'_> = object(body)?;
    Ok((order_id, status.wanted()?))
}

/// The order that an old client means: its integer's digits, sent as a number or a string.
fn old_id(value: &RawValue) -> Option<String> {
    let number = match value.get().as_bytes().first()? {
        b'"' => {
            let text = text("id", value).ok()?;
            let digits = text.trim_start_matches('0');
            let digits = if digits.is_empty() && !text.is_empty() {
                "0"
            } else {
                digits
            };
            digits.to_owned()
        }
        _ => integer(value.get())?,
    };
    let id: i64 = number.parse().ok()?;
    (id >= 0 && id.to_string() == number).then_some(number)
}

fn number(order: &Order) -> Result<i64, Problem> {
    order.order_id.parse().map_err(|_| Problem::Internal)
}

/// As JavaScript's `toISOString`.
fn iso(time: Timestamp) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `/healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "OK"
}

/// `/readiness`: 500 from the moment on at which a shutdown is announced.
pub(super) async fn readiness(State(api): State<Api>) -> Response {
    if api.shutdown.is_announced() {
        (StatusCode::INTERNAL_SERVER_ERROR, "shutting down").into_response()
    } else {
        "OK".into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_is_an_integer_as_number_or_string() {
        let id = |json: &str| {
            let value = RawValue::from_string(json.to_owned()).unwrap();
            old_id(&value)
        };
        for json in ["17", "\"17\"", "17.0", "\"017\""] {
            assert_eq!(id(json).as_deref(), Some("17"), "{json}");
        }
        for json in [
            "1.5",
            "-1",
            "\"-1\"",
            "\"\"",
            "\"1.0\"",
            "\"abc\"",
            "\"17; DROP TABLE orders\"",
            "true",
            "[17]",
            "{}",
            "1e400",
            "99999999999999999999",
            "\" 17\"",
            "\"+17\"",
        ] {
            assert_eq!(id(json), None, "{json}");
        }
    }

    #[test]
    fn times_have_milliseconds() {
        let time = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(iso(time), "2023-11-14T22:13:20.123Z");
        assert_eq!(iso(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000Z");
    }
}
