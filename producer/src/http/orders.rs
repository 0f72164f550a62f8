//! `/orders` and `/orders/{order_id}`: one order at a time.

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::header::ETAG;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use schemas::OrderId;

use super::Api;
use super::answers::Answer;
use super::auth::Caller;
use super::description::{ChangeErrors, PlaceErrors, RouteErrors, StatusErrors};
use super::etag::{etag, has_version, if_match};
use super::json::{JsonBody, object};
use super::problem::Problem;
use super::requests::{PlaceBody, StatusBody};
use super::schema::{IdempotencyKey, IfMatch, OrderIdText};
use crate::ingress::{Action, ChangeRefused, NotDone};
use crate::limits::MAX_ORDER_JSON;
use crate::orders::Order;
use crate::store;

/// The order id in the last segment of the path, decoded.
#[derive(Debug, Clone)]
pub(super) struct OrderPath(pub String);

impl<S: Sync> FromRequestParts<S> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        order_of(parts.uri.path()).map(Self)
    }
}

/// Returns the order that the last segment of a path names.
///
/// # Errors
/// 400 for a segment that is not UTF-8, 404 for an id that no order can have.
pub(super) fn order_of(path: &str) -> Result<String, Problem> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    let id = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Problem::BadRequest("the path is not UTF-8".to_owned()))?;
    OrderId::new(&id).map_err(|_| ChangeRefused::OrderNotFound)?;
    Ok(id.into_owned())
}

/// Place an order.
///
/// The order is stored and will reach the topic when this answers 201.
#[utoipa::path(
    post,
    path = "/orders",
    tag = "orders",
    params(IdempotencyKey),
    request_body(content = inline(PlaceBody), content_type = "application/json"),
    responses(
        (status = 201, description = "Placed", body = Order,
            headers(("Location" = String, description = "The order's path"),
                    ("ETag" = String, description = "The order's version"))),
        RouteErrors,
        ChangeErrors,
        PlaceErrors,
        (status = 409, description = "An order of this id exists"),
    )
)]
pub(super) async fn place_order(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Answer, Problem> {
    let body: PlaceBody<'_> = object(&body.0)?;
    let action = Action::Place(body.new_order(api.default_currency)?);
    Answer::of(api.submit(&headers, &caller, action).await?)
}

/// Change an order's status.
///
/// PENDING -> SENT -> DELIVERED; PENDING or SENT -> CANCELLED. The same status again changes nothing.
#[utoipa::path(
    patch,
    path = "/orders/{order_id}",
    tag = "orders",
    params(
        ("order_id" = inline(OrderIdText), Path, description = "The order"),
        IfMatch,
        IdempotencyKey,
    ),
    request_body(content = inline(StatusBody), content_type = "application/json"),
    responses(
        (status = 200, description = "Changed, or it had the status already", body = Order,
            headers(("ETag" = String, description = "The order's version"))),
        RouteErrors,
        ChangeErrors,
        StatusErrors,
        (status = 412, description = "The order has changed"),
    )
)]
pub(super) async fn set_status(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    OrderPath(order_id): OrderPath,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Answer, Problem> {
    let body: StatusBody<'_> = object(&body.0)?;
    let action = Action::SetStatus {
        order_id,
        wanted: body.wanted()?,
        precondition: if_match(&headers)?,
    };
    Answer::of(api.submit(&headers, &caller, action).await?)
}

/// Read an order.
#[utoipa::path(
    get,
    path = "/orders/{order_id}",
    tag = "orders",
    params(
        ("order_id" = inline(OrderIdText), Path, description = "The order"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the client has", example = "\"1\""),
    ),
    responses(
        (status = 200, description = "The order", body = Order,
            headers(("ETag" = String, description = "The order's version"))),
        (status = 304, description = "The client has this version"),
        RouteErrors,
        (status = 400, description = "Malformed"),
        (status = 404, description = "No such order"),
    )
)]
pub(super) async fn get_order(
    State(api): State<Api>,
    OrderPath(order_id): OrderPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let memory = api.answers.reserve(MAX_ORDER_JSON).await?;
    let stored = store::orders::find(&api.pool, &order_id).await?;
    let order = stored
        .ok_or(ChangeRefused::OrderNotFound)?
        .order
        .map_err(|_| NotDone::Unreadable(order_id))?;
    if has_version(&headers, order.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(order.version))]).into_response());
    }
    Ok(Answer::order(StatusCode::OK, &order).counted(memory))
}
