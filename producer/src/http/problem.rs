//! Every error that a client sees: one enum, answered as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use runtime::postgres::{Unwritable, message_of};
use schemas::Status;
use serde::Serialize;
use utoipa::ToSchema;

use crate::database::{Fault, fault_of};
use crate::ingress::NotWritten;

/// The media type of problems.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a 503 may be tried again.
const RETRY_SECONDS: &str = "2";

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The body is no JSON.
    MalformedJson(String),
    /// A header, the query or the path is malformed.
    BadRequest(String),
    /// No key, or one that is not known.
    Unauthorized,
    /// There is no such order.
    OrderNotFound,
    /// There is no such path.
    NoSuchPath,
    /// The body did not arrive in time.
    SlowBody,
    /// An order of this id exists.
    OrderExists(String),
    /// The status can't follow the one the order has.
    TransitionRefused {
        /// The status that it has.
        current: Status,
        /// The status that was wanted.
        wanted: Status,
    },
    /// The order is not as the client saw it.
    PreconditionFailed {
        /// Its version.
        version: i64,
    },
    /// The body, or a line of it, is longer than this many bytes.
    TooLarge(u64),
    /// The body is of another type than this.
    UnsupportedMediaType(&'static str),
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body is JSON, and not what is asked for.
    Invalid(String),
    /// Something else was asked for under this idempotency key.
    KeyReused,
    /// The key's rate is used up.
    RateLimited {
        /// Until there is room for one more.
        seconds: u64,
    },
    /// Our fault.
    Internal,
    /// Too much is waiting.
    Overloaded,
    /// The database did not answer in time.
    Unavailable,
    /// Another session of the database has locked what this names.
    Locked(String),
    /// Another session of the database has locked whole tables.
    TablesLocked,
    /// The database did not get this done, for this reason.
    StatementFailed(String),
    /// The stored order of this id can't be read.
    Unreadable(String),
    /// The database takes no writes.
    Unwritable(Unwritable),
    /// The service stops.
    Closing,
    /// The commit's outcome is not known.
    OutcomeUnknown,
    /// It took too long.
    TimedOut,
    /// What the HTTP layer answered by itself.
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
    /// The order's status, where another one can't follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "CANCELLED")]
    current_status: Option<&'static str>,
}

