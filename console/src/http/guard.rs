//! Around every route: who may ask, how much, and what every answer says to browsers.
//!
//! | attack | what stops it |
//! |---|---|
//! | DNS rebinding: a hostile name that leads to the console's address | only known names are accepted in `Host` |
//! | a request that another site's page makes (CSRF) | `Sec-Fetch-Site`, or else `Origin`; `SameSite=Strict`; only JSON bodies, which need a preflight |
//! | somebody else's session, in a cookie that a sibling domain sets | over TLS only `__Host-checkout` counts |
//! | script in a page (XSS) | the content security policy, trusted types, `nosniff` |
//! | the page in another site's frame | `frame-ancestors`, `X-Frame-Options` |
//! | a body without an end | 64 KiB within 10 s |

use std::any::Any;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use metrics::counter;
use runtime::metrics::CONSOLE_REQUESTS;

use super::problem::{PROBLEM_JSON, Problem};

/// Maximum size of a body, in bytes. The largest is a list of dead letters that were ticked.
const MAX_BODY: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Bytes of the text that the HTTP layer gives as the reason of an error.
const MAX_REASON: usize = 4096;

/// Everything comes from the console itself; no inline script or style, no plug-in, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// Headers of every answer.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The names of the console. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    hosts: Arc<[String]>,
}

impl Guard {
    /// Accepts these names, `localhost`, and IP addresses: with an address in `Host` no name was resolved
    /// that somebody could have rebound.
    pub(super) fn new(hosts: &[String]) -> Self {
        Self {
            hosts: hosts.into(),
        }
    }

    /// Refuses what another site, or a page under another name, may have sent, and reads the body.
    async fn admit(&self, request: Request) -> Result<Request, Problem> {
        self.check_host(&request)?;
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        // A read is checked too: some start a command.
        if changes || is_api(request.uri()) {
            check_site(request.headers(), request.uri().authority())?;
        }
        if !changes {
            return Ok(request);
        }
        let has_type = request.headers().contains_key(CONTENT_TYPE);
        if (*request.method() != Method::DELETE || has_type) && !is_json(request.headers()) {
            return Err(Problem::of(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send the body with Content-Type: application/json",
            ));
        }
        with_whole_body(request).await
    }

    /// Checks every name that the request gives for the console.
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let in_headers = request.headers().get_all(HOST).iter();
        let in_headers = in_headers.map(HeaderValue::as_bytes);
        let in_uri = request.uri().authority();
        let mut given = in_headers
            .chain(in_uri.map(|authority| authority.as_str().as_bytes()))
            .peekable();
        if given.peek().is_none() {
            return Err(Problem::misdirected("the request names no host"));
        }
        for host in given {
            if !self.knows(host) {
                return Err(Problem::misdirected(format!(
                    "{:?} is not a name of this console; if it is one, add it to CONSOLE_HOSTS",
                    String::from_utf8_lossy(host)
                )));
            }
        }
        Ok(())
    }

    fn knows(&self, host: &[u8]) -> bool {
        let Ok(authority) = Authority::try_from(host) else {
            return false;
        };
        if authority.as_str().contains('@') {
            return false;
        }
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let unbracketed = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || unbracketed.parse::<IpAddr>().is_ok() || self.hosts.contains(&name)
    }
}

/// Passes a request to its handler. Makes sure that there is an answer, that an error is a problem, and
/// that browsers treat the answer strictly.
pub(super) async fn around(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        // Pages and their files: one label for all, because anybody can ask for any path.
        None => "files".to_owned(),
    };
    let method = method_label(request.method());
    let response = match guard.admit(request).await {
        Ok(request) => caught(next.run(request)).await,
        Err(problem) => problem.into_response(),
    };
    let mut response = problem_of_error(response).await;
    let status = response.status().as_u16().to_string();
    counter!(CONSOLE_REQUESTS, "route" => route, "method" => method, "status" => status)
        .increment(1);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    // Only the page and its files say how they may be kept. Without this a proxy may remember a 404 for a
    // file of the version that is just being started.
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

