//! The routes of the old system, so that its clients can be moved over unchanged.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, SecondsFormat, Utc};
use schemas::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::auth::Caller;
use super::description::{ChangeErrors, PlaceErrors, RouteErrors, StatusErrors};
use super::idempotency::IDEMPOTENCY_REPLAYED;
use super::json::{JsonBody, object};
use super::problem::Problem;
use super::requests::{OldPlaceBody, OldStatusBody};
use super::schema::{IdempotencyKey, Money};
use crate::ingress::{Action, Outcome};
use crate::orders::{Order, money_text};

/// An order as the old system answered it after placing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldOrder<'a> {
    id: i64,
    /// As it was sent.
    #[schema(value_type = Money)]
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
    #[schema(value_type = Money)]
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

/// Place an order, as the old system's clients do.
#[utoipa::path(
    post,
    path = "/order/create",
    tag = "old system",
    params(IdempotencyKey),
    request_body(content = inline(OldPlaceBody), content_type = "application/json"),
    responses(
        (status = 200, description = "Placed", body = OldOrder),
        RouteErrors,
        ChangeErrors,
        PlaceErrors,
    )
)]
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: JsonBody,
) -> Result<Response, Problem> {
    let body: OldPlaceBody<'_> = object(&bytes.0)?;
    let action = Action::Place(body.new_order(api.default_currency)?);
    let total = body.total_as_written().ok_or(Problem::Internal)?;
    let prices = body.prices_as_written()?;
    let outcome = api.submit(&headers, &caller, action).await?;
    // A repeated request has the same amounts, but may write them in another notation.
    answer(outcome, |order| {
        let (created_at, updated_at) = (iso(order.created_at), iso(order.updated_at));
        let products = order.products.iter().zip(&prices);
        let products = products.filter_map(|(product, price)| {
            Some(OldProduct {
                id: product.id?,
                name: &product.name,
                price: (*price)?,
                created_at: created_at.clone(),
                updated_at: updated_at.clone(),
            })
        });
        Ok(Json(OldOrder {
            id: number(order)?,
            total,
            products: products.collect(),
            status: order.status.as_str(),
            created_at: created_at.clone(),
            updated_at: updated_at.clone(),
        })
        .into_response())
    })
}

/// Change an order's status, as the old system's clients do.
#[utoipa::path(
    post,
    path = "/order/status-update",
    tag = "old system",
    params(IdempotencyKey),
    request_body(content = inline(OldStatusBody), content_type = "application/json"),
    responses(
        (status = 200, description = "Changed, or it had the status already", body = OldStatus),
        RouteErrors,
        ChangeErrors,
        StatusErrors,
        (status = 400, description = "Malformed, or the id is missing"),
    )
)]
pub(super) async fn status_update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: JsonBody,
) -> Result<Response, Problem> {
    let body: OldStatusBody<'_> = object(&bytes.0)?;
    let (order_id, wanted) = body.wanted()?;
    let action = Action::SetStatus {
        order_id,
        wanted,
        precondition: None,
    };
    let outcome = api.submit(&headers, &caller, action).await?;
    answer(outcome, |order| {
        Ok(Json(OldStatus {
            id: number(order)?,
            total: money_text(order.total),
            status: order.status.as_str(),
            created_at: iso(order.created_at),
            updated_at: iso(order.updated_at),
        })
        .into_response())
    })
}

/// Writes the answer to a change. Idempotency keys store the answers of the new routes, so the old
/// answer is built from the stored order.
fn answer(
    outcome: Outcome,
    write: impl FnOnce(&Order) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    match outcome {
        Outcome::Placed(order) | Outcome::Changed(order) | Outcome::Unchanged(order) => {
            write(&order)
        }
        Outcome::Replayed { body, .. } => {
            let order = Order::from_json(&body).ok_or(Problem::Internal)?;
            let mut response = write(&order)?;
            let headers = response.headers_mut();
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Outcome::Refused(why) => Err(why.into()),
    }
}

fn number(order: &Order) -> Result<i64, Problem> {
    order.order_id.parse().map_err(|_| Problem::Internal)
}

/// Returns a time in the format of JavaScript's `toISOString`.
fn iso(time: Timestamp) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `/healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "OK"
}

/// `/readiness`: answers 500 once a shutdown is announced.
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
    fn times_have_milliseconds() {
        let time = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(iso(time), "2023-11-14T22:13:20.123Z");
        assert_eq!(iso(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000Z");
    }
}
