//! The routes as browsers use them, as far as they need no services.

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
    // Without the sender the keys stay as they are.
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

#[tokio::test]
async fn a_key_is_exchanged_for_a_session_that_ends() {
    let console = with_keys();
    let anonymous = ask(&console, get_path("/api/session")).await;
    anonymous.assert_problem(401, "unauthorized");

    let cookie = sign_in(&console, ANNS).await;
    assert!(cookie.starts_with("checkout-session="), "{cookie}");
    assert!(!cookie.contains(ANNS));
    let mine = || with(get_path("/api/session"), COOKIE, &cookie);
    let session = ask(&console, mine()).await;
    assert_eq!(session.status, StatusCode::OK);
    assert_eq!(session.json()["name"], "ann");
    assert_eq!(session.json()["role"], "operator");
    assert_eq!(
        session.json()["can_place_orders"],
        false,
        "no ingress is set"
    );
    assert_eq!(session.json()["audit_topic"], Value::Null);

    let sign_out = with(request("DELETE", "/api/session", ""), COOKIE, &cookie);
    let ended = ask(&console, sign_out).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(ended.headers.get_all(SET_COOKIE).iter().count(), 2);
    ask(&console, mine())
        .await
        .assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn over_tls_the_cookie_is_of_this_host_alone() {
    let console = with_keys();
    let body = format!("{{\"key\":\" {ANNS}\\n\"}}");
    let request = request("POST", "/api/session", &body);
    let request = with(request, ORIGIN, "https://localhost:9466");
    let answer = ask(&console, request).await;
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-checkout="), "{cookie}");
    for attribute in [
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
        "Max-Age=43200",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let session = ask(&console, with(get_path("/api/session"), COOKIE, pair)).await;
    assert_eq!(session.json()["name"], "ann");
}

#[tokio::test]
async fn wrong_keys_are_refused_and_then_slowed() {
    let console = with_keys();
    let wrong = || request("POST", "/api/session", "{\"key\":\"ann-0123456789abcdeg\"}");
    let first = ask(&console, wrong()).await;
    first.assert_problem(401, "unknown-key");
    assert!(!first.headers.contains_key(SET_COOKIE));
    // One attempt comes back every two seconds: the limit is reached however slow this machine is.
    for _ in 0..10_000 {
        let answer = ask(&console, wrong()).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            answer.assert_problem(429, "too-many-attempts");
            assert!(answer.headers.contains_key(RETRY_AFTER));
            return;
        }
    }
    panic!("10,000 attempts were let through");
}

#[tokio::test]
async fn a_body_of_another_form_is_refused_and_shows_no_key() {
    let console = with_keys();
    for body in ["", "{", "[]", "{\"key\":7}", "{\"Key\":\"hunter2\"}"] {
        let answer = ask(&console, request("POST", "/api/session", body)).await;
        answer.assert_problem(400, "bad-request");
        assert!(!answer.text.contains("hunter2"));
    }
    let form = with(
        request("POST", "/api/session", "key=hunter2"),
        CONTENT_TYPE,
        "application/x-www-form-urlencoded",
    );
    ask(&console, form)
        .await
        .assert_problem(415, "unsupported-media-type");
    let huge = format!("{{\"key\":\"{}\"}}", "a".repeat(70_000));
    let huge = ask(&console, request("POST", "/api/session", &huge)).await;
    huge.assert_problem(413, "too-large");
}

#[tokio::test]
async fn without_keys_everybody_has_the_role() {
    let console = without_keys(Role::Operator);
    let session = ask(&console, get_path("/api/session")).await.json();
    assert_eq!(session["name"], "anyone");
    assert_eq!(session["signed_in"], false);
    let answer = ask(
        &console,
        request("POST", "/api/session", "{\"key\":\"any\"}"),
    )
    .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(!answer.headers.contains_key(SET_COOKIE));
}

#[tokio::test]
async fn an_operator_may_place_orders_where_there_is_an_ingress() {
    let flags = ["--console-orders-url", "http://127.0.0.1:1"];
    for (role, can) in [(Role::Operator, true), (Role::Viewer, false)] {
        let console = console(Sessions::of_anyone(role), &flags);
        let session = ask(&console, get_path("/api/session")).await.json();
        assert_eq!(session["can_place_orders"], can, "{role:?}");
    }
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let console = with_keys();
    let cookie = sign_in(&console, BOBS).await;
    let flow = ask(&console, with(get_path("/api/flow"), COOKIE, &cookie)).await;
    assert_eq!(flow.status, StatusCode::OK, "{}", flow.text);
    assert!(flow.json()["flow"]["nodes"].is_array());
    let reveal = request(
        "POST",
        "/api/orders/17/reveal",
        "{\"why\":\"a customer asks\"}",
    );
    let reveal = ask(&console, with(reveal, COOKIE, &cookie)).await;
    reveal.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn every_path_of_the_api_wants_a_session() {
    let console = with_keys();
    for path in [
        "/api/session",
        "/api/flow",
        "/api/stream",
        "/api/orders/17",
        "/api/orders/17/path",
        "/api/dead-letters?service=processor",
        "/api/dead-letters/processor/3-17",
        "/api/runs",
    ] {
        let answer = ask(&console, get_path(path)).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{path}: {}",
            answer.text
        );
    }
    for path in ["/api/orders", "/api/runs", "/api/orders/17/reveal"] {
        let answer = ask(&console, request("POST", path, "{}")).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{path}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_hostile_name_for_the_address_is_refused_everywhere() {
    let console = console(
        Sessions::of_anyone(Role::Operator),
        &["--console-hosts", "console.example.com"],
    );
    for path in ["/", "/api/session", "/api/flow", "/livez", "/assets/app.js"] {
        for host in ["evil.example", "evil.example:9466"] {
            let answer = ask(&console, with(get_path(path), HOST, host)).await;
            answer.assert_problem(421, "misdirected");
            assert!(answer.text.contains("CONSOLE_HOSTS"));
        }
    }
    let mut nameless = get_path("/api/session");
    nameless.headers_mut().remove(HOST);
    ask(&console, nameless)
        .await
        .assert_problem(421, "misdirected");
    let mut two = get_path("/api/session");
    two.headers_mut()
        .append(HOST, "evil.example".parse().unwrap());
    ask(&console, two).await.assert_problem(421, "misdirected");
    for host in ["console.example.com", "127.0.0.1:9466", "[::1]:9466"] {
        let answer = ask(&console, with(get_path("/api/session"), HOST, host)).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_api() {
    let console = without_keys(Role::Operator);
    for site in ["cross-site", "same-site"] {
        let read = with(get_path("/api/orders/17"), "sec-fetch-site", site);
        ask(&console, read).await.assert_problem(403, "cross-site");
        let change = with(
            request("DELETE", "/api/session", ""),
            "sec-fetch-site",
            site,
        );
        ask(&console, change)
            .await
            .assert_problem(403, "cross-site");
    }
    let change = with(
        request("DELETE", "/api/session", ""),
        ORIGIN,
        "http://evil.example",
    );
    ask(&console, change)
        .await
        .assert_problem(403, "cross-site");
    let own = with(
        request("DELETE", "/api/session", ""),
        ORIGIN,
        "http://localhost:9466",
    );
    assert_eq!(ask(&console, own).await.status, StatusCode::NO_CONTENT);
    // A link from elsewhere opens the page.
    let link = with(get_path("/orders/17"), "sec-fetch-site", "cross-site");
    assert_eq!(ask(&console, link).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_is_strict_with_browsers() {
    let console = without_keys(Role::Viewer);
    for (path, status) in [
        ("/", 200),
        ("/api/session", 200),
        ("/api/nothing", 404),
        ("/nothing", 404),
        ("/assets/0123456789abcdef/app.js", 404),
        ("/livez", 200),
        ("/panics", 500),
    ] {
        let answer = ask(&console, get_path(path)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"));
        assert!(
            !policy.contains("unsafe") && !policy.contains("  "),
            "{policy}"
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(
            answer.headers["cross-origin-resource-policy"],
            "same-origin"
        );
        let cache = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.headers[CACHE_CONTROL], cache, "{path}");
    }
}

/// The page and the server each say where the files are.
#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let console = with_keys();
    let page = ask(&console, get_path("/")).await;
    let quoted = page
        .text
        .split('"')
        .filter(|text| text.starts_with("/assets/"));
    let files: Vec<_> = quoted.collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let answer = ask(&console, get_path(file)).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert_ne!(
            answer.headers[CONTENT_TYPE], "application/octet-stream",
            "{file}"
        );
    }
}

#[tokio::test]
async fn views_are_the_page_and_files_are_cached_by_their_tag() {
    let console = with_keys();
    let page = ask(&console, get_path("/dead-letters/processor/3-17")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.starts_with("<!doctype html>"), "{}", page.text);
    assert_eq!(page.headers[CONTENT_TYPE], "text/html; charset=utf-8");

    let script = ask(&console, get_path("/assets/app.js")).await;
    assert_eq!(
        script.headers[CONTENT_TYPE],
        "text/javascript; charset=utf-8"
    );
    let tag = script.headers[ETAG].to_str().unwrap();
    let again = with(get_path("/assets/app.js"), IF_NONE_MATCH, tag);
    let again = ask(&console, again).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert!(again.text.is_empty());
    assert_eq!(again.headers[ETAG], tag);
    let head = ask(&console, request("HEAD", "/assets/app.js", "")).await;
    assert_eq!(
        (head.status, &head.headers[ETAG]),
        (StatusCode::OK, &script.headers[ETAG])
    );

    for path in [
        "/assets/../Cargo.toml",
        "/assets/",
        "/assets/nothing.js",
        "/nothing",
    ] {
        ask(&console, get_path(path))
            .await
            .assert_problem(404, "not-found");
    }
    let typed = with(get_path("/nothing"), ACCEPT, "text/html,*/*;q=0.8");
    let typed = ask(&console, typed).await;
    assert_eq!(typed.status, StatusCode::NOT_FOUND);
    assert!(
        typed.text.starts_with("<!doctype html>"),
        "the page says so"
    );
}

#[tokio::test]
async fn other_methods_and_paths_are_problems_too() {
    let console = without_keys(Role::Operator);
    let patch = ask(&console, request("PATCH", "/api/session", "{}")).await;
    patch.assert_problem(405, "method-not-allowed");
    assert!(patch.headers.contains_key(ALLOW));
    let post = ask(&console, request("POST", "/flow", "{}")).await;
    post.assert_problem(405, "method-not-allowed");
    let path = ask(&console, get_path("/api/nothing")).await;
    path.assert_problem(404, "not-found");
    ask(&console, get_path("/panics"))
        .await
        .assert_problem(500, "internal");
}

#[tokio::test]
async fn a_stream_ends_at_shutdown_and_with_its_session() {
    for ends_by_sign_out in [true, false] {
        let console = with_keys();
        let cookie = sign_in(&console, BOBS).await;
        let app = router(console.clone(), health());
        let stream = with(get_path("/api/stream"), COOKIE, &cookie);
        let response = app.oneshot(stream).await.unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        let cache = response.headers()[CACHE_CONTROL].to_str().unwrap();
        assert!(cache.contains("no-transform"), "{cache}");
        let mut body = response.into_body().into_data_stream();
        if ends_by_sign_out {
            let sign_out = with(request("DELETE", "/api/session", ""), COOKIE, &cookie);
            ask(&console, sign_out).await;
        } else {
            console.shutdown.request();
        }
        while let Some(part) = body.next().await {
            part.unwrap();
        }
    }
}