/// A method is a label of metrics, so an invented one is not its own.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Refuses what another site's page sent. A request without both headers is no browser's.
fn check_site(headers: &HeaderMap, in_uri: Option<&Authority>) -> Result<(), Problem> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err(Problem::cross_site(
                "the request came from a page of another site; open the console itself",
            )),
        };
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let authority =
        origin
            .as_bytes()
            .split_first_chunk::<7>()
            .and_then(|(start, rest)| match start {
                b"http://" => Some(rest),
                b"https:/" => rest.strip_prefix(b"/"),
                _ => None,
            });
    let in_uri = in_uri.map(|authority| authority.as_str().as_bytes());
    let host = headers.get(HOST).map(HeaderValue::as_bytes).or(in_uri);
    match (authority, host) {
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Problem::cross_site(
            "Origin and Host differ: the request came from a page of another site, or a proxy changed \
             Host",
        )),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads the whole body, so that no handler waits for a slow one.
async fn with_whole_body(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect())
        .await
        .map_err(|_| Problem::of(StatusCode::REQUEST_TIMEOUT, "send the whole body sooner"))?;
    let body = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::of(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("at most {MAX_BODY} bytes are accepted"),
            )
        } else {
            Problem::bad_request("the body ended early")
        }
    })?;
    Ok(Request::from_parts(parts, Body::from(body.to_bytes())))
}

/// Answers a panic of a handler with an error; other requests are not affected.
async fn caught(answered: impl Future<Output = Response>) -> Response {
    let answered = AssertUnwindSafe(answered).catch_unwind().await;
    answered.unwrap_or_else(panicked)
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request's handler panicked; the message is above");
    Problem::internal().into_response()
}

/// Turns an error of the HTTP layer or of an extractor into a problem. Its text is the detail.
async fn problem_of_error(response: Response) -> Response {
    let status = response.status();
    let is_text = match response.headers().get(CONTENT_TYPE) {
        None => true,
        Some(kind) => kind.as_bytes().starts_with(b"text/plain"),
    };
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || !is_text {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = Limited::new(body, MAX_REASON).collect().await;
    let text = text.map(|text| text.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = match text.trim() {
        "" => status.canonical_reason().unwrap_or("see the status"),
        text => text,
    };
    let mut problem = Problem::of(status, detail).into_response();
    // Such as Allow of a 405.
    let mut kept = parts.headers;
    kept.remove(CONTENT_LENGTH);
    kept.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    problem.headers_mut().extend(kept);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn only_names_of_the_console_and_addresses_are_hosts() {
        let guard = Guard::new(&["console.example.com".to_owned()]);
        for host in [
            "localhost",
            "localhost:9466",
            "LOCALHOST.:80",
            "127.0.0.1:9466",
            "[::1]:9466",
            "10.1.2.3",
            "console.example.com",
            "Console.Example.com:443",
        ] {
            assert!(guard.knows(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "console.example.com.evil.example",
            "localhost.evil.example:9466",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "[evil.example]",
            "localhost/",
            "local host",
        ] {
            assert!(!guard.knows(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        let host = ("host", "console.example.com");
        for same in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[host, ("origin", "https://console.example.com")],
            &[
                ("host", "127.0.0.1:9466"),
                ("origin", "http://127.0.0.1:9466"),
            ],
            &[host],
            // Behind a proxy that changes Host.
            &[
                ("host", "127.0.0.1:9466"),
                ("origin", "https://console.example.com"),
                ("sec-fetch-site", "same-origin"),
            ],
        ] {
            assert_eq!(check_site(&headers(same), None), Ok(()), "{same:?}");
        }
        for other in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://console.example.com.evil.example")],
            &[host, ("origin", "ftp://console.example.com")],
            &[
                ("host", "127.0.0.1:9466"),
                ("origin", "http://127.0.0.1:8080"),
            ],
            &[("origin", "https://console.example.com")],
            &[
                host,
                ("origin", "https://console.example.com"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            let problem = check_site(&headers(other), None).unwrap_err();
            assert_eq!(problem.status(), StatusCode::FORBIDDEN, "{other:?}");
        }
    }

    #[test]
    fn only_json_is_json() {
        let is = |value: &str| is_json(&headers(&[("content-type", value)]));
        assert!(is("application/json") && is("Application/JSON; charset=utf-8"));
        for other in [
            "text/plain",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "text/plain; application/json",
        ] {
            assert!(!is(other), "{other}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
