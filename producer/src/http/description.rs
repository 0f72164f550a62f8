//! The parts of the OpenAPI description that all routes share. Each handler describes its own route.

use axum::http::{Method, StatusCode};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, Ref, RefOr, SecurityRequirement, Type,
};
use utoipa::{IntoResponses, OpenApi};

use super::idempotency::IDEMPOTENCY_KEY;
use super::problem::{PROBLEM_JSON, ProblemDetails};

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

/// Returns the description without its routes.
pub(super) fn new() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// Completes the description once it has its routes: gives every error the schema of a problem, adds
/// `Idempotency-Replayed` to the answers of requests that may have an idempotency key, and says whether
/// an API key is required.
pub(super) fn complete(
    mut api: utoipa::openapi::OpenApi,
    requires_key: bool,
) -> utoipa::openapi::OpenApi {
    for path in api.paths.paths.values_mut() {
        for operation in operations(path) {
            let is_repeatable = may_have_idempotency_key(operation);
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else {
                    continue;
                };
                if status.starts_with(['4', '5']) {
                    let problem = Ref::from_schema_name("Problem");
                    let content = ContentBuilder::new().schema(Some(problem)).build();
                    let content = RefOr::T(content);
                    response.content.insert(PROBLEM_JSON.to_owned(), content);
                } else if is_repeatable {
                    let replayed = HeaderBuilder::new()
                        .schema(Some(Object::with_type(Type::Boolean)))
                        .description(Some("The same request was answered before"))
                        .build();
                    let name = "Idempotency-Replayed".to_owned();
                    response.headers.insert(name, RefOr::T(replayed));
                }
            }
        }
    }
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("One of the keys of API_KEYS_FILE"))
        .build();
    api.components
        .get_or_insert_default()
        .add_security_scheme("api_key", SecurityScheme::Http(scheme));
    if requires_key {
        api.security = Some(vec![SecurityRequirement::new(
            "api_key",
            std::iter::empty::<String>(),
        )]);
    }
    api
}

/// Returns the operations of the description: path, method, and the statuses of the answers.
pub(super) fn answers(api: &utoipa::openapi::OpenApi) -> Vec<(&str, Method, Vec<StatusCode>)> {
    let mut found = Vec::new();
    for (path, item) in &api.paths.paths {
        let operations = [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PATCH, &item.patch),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                let statuses = operation.responses.responses.keys();
                let statuses = statuses.filter_map(|status| status.parse().ok());
                found.push((path.as_str(), method, statuses.collect()));
            }
        }
    }
    found
}

fn may_have_idempotency_key(operation: &Operation) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.name.eq_ignore_ascii_case(IDEMPOTENCY_KEY),
        RefOr::Ref(_) => false,
    })
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.post, &mut path.patch]
        .into_iter()
        .flatten()
}

// The comments of the variants are the API's description of them.
/// The errors of every route. A status that a route lists after this one replaces the same status here.
#[derive(Debug, IntoResponses)]
#[allow(dead_code)]
pub(super) enum RouteErrors {
    /// No key
    #[response(status = 401)]
    Unauthorized,
    /// The rate of the key is used up
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds until there is room for one more")))]
    RateLimited,
    /// Broken
    #[response(status = 500)]
    Internal,
    /// Try again later
    #[response(status = 503)]
    Unavailable,
}

/// The further errors of a route that takes a change as JSON; listed after [`RouteErrors`].
#[derive(Debug, IntoResponses)]
#[allow(dead_code)]
pub(super) enum ChangeErrors {
    /// Malformed
    #[response(status = 400)]
    Malformed,
    /// The body did not arrive in time
    #[response(status = 408)]
    SlowBody,
    /// Too long
    #[response(status = 413)]
    TooLong,
    /// No JSON
    #[response(status = 415)]
    NoJson,
    /// Try again later; outcome-unknown and timed-out: with the same idempotency key
    #[response(status = 503)]
    Unavailable,
}

/// The further errors of a route that places an order; listed after [`ChangeErrors`].
#[derive(Debug, IntoResponses)]
#[allow(dead_code)]
pub(super) enum PlaceErrors {
    /// Not an order, or the idempotency key stands for another request
    #[response(status = 422)]
    NoOrder,
}

/// The further errors of a route that changes an order's status; listed after [`ChangeErrors`].
#[derive(Debug, IntoResponses)]
#[allow(dead_code)]
pub(super) enum StatusErrors {
    /// No such order
    #[response(status = 404)]
    NoSuchOrder,
    /// The status cannot follow the order's
    #[response(status = 409)]
    CannotFollow,
    /// No status, or the idempotency key stands for another request
    #[response(status = 422)]
    NoStatus,
}
