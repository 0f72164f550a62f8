//! Every error that a client gets: one enum, answered as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use runtime::postgres::message_of;
use serde::Serialize;
use utoipa::ToSchema;

use crate::database::{Fault, fault_of};
use crate::ingress::{ChangeRefused, NotDone};
use crate::limits::RETRY_AFTER_SECONDS;

/// The media type of problems.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The body is not JSON.
    MalformedJson(String),
    /// A header, the query or the path is malformed.
    BadRequest(String),
    /// There is no key, or an unknown one.
    Unauthorized,
    /// No route has this path.
    NoSuchPath,
    /// The body did not arrive in time.
    SlowBody,
    /// The body, or a line of it, is longer than this many bytes.
    TooLarge(u64),
    /// The body has another media type than this one.
    UnsupportedMediaType(&'static str),
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body is JSON, but not a valid request.
    Invalid(String),
    /// The client's rate is used up.
    RateLimited {
        /// The seconds until one more request is accepted.
        seconds: u64,
    },
    /// The change cannot be made.
    Refused(ChangeRefused),
    /// The change was not made, or the orders were not read.
    NotDone(NotDone),
    /// The request took too long.
    TimedOut,
    /// A fault of the service.
    Internal,
    /// An error of the HTTP layer itself.
    Http(StatusCode),
}

/// A problem as clients see it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDetails {
    /// The kind of problem; what a program decides on.
    #[serde(rename = "type")]
    #[schema(example = "urn:problem-type:order-exists")]
    kind: String,
    /// The kind, for a person.
    #[schema(example = "The order exists")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What is wrong here, and what to do.
    detail: String,
    /// The order's version, where a precondition failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// The order's status, where another one cannot follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "CANCELLED")]
    current_status: Option<&'static str>,
}

impl Problem {
    /// Returns the HTTP status.
    pub(super) const fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// Returns the status, the name in the problem's type, and its title.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedJson(_) => (
                S::BAD_REQUEST,
                "malformed-json",
                "The body is not valid JSON",
            ),
            Self::BadRequest(_) => (S::BAD_REQUEST, "bad-request", "The request is malformed"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "An API key is required"),
            Self::NoSuchPath => (S::NOT_FOUND, "no-such-path", "The path does not exist"),
            Self::SlowBody => (
                S::REQUEST_TIMEOUT,
                "slow-body",
                "The body did not arrive in time",
            ),
            Self::TooLarge(_) => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too long"),
            Self::UnsupportedMediaType(_) => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The Content-Type is not supported",
            ),
            Self::UnsupportedEncoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "The Content-Encoding is not supported",
            ),
            Self::Invalid(_) => (
                S::UNPROCESSABLE_ENTITY,
                "invalid",
                "The body is not a valid request",
            ),
            Self::RateLimited { .. } => (
                S::TOO_MANY_REQUESTS,
                "rate-limited",
                "Too many requests with this key",
            ),
            Self::Refused(why) => kind_of_refusal(why),
            Self::NotDone(why) => kind_of_not_done(why),
            Self::TimedOut => (S::SERVICE_UNAVAILABLE, "timed-out", "The request timed out"),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "The service has an internal error",
            ),
            Self::Http(status) => match *status {
                S::METHOD_NOT_ALLOWED => (
                    S::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "The path does not support this method",
                ),
                S::NOT_FOUND => Self::NoSuchPath.kind(),
                other => (other, "http", "The request cannot be served"),
            },
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::MalformedJson(why) | Self::BadRequest(why) | Self::Invalid(why) => why.clone(),
            Self::Unauthorized => {
                "send a key that the service knows: Authorization: Bearer KEY".to_owned()
            }
            Self::NoSuchPath => "the paths are listed at /openapi.json and /docs".to_owned(),
            Self::SlowBody => "send the whole body sooner".to_owned(),
            Self::TooLarge(limit) => format!("at most {limit} bytes are accepted"),
            Self::UnsupportedMediaType(wanted) => {
                format!("send the body with Content-Type: {wanted}")
            }
            Self::UnsupportedEncoding => {
                "send the body uncompressed, without Content-Encoding".to_owned()
            }
            Self::RateLimited { seconds } => {
                format!("nothing was done; try again in {seconds} s, and less often")
            }
            Self::Refused(why) => detail_of_refusal(why),
            Self::NotDone(why) => detail_of_not_done(why),
            Self::TimedOut => {
                "a change may still be made; it is safe to repeat the request with the same \
                 Idempotency-Key"
                    .to_owned()
            }
            Self::Internal => "the service's log says more".to_owned(),
            Self::Http(status) => status
                .canonical_reason()
                .unwrap_or("see the status")
                .to_owned(),
        }
    }

    /// Returns the body.
    pub(super) fn details(&self) -> ProblemDetails {
        let (status, name, title) = self.kind();
        let (version, current_status) = match self {
            Self::Refused(ChangeRefused::PreconditionFailed { version }) => (Some(*version), None),
            Self::Refused(ChangeRefused::Transition { current, .. }) => {
                (None, Some(current.as_str()))
            }
            _ => (None, None),
        };
        ProblemDetails {
            kind: format!("urn:problem-type:{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            version,
            current_status,
        }
    }
}

