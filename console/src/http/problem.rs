//! Every error that a page gets, answered as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a request that could not be served may succeed.
const RETRY_SECONDS: u64 = 2;

/// Why a request was not carried out. The detail tells a person what happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    /// The name in the problem's type, by which programs distinguish problems.
    name: &'static str,
    title: &'static str,
    detail: String,
    retry_after: Option<u64>,
}

/// A problem as clients see it (RFC 9457).
#[derive(Debug, Serialize)]
struct ProblemDetails<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    /// 400: the request is malformed, or asks for something that a command does not do.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: nobody is signed in.
    pub fn unauthorized() -> Self {
        Self::of(
            StatusCode::UNAUTHORIZED,
            "sign in with a key of CONSOLE_KEYS_FILE; a session ends after 12 hours, and when its key is \
             taken out of the file",
        )
    }

    /// 401: the key is unknown.
    pub fn unknown_key() -> Self {
        Self {
            name: "unknown-key",
            title: "The key is unknown",
            ..Self::of(
                StatusCode::UNAUTHORIZED,
                "the key is not in CONSOLE_KEYS_FILE; whoever operates the console gives keys",
            )
        }
    }

    /// 403: the person who is signed in may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::FORBIDDEN, detail)
    }

    /// 403: another site's page made the request.
    pub fn cross_site(detail: impl Into<String>) -> Self {
        Self {
            name: "cross-site",
            title: "Another site's page made the request",
            ..Self::of(StatusCode::FORBIDDEN, detail)
        }
    }

    /// 404: the requested thing does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, detail)
    }

    /// 409: the request conflicts with the present state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::CONFLICT, detail)
    }

    /// 421: the host is not one of the console's names.
    pub fn misdirected(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::MISDIRECTED_REQUEST, detail)
    }

    /// 429: too many attempts; one more is accepted after `seconds`.
    pub fn too_many_attempts(seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::of(
                StatusCode::TOO_MANY_REQUESTS,
                format!("too many wrong keys came from this address; try again in {seconds} s"),
            )
        }
    }

    /// 500: a fault of the console.
    pub fn internal() -> Self {
        Self::of(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the console's log says more",
        )
    }

    /// 500: a setting of the console, with which its commands run, is wrong or missing.
    pub fn misconfigured(why: &str) -> Self {
        Self {
            name: "wrong-setting",
            title: "A setting of the console is wrong",
            ..Self::of(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!(
                    "{}; correct the console's environment or its configuration file, and restart it",
                    why.trim_end_matches('.')
                ),
            )
        }
    }

    /// 502: a service that the console asked did not answer, or not as expected.
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_GATEWAY, detail)
    }

    /// 503: a retry may succeed later.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(RETRY_SECONDS),
            ..Self::of(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// 504: a service or a command did not answer in time.
    pub fn timed_out(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// Any status.
    pub fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        use StatusCode as S;
        let (name, title) = match status {
            S::BAD_REQUEST => ("bad-request", "The request is malformed"),
            S::UNAUTHORIZED => ("unauthorized", "You are not signed in"),
            S::FORBIDDEN => ("forbidden", "You may not do this"),
            S::NOT_FOUND => ("not-found", "There is no such thing"),
            S::METHOD_NOT_ALLOWED => (
                "method-not-allowed",
                "The path does not support this method",
            ),
            S::REQUEST_TIMEOUT => ("slow-body", "The body did not arrive in time"),
            S::CONFLICT => ("conflict", "This cannot be done now"),
            S::PAYLOAD_TOO_LARGE => ("too-large", "The body is too long"),
            S::UNSUPPORTED_MEDIA_TYPE => (
                "unsupported-media-type",
                "The Content-Type is not supported",
            ),
            S::MISDIRECTED_REQUEST => ("misdirected", "The console has another name"),
            S::UNPROCESSABLE_ENTITY => ("invalid", "The body is not a valid request"),
            S::TOO_MANY_REQUESTS => ("too-many-attempts", "Too many attempts"),
            S::INTERNAL_SERVER_ERROR => ("internal", "The console has an internal error"),
            S::BAD_GATEWAY => ("bad-gateway", "A service did not answer as expected"),
            S::SERVICE_UNAVAILABLE => ("unavailable", "This does not work at the moment"),
            S::GATEWAY_TIMEOUT => ("timed-out", "It took too long"),
            _ => ("http", "The request cannot be served"),
        };
        Self {
            status,
            name,
            title,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// Returns the HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns what happened and what to do, for a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = ProblemDetails {
            kind: format!("urn:problem-type:{}", self.name),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;

    async fn body(problem: Problem) -> (Response<()>, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap();
        (Response::from_parts(parts, ()), value)
    }

    #[tokio::test]
    async fn a_problem_is_what_rfc_9457_says() {
        let (response, body) = body(Problem::conflict("four commands run already")).await;
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(body["type"], "urn:problem-type:conflict");
        assert_eq!(body["status"], 409);
        assert_eq!(body["detail"], "four commands run already");
    }

    #[tokio::test]
    async fn a_temporary_problem_has_retry_after() {
        for problem in [
            Problem::unavailable("Kafka does not answer"),
            Problem::too_many_attempts(7),
        ] {
            let (response, _) = body(problem).await;
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
    }
}