impl Problem {
    /// The HTTP status.
    pub(super) const fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// Status, word of the type, title.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedJson(_) => (S::BAD_REQUEST, "malformed-json", "The body is no JSON"),
            Self::BadRequest(_) => (S::BAD_REQUEST, "bad-request", "The request is malformed"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "An API key is needed"),
            Self::OrderNotFound => (S::NOT_FOUND, "order-not-found", "There is no such order"),
            Self::NoSuchPath => (S::NOT_FOUND, "no-such-path", "There is no such path"),
            Self::SlowBody => (S::REQUEST_TIMEOUT, "slow-body", "The body did not arrive"),
            Self::OrderExists(_) => (S::CONFLICT, "order-exists", "The order exists"),
            Self::TransitionRefused { .. } => (
                S::CONFLICT,
                "transition-refused",
                "The status can't follow the order's",
            ),
            Self::PreconditionFailed { .. } => (
                S::PRECONDITION_FAILED,
                "precondition-failed",
                "The order has changed",
            ),
            Self::TooLarge(_) => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too long"),
            Self::UnsupportedMediaType(_) => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is of another type",
            ),
            Self::UnsupportedEncoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "The body has a Content-Encoding",
            ),
            Self::Invalid(_) => (
                S::UNPROCESSABLE_ENTITY,
                "invalid",
                "The body is not what is asked for",
            ),
            Self::KeyReused => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key stands for another request",
            ),
            Self::RateLimited { .. } => (
                S::TOO_MANY_REQUESTS,
                "rate-limited",
                "Too many requests with this key",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something is broken"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting"),
            Self::Unavailable => (
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "The database does not answer in time",
            ),
            Self::Unwritable(_) => (
                S::SERVICE_UNAVAILABLE,
                "unwritable",
                "The database takes no writes",
            ),
            Self::Locked(_) => (
                S::SERVICE_UNAVAILABLE,
                "order-locked",
                "The order is locked by another session of the database",
            ),
            Self::TablesLocked => (
                S::SERVICE_UNAVAILABLE,
                "tables-locked",
                "The tables are locked by another session of the database",
            ),
            Self::StatementFailed(_) => (
                S::SERVICE_UNAVAILABLE,
                "statement-failed",
                "The database did not get it done",
            ),
            Self::Unreadable(_) => (
                S::INTERNAL_SERVER_ERROR,
                "order-unreadable",
                "The stored order can't be read",
            ),
            Self::Closing => (S::SERVICE_UNAVAILABLE, "closing", "The service stops"),
            Self::OutcomeUnknown => (
                S::SERVICE_UNAVAILABLE,
                "outcome-unknown",
                "It is not known whether it was done",
            ),
            Self::TimedOut => (S::SERVICE_UNAVAILABLE, "timed-out", "It took too long"),
            Self::Http(status) => match *status {
                S::METHOD_NOT_ALLOWED => (
                    S::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "The path does not know this method",
                ),
                S::NOT_FOUND => (S::NOT_FOUND, "no-such-path", "There is no such path"),
                other => (other, "http", "The request can't be served"),
            },
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::MalformedJson(why) | Self::BadRequest(why) | Self::Invalid(why) => why.clone(),
            Self::Unauthorized => {
                "send a key that the service knows: Authorization: Bearer KEY".to_owned()
            }
            Self::OrderNotFound => "no order has this id".to_owned(),
            Self::NoSuchPath => "the paths are listed at /openapi.json and /docs".to_owned(),
            Self::SlowBody => "send the whole body sooner".to_owned(),
            Self::OrderExists(order_id) => {
                format!("an order with the id {order_id:?} exists; nothing was changed")
            }
            Self::TransitionRefused { current, wanted } => format!(
                "the order is {current}, {wanted} can't follow \
                 (PENDING -> SENT -> DELIVERED, PENDING or SENT -> CANCELLED)"
            ),
            Self::PreconditionFailed { version } => {
                format!("the order's version is {version}, not what If-Match asks for")
            }
            Self::TooLarge(limit) => format!("at most {limit} bytes are taken"),
            Self::UnsupportedMediaType(wanted) => format!("send it with Content-Type: {wanted}"),
            Self::UnsupportedEncoding => {
                "send the body as it is, without Content-Encoding".to_owned()
            }
            Self::KeyReused => {
                "another request was made with this Idempotency-Key in the last 24 hours; \
                 use a new key for a new request"
                    .to_owned()
            }
            Self::RateLimited { seconds } => {
                format!("nothing was done; try again in {seconds} s, and less often")
            }
            Self::Internal => "the service's log says more; nothing was promised".to_owned(),
            Self::Overloaded => "nothing was done; try again later".to_owned(),
            Self::Unavailable => "nothing was done; try again later".to_owned(),
            Self::Locked(what) => format!(
                "{what} is locked by another session of the database; nothing was done; try again \
                 later"
            ),
            Self::TablesLocked => {
                "a table is locked by another session of the database; nothing was done; try again \
                 later"
                    .to_owned()
            }
            Self::StatementFailed(why) => format!("nothing was done: {why}; try again later"),
            Self::Unreadable(order_id) => format!(
                "the row of the order {order_id:?} holds a value that this service does not write; \
                 the service's log names it, and an operator has to mend it"
            ),
            Self::Unwritable(why) => {
                format!("{}; nothing was done; try again later", why.as_str())
            }
            Self::Closing => "nothing was done; try again, another instance may answer".to_owned(),
            Self::OutcomeUnknown => {
                "the database was lost while it was being written; look whether it was, and \
                 send an Idempotency-Key next time: then a repeat is always safe"
                    .to_owned()
            }
            Self::TimedOut => {
                "a change may still be done; a repeat with the same Idempotency-Key is safe"
                    .to_owned()
            }
            Self::Http(status) => status
                .canonical_reason()
                .unwrap_or("see the status")
                .to_owned(),
        }
    }

    /// What is in the body.
    pub(super) fn details(&self) -> ProblemDetails {
        let (status, word, title) = self.kind();
        ProblemDetails {
            kind: format!("urn:problem-type:{word}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            version: match self {
                Self::PreconditionFailed { version } => Some(*version),
                _ => None,
            },
            current_status: match self {
                Self::TransitionRefused { current, .. } => Some(current.as_str()),
                _ => None,
            },
        }
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
            // What is taken instead (RFC 9110, 15.5.16).
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl From<NotWritten> for Problem {
    fn from(why: NotWritten) -> Self {
        match why {
            NotWritten::Unavailable => Self::Unavailable,
            NotWritten::Unwritable(why) => Self::Unwritable(why),
            NotWritten::Overloaded => Self::Overloaded,
            NotWritten::Closing => Self::Closing,
            NotWritten::OutcomeUnknown => Self::OutcomeUnknown,
            NotWritten::Locked(what) => Self::Locked(what),
            NotWritten::TablesLocked => Self::TablesLocked,
            NotWritten::Failed(why) => Self::StatementFailed(why),
            NotWritten::Unreadable(order_id) => Self::Unreadable(order_id),
            NotWritten::Rejected => {
                Self::Invalid("the database refuses this order for its data".to_owned())
            }
        }
    }
}

/// An error of a statement that only reads.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match fault_of(&error) {
            Fault::Data => Self::Invalid("the database refuses this request".to_owned()),
            // A reader waits for no row: it is a whole table that is locked.
            Fault::Locked => Self::TablesLocked,
            Fault::Statement => {
                tracing::warn!(%error, "can't read orders");
                Self::StatementFailed("the statement failed or took too long".to_owned())
            }
            Fault::Conflict | Fault::Away | Fault::Unwritable(_) => {
                tracing::warn!(error = message_of(&error), "can't read orders");
                Self::Unavailable
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_what_rfc_9457_says() {
        let response = Problem::OrderExists("17".to_owned()).into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let details = serde_json::to_value(Problem::PreconditionFailed { version: 3 }.details());
        let details = details.unwrap();
        assert_eq!(details["type"], "urn:problem-type:precondition-failed");
        assert_eq!(details["status"], 412);
        assert_eq!(details["version"], 3);
        assert!(details["title"].is_string() && details["detail"].is_string());
    }

    #[test]
    fn a_problem_is_one_line_whatever_it_quotes() {
        let hostile = "17\r\nHTTP/1.1 200 OK\0\x1b[2J";
        for problem in [
            Problem::OrderExists(hostile.to_owned()),
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
    fn what_can_be_tried_again_says_when() {
        for problem in [
            Problem::Unavailable,
            Problem::Overloaded,
            Problem::Closing,
            Problem::TablesLocked,
            Problem::Locked("the order \"17\"".to_owned()),
        ] {
            let response = problem.into_response();
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
        let response = Problem::RateLimited { seconds: 7 }.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        let response = Problem::Unauthorized.into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
