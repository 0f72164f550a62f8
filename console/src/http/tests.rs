//! Tests of the routes as browsers use them, without services.

mod access;
mod browsers;

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, COOKIE, ETAG, HOST, IF_NONE_MATCH, ORIGIN,
    RETRY_AFTER, SET_COOKIE,
};
use axum::http::{HeaderMap, Request, StatusCode};
use clap::Parser;
use futures::StreamExt;
use http_body_util::BodyExt;
use runtime::key_file::FileKeys;
use runtime::lifecycle::Shutdown;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use super::keys::ConsoleKeys;
use super::session::Sessions;
use super::*;
use crate::runs::Runs;
use crate::scrape::{Live, Targets};
use crate::settings::{Inherited, Role, RunSettings};

const ANNS: &str = "ann-0123456789abcdef";
const BOBS: &str = "bob-0123456789abcdef";

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    settings: RunSettings,
}

fn console(sessions: Sessions, flags: &[&str]) -> Console {
    let flags = ["console"].iter().chain(flags);
    let client = reqwest::Client::new();
    Console {
        settings: Arc::new(Cli::try_parse_from(flags).unwrap().settings),
        inherited: Arc::new(Inherited::default()),
        orders_key: None,
        live: Live::new(Targets::default(), client.clone()),
        runs: Runs::new(1),
        sessions,
        http: client,
        shutdown: Shutdown::new(),
    }
}

/// Returns a console with the keys of Ann, an operator, and Bob, a viewer.
fn with_keys() -> Console {
    let text = format!("ann operator {ANNS}\nbob viewer {BOBS}\n");
    // Without the sender the keys never change.
    let (_, keys) = watch::channel(ConsoleKeys::parse(&text).unwrap());
    console(Sessions::of_keys(keys), &[])
}

fn without_keys(role: Role) -> Console {
    console(Sessions::of_anyone(role), &[])
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    #[track_caller]
    fn assert_problem(&self, status: u16, name: &str) {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers[CONTENT_TYPE], problem::PROBLEM_JSON);
        assert_eq!(body["type"], format!("urn:problem-type:{name}"));
        assert_eq!(body["status"], status);
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
    }
}

async fn ask(console: &Console, request: Request<Body>) -> Answer {
    let app = router(console.clone(), health());
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn health() -> Router {
    Router::new()
        .route("/livez", get(|| async { "OK" }))
        .route("/panics", get(panics))
}

async fn panics() -> &'static str {
    panic!("as a broken handler does")
}

fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost:9466")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

fn get_path(path: &str) -> Request<Body> {
    let mut request = request("GET", path, "");
    request.headers_mut().remove(CONTENT_TYPE);
    request
}

fn with(
    mut request: Request<Body>,
    name: impl axum::http::header::IntoHeaderName,
    value: &str,
) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Signs in and returns the cookie as a browser sends it.
async fn sign_in(console: &Console, key: &str) -> String {
    let body = format!("{{\"key\":\"{key}\"}}");
    let answer = ask(console, request("POST", "/api/session", &body)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}
