//! The HTTP API: orders, the old system's routes, health, and its own description.
//!
//! | module | subject |
//! |---|---|
//! | `orders`, `list`, `bulk`, `deprecated` | the routes |
//! | `requests`, `answers` | bodies of requests, and of answers |
//! | `json`, `etag`, `idempotency`, `auth` | the parts of a request |
//! | `answer_memory` | bounds the memory of answers that clients have not read yet |
//! | `problem` | every error, as a problem of RFC 9457 |
//! | `guard`, `meters`, `traced` | around every route: limits, keys, metrics, spans, problems instead of bare errors |
//! | `description`, `schema` | the OpenAPI description; its schemas of fields that are parsed by hand |
//! | [`parse`] | the parsers alone, for fuzzing |

mod answer_memory;
mod answers;
pub mod auth;
mod bulk;
mod deprecated;
mod description;
mod etag;
mod guard;
mod idempotency;
mod json;
mod list;
mod meters;
mod orders;
pub mod parse;
mod problem;
mod requests;
mod schema;
mod traced;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use runtime::lifecycle::Shutdown;
use runtime::traces::Tracer;
use schemas::Currency;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::ingress::{Action, Change, Ingress, Outcome};
use crate::limits::{ANSWER_MEMORY, MAX_BULK_REQUESTS};
use answer_memory::AnswerMemory;
use auth::{Caller, Keys};
use guard::Guard;
use problem::Problem;

/// The state that the handlers share. Cheap to clone: every request has a clone.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

/// The fields of [`Api`].
#[derive(Debug)]
pub struct Shared {
    ingress: Ingress,
    pool: PgPool,
    default_currency: Currency,
    limits: Limits,
    bulk_requests: Arc<Semaphore>,
    spool_disk: bulk::SpoolDisk,
    answers: AnswerMemory,
    shutdown: Shutdown,
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The limits of requests that an operator sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum size of a body, and of a line of a bulk body, in bytes.
    pub body: u32,
    /// The maximum size of a bulk body, in bytes.
    pub bulk: u64,
    /// The maximum size of the bulk results of all requests that wait on disk, in bytes.
    pub spool: u64,
    /// A body must arrive within this time. For a bulk body, this bounds the time until each next part.
    pub body_time: Duration,
    /// The maximum duration of a request.
    pub request_time: Duration,
    /// The maximum number of requests in flight.
    pub requests: u32,
}

/// Who may use which routes.
#[derive(Debug, Clone)]
pub struct Access {
    /// The API keys; `None` requires no key.
    pub keys: Option<Keys>,
    /// Whether the old routes require no key even if there are keys.
    pub old_routes_without_key: bool,
}

impl Api {
    /// Builds the state. Handlers submit changes to `ingress` and read orders through `pool`.
    pub fn new(
        ingress: Ingress,
        pool: PgPool,
        default_currency: Currency,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Self {
        Self(Arc::new(Shared {
            ingress,
            pool,
            default_currency,
            limits,
            bulk_requests: Arc::new(Semaphore::new(MAX_BULK_REQUESTS)),
            spool_disk: bulk::SpoolDisk::new(limits.spool),
            answers: AnswerMemory::new(ANSWER_MEMORY),
            shutdown,
        }))
    }

    /// Submits the change that a request asks for, and waits for its outcome.
    async fn submit(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
        action: Action,
    ) -> Result<Outcome, Problem> {
        let change = Change {
            claim: idempotency::claim(headers, caller, &action)?,
            trace: requests::trace(headers),
            action,
        };
        Ok(self.ingress.submit(change)?.outcome().await?)
    }
}

/// Returns all routes; `health` contains `/livez`, `/readyz` and `/metrics`. `tracer` records a span
/// for each sampled request for orders.
pub fn router(api: Api, access: &Access, health: Router, tracer: Tracer) -> Router {
    let old_keys = access
        .keys
        .clone()
        .filter(|_| !access.old_routes_without_key);
    let open = Guard::open();
    let orders = open.bounded(access.keys.clone(), api.limits, tracer);
    let old = orders.with_other_keys(old_keys);

    let orders = OpenApiRouter::new()
        .routes(routes!(orders::place_order, list::list_orders))
        .routes(routes!(bulk::bulk))
        .routes(routes!(orders::get_order, orders::set_status))
        .layer(from_fn_with_state(orders, guard::around));
    let old = OpenApiRouter::new()
        .routes(routes!(deprecated::create))
        .routes(routes!(deprecated::status_update))
        .layer(from_fn_with_state(old, guard::around));
    let (routes, description) = OpenApiRouter::with_openapi(description::new())
        .merge(orders)
        .merge(old)
        .split_for_parts();
    let description = description::complete(description, access.keys.is_some());
    for (route, method, statuses) in description::answers(&description) {
        open.register(route, &method, &statuses);
    }

    Router::new()
        .route("/healthz", get(deprecated::healthz))
        .route("/readiness", get(deprecated::readiness))
        .with_state(api.clone())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", description))
        .merge(health)
        .fallback(|| async { Problem::NoSuchPath })
        .layer(from_fn_with_state(open, guard::around))
        .merge(routes.with_state(api))
}

#[cfg(test)]
mod tests;
