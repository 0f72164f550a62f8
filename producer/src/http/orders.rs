//! `/orders` and `/orders/{order_id}`: one order at a time.

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::header::ETAG;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use schemas::OrderId;

use super::Api;
use super::answers::Answer;
use super::auth::Caller;
use super::etag::{etag, has_version, if_match};
use super::idempotency;
use super::json::{JsonBody, object};
use super::problem::{Problem, ProblemDetails};
use super::requests::{PlaceBody, StatusBody};
use super::schema::{OrderIdText, PlaceOrder, SetStatus};
use crate::ingress::{Action, Change, StoredOrder};
use crate::orders::{Order, OrderView};

/// About the JSON of an order with as many and as long products as there may be, in bytes.
const LARGEST_ORDER: usize = 512 * 1024;

/// The last segment of the path, decoded: an order's id.
#[derive(Debug, Clone)]
pub(super) struct OrderPath(pub String);

impl<S: Sync> FromRequestParts<S> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        order_of(parts.uri.path()).map(Self)
    }
}

/// The order that the last segment of a path names.
///
/// # Errors
/// 400 for what is not UTF-8, 404 for what no order is called.
pub(super) fn order_of(path: &str) -> Result<String, Problem> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    let id = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Problem::BadRequest("the path is not UTF-8".to_owned()))?;
    // What can't be an id is no order's.
    OrderId::new(&id).map_err(|_| Problem::OrderNotFound)?;
    Ok(id.into_owned())
}

/// The request's trace, or a new one.
pub(super) fn trace(headers: &HeaderMap) -> TraceParent {
    headers
        .get(TRACEPARENT)
        .and_then(|value| TraceParent::parse(value.as_bytes()))
        .unwrap_or_else(TraceParent::random)
}

/// Place an order.
///
/// The order is stored and will reach the topic when this answers 201.
#[utoipa::path(
    post,
    path = "/orders",
    tag = "orders",
    params(super::schema::IdempotencyKey),
    request_body(content = inline(PlaceOrder), content_type = "application/json"),
    responses(
        (status = 201, description = "Placed", body = OrderView,
            headers(("Location" = String, description = "The order's path"),
                    ("ETag" = String, description = "The order's version"),
                    ("Idempotency-Replayed" = Option<bool>, description = "The same request was answered before"))),
        (status = 400, description = "Malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "An order of this id exists", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "No JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "Not an order, or the idempotency key stands for another request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later; outcome-unknown and timed-out: with the same idempotency key", body = ProblemDetails, content_type = "application/problem+json"),
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
    let change = Change {
        claim: idempotency::claim(&headers, &caller, &action)?,
        trace: trace(&headers),
        action,
    };
    Answer::of(api.ingress.submit(change)?.outcome().await?)
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
        super::schema::IfMatch,
        super::schema::IdempotencyKey,
    ),
    request_body(content = inline(SetStatus), content_type = "application/json"),
    responses(
        (status = 200, description = "Changed, or it had the status already", body = OrderView,
            headers(("ETag" = String, description = "The order's version"),
                    ("Idempotency-Replayed" = Option<bool>, description = "The same request was answered before"))),
        (status = 400, description = "Malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "The status can't follow the order's", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "The order has changed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "Too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "No JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "No status, or the idempotency key stands for another request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later; outcome-unknown and timed-out: with the same idempotency key", body = ProblemDetails, content_type = "application/problem+json"),
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
    let change = Change {
        claim: idempotency::claim(&headers, &caller, &action)?,
        trace: trace(&headers),
        action,
    };
    Answer::of(api.ingress.submit(change)?.outcome().await?)
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
        (status = 200, description = "The order", body = OrderView,
            headers(("ETag" = String, description = "The order's version"))),
        (status = 304, description = "The client has this version"),
        (status = 400, description = "Malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_order(
    State(api): State<Api>,
    OrderPath(order_id): OrderPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let memory = api.answers.reserve(LARGEST_ORDER).await?;
    let order = find(&api, &order_id).await?.ok_or(Problem::OrderNotFound)?;
    if has_version(&headers, order.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(order.version))]).into_response());
    }
    Ok(Answer::order(StatusCode::OK, &order).counted(memory))
}

async fn find(api: &Api, order_id: &str) -> Result<Option<Order>, Problem> {
    let row: Option<StoredOrder> = sqlx::query_as(
        "SELECT order_id, status, total, currency, products, version, sent_at, created_at, updated_at
         FROM orders WHERE order_id = $1",
    )
    .bind(order_id)
    .fetch_optional(&api.pool)
    .await?;
    let order = row.map(|row| row.order).transpose();
    order.map_err(|_| Problem::Unreadable(order_id.to_owned()))
}
