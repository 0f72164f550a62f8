//! The HTTP API: orders, the old system's routes, health, and its own description.
//!
//! | module | subject |
//! |---|---|
//! | `orders`, `list`, `bulk`, `old` | the routes |
//! | `requests`, `answers` | what clients ask for; what they are told |
//! | `answer_memory` | the bound on answers that clients have not taken yet |
//! | `json`, `etag`, `idempotency`, `auth` | the parts of a request |
//! | [`parse`] | the parsers alone, for those who try hostile input on them |
//! | `problem` | every error, as RFC 9457 has it |
//! | `guard`, `meters` | what stands around every route: counting, bounds, keys, problems instead of bare errors |
//! | `schema` | what the description says of bodies that are parsed by hand |

mod answer_memory;
mod answers;
pub mod auth;
mod bulk;
mod etag;
mod guard;
mod idempotency;
mod json;
mod list;
mod meters;
mod old;
mod orders;
pub mod parse;
mod problem;
mod requests;
mod schema;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use runtime::lifecycle::Shutdown;
use schemas::Currency;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::ingress::Ingress;
use answer_memory::{ANSWER_MEMORY, AnswerMemory};
use auth::Keys;
use guard::Guard;
use problem::{Problem, ProblemDetails};
use schema::BearerKeys;

/// At most so many bulk requests at a time: each may fill a good part of the queue.
const BULK_REQUESTS: usize = 16;

/// What the handlers share. Cheap to clone: every request has one.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

/// See [`Api`].
#[derive(Debug)]
pub struct Shared {
    ingress: Ingress,
    pool: PgPool,
    default_currency: Currency,
    limits: Limits,
    bulk_requests: Arc<Semaphore>,
    spools: bulk::Disk,
    answers: AnswerMemory,
    shutdown: Shutdown,
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// How much, how many, how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest body, and the longest line of a bulk body, in bytes.
    pub body: u32,
    /// The longest bulk body, in bytes.
    pub bulk: u64,
    /// The most bytes of bulk results that may wait on disk, of all requests together.
    pub spool: u64,
    /// A body must arrive in this time; of a bulk body, its next part.
    pub body_time: Duration,
    /// A request may take so long.
    pub request_time: Duration,
    /// The most requests at work at a time.
    pub requests: u32,
}

/// Who may use which routes.
#[derive(Debug, Clone)]
pub struct Access {
    /// The keys; none asks for none.
    pub keys: Option<Keys>,
    /// Whether the old routes ask for none either way.
    pub old_routes_without_key: bool,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Orders",
        description = "Places orders and changes their status. Every change is published; an order \
                       that is sent may earn a voucher. Errors are RFC 9457 problems."
    ),
    tags(
        (name = "orders", description = "Orders"),
        (name = "old system", description = "As the system before answered; for its clients"),
    ),
    components(schemas(ProblemDetails))
)]
struct Description;

impl Api {
    /// What the handlers share.
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
            bulk_requests: Arc::new(Semaphore::new(BULK_REQUESTS)),
            spools: bulk::Disk::new(limits.spool),
            answers: AnswerMemory::new(ANSWER_MEMORY),
            shutdown,
        }))
    }
}

/// All routes; `health` brings `/livez`, `/readyz` and `/metrics`.
pub fn router(api: Api, access: &Access, health: Router) -> Router {
    let old_keys = access
        .keys
        .clone()
        .filter(|_| !access.old_routes_without_key);
    let open = Guard::open();
    let orders = open.bounded(access.keys.clone(), api.limits);
    let old = orders.of_other_keys(old_keys);

    let orders = OpenApiRouter::new()
        .routes(routes!(orders::place_order, list::list_orders))
        .routes(routes!(bulk::bulk))
        .routes(routes!(orders::get_order, orders::set_status))
        .layer(from_fn_with_state(orders, guard::around));
    let old = OpenApiRouter::new()
        .routes(routes!(old::create))
        .routes(routes!(old::status_update))
        .layer(from_fn_with_state(old, guard::around));
    let (routes, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .merge(orders)
        .merge(old)
        .split_for_parts();
    BearerKeys {
        asked_for: access.keys.is_some(),
    }
    .modify(&mut description);

    Router::new()
        .route("/healthz", get(old::healthz))
        .route("/readiness", get(old::readiness))
        .with_state(api.clone())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", description))
        .merge(health)
        .fallback(|| async { Problem::NoSuchPath })
        .layer(from_fn_with_state(open, guard::around))
        .merge(routes.with_state(api))
}

#[cfg(test)]
mod tests;