const fn kind_of_refusal(why: &ChangeRefused) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match why {
        ChangeRefused::OrderExists { .. } => (S::CONFLICT, "order-exists", "The order exists"),
        ChangeRefused::OrderNotFound => {
            (S::NOT_FOUND, "order-not-found", "The order does not exist")
        }
        ChangeRefused::Transition { .. } => (
            S::CONFLICT,
            "transition-refused",
            "The status cannot follow the order's status",
        ),
        ChangeRefused::PreconditionFailed { .. } => (
            S::PRECONDITION_FAILED,
            "precondition-failed",
            "The order has changed",
        ),
        ChangeRefused::KeyReused => (
            S::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "The idempotency key belongs to another request",
        ),
    }
}

fn detail_of_refusal(why: &ChangeRefused) -> String {
    match why {
        ChangeRefused::OrderExists { order_id } => {
            format!("an order with the id {order_id:?} exists; nothing was changed")
        }
        ChangeRefused::OrderNotFound => "no order has this id".to_owned(),
        ChangeRefused::Transition { current, wanted } => format!(
            "the order is {current}, which {wanted} cannot follow \
             (PENDING -> SENT -> DELIVERED, PENDING or SENT -> CANCELLED)"
        ),
        ChangeRefused::PreconditionFailed { version } => {
            format!("the order has version {version}, which If-Match does not name")
        }
        ChangeRefused::KeyReused => {
            "another request was made with this Idempotency-Key in the last 24 hours; use a new key \
             for a new request"
                .to_owned()
        }
    }
}

const fn kind_of_not_done(why: &NotDone) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match why {
        NotDone::Overloaded => (
            S::SERVICE_UNAVAILABLE,
            "overloaded",
            "The service is overloaded",
        ),
        NotDone::Unavailable => (
            S::SERVICE_UNAVAILABLE,
            "unavailable",
            "The database does not answer in time",
        ),
        NotDone::Unwritable(_) => (
            S::SERVICE_UNAVAILABLE,
            "unwritable",
            "The database takes no writes",
        ),
        NotDone::Locked(_) => (
            S::SERVICE_UNAVAILABLE,
            "order-locked",
            "The order is locked by another session of the database",
        ),
        NotDone::TablesLocked => (
            S::SERVICE_UNAVAILABLE,
            "tables-locked",
            "The tables are locked by another session of the database",
        ),
        NotDone::StatementFailed(_) => (
            S::SERVICE_UNAVAILABLE,
            "statement-failed",
            "The database statement failed",
        ),
        NotDone::Unreadable(_) => (
            S::INTERNAL_SERVER_ERROR,
            "order-unreadable",
            "The stored order cannot be read",
        ),
        NotDone::Closing => (
            S::SERVICE_UNAVAILABLE,
            "closing",
            "The service is shutting down",
        ),
        NotDone::OutcomeUnknown => (
            S::SERVICE_UNAVAILABLE,
            "outcome-unknown",
            "It is not known whether the change was made",
        ),
        NotDone::DataRefused => (
            S::UNPROCESSABLE_ENTITY,
            "invalid",
            "The body is not a valid request",
        ),
    }
}

fn detail_of_not_done(why: &NotDone) -> String {
    match why {
        NotDone::Overloaded | NotDone::Unavailable => {
            "nothing was done; try again later".to_owned()
        }
        NotDone::Unwritable(why) => format!("{}; nothing was done; try again later", why.as_str()),
        NotDone::Locked(what) => format!(
            "{what} is locked by another session of the database; nothing was done; try again later"
        ),
        NotDone::TablesLocked => {
            "a table is locked by another session of the database; nothing was done; try again later"
                .to_owned()
        }
        NotDone::StatementFailed(why) => format!("nothing was done: {why}; try again later"),
        NotDone::Unreadable(order_id) => format!(
            "the row of the order {order_id:?} holds a value that this service does not write; the \
             service's log names it, and an operator has to correct it"
        ),
        NotDone::Closing => "nothing was done; try again, another instance may answer".to_owned(),
        NotDone::OutcomeUnknown => {
            "the connection to the database was lost during the commit; check whether the change was \
             made, and send an Idempotency-Key next time: then a repeat is always safe"
                .to_owned()
        }
        NotDone::DataRefused => "the database refuses this order for its data".to_owned(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.details()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Self::RateLimited { seconds } = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::UnsupportedEncoding = self {
            // The encoding that is accepted instead (RFC 9110, 15.5.16).
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl From<ChangeRefused> for Problem {
    fn from(why: ChangeRefused) -> Self {
        Self::Refused(why)
    }
}

impl From<NotDone> for Problem {
    fn from(why: NotDone) -> Self {
        Self::NotDone(why)
    }
}

/// Converts the error of a statement that only reads.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match fault_of(&error) {
            Fault::Data => Self::Invalid("the database refuses this request".to_owned()),
            // A reader never waits for a row lock, so a whole table is locked.
            Fault::Locked => NotDone::TablesLocked.into(),
            Fault::Statement => {
                tracing::warn!(%error, "cannot read orders");
                let why = "the statement failed or took too long".to_owned();
                NotDone::StatementFailed(why).into()
            }
            Fault::Conflict | Fault::Away | Fault::Unwritable(_) => {
                tracing::warn!(error = message_of(&error), "cannot read orders");
                NotDone::Unavailable.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exists(order_id: &str) -> Problem {
        let order_id = order_id.to_owned();
        ChangeRefused::OrderExists { order_id }.into()
    }

    #[test]
    fn a_problem_is_what_rfc_9457_says() {
        let response = exists("17").into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let problem = Problem::from(ChangeRefused::PreconditionFailed { version: 3 });
        let details = serde_json::to_value(problem.details()).unwrap();
        assert_eq!(details["type"], "urn:problem-type:precondition-failed");
        assert_eq!(details["status"], 412);
        assert_eq!(details["version"], 3);
        assert!(details["title"].is_string() && details["detail"].is_string());
    }

    #[test]
    fn a_problem_is_one_line_whatever_it_quotes() {
        let hostile = "17\r\nHTTP/1.1 200 OK\0\x1b[2J";
        for problem in [
            exists(hostile),
            Problem::Invalid(hostile.to_owned()),
            Problem::BadRequest(hostile.to_owned()),
        ] {
            let body = serde_json::to_string(&problem.details()).unwrap();
            assert!(!body.contains(char::is_control), "{body}");
            let headers = problem.into_response().into_parts().0.headers;
            assert_eq!(headers.len(), 1, "{headers:?}");
        }
    }

    #[test]
    fn a_temporary_problem_has_retry_after() {
        for why in [
            NotDone::Unavailable,
            NotDone::Overloaded,
            NotDone::Closing,
            NotDone::TablesLocked,
            NotDone::Locked("the order \"17\"".to_owned()),
        ] {
            let response = Problem::from(why).into_response();
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
        let response = Problem::RateLimited { seconds: 7 }.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        let response = Problem::Unauthorized.into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
