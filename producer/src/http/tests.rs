//! Tests of the routes as clients use them, without a database.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, Request, StatusCode};
use governor::Quota;
use http_body_util::BodyExt;
use runtime::settings::Secret;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use super::auth::{ApiKeys, KeyRate};
use super::*;
use crate::database;
use crate::ingress::{Gate, Queue};

/// Returns the API over a database that does not exist.
fn app(keys: Option<&str>, old_routes_without_key: bool) -> Router {
    limited_app(keys, None, old_routes_without_key)
}

/// Returns the same API, but each client may make `burst` requests and then none for an hour.
fn limited_app(keys: Option<&str>, burst: Option<u32>, old_routes_without_key: bool) -> Router {
    let nowhere = Secret::new("postgres://nobody@127.0.0.1:1/nowhere");
    let pool = database::pool(&database::database(&nowhere).unwrap(), 1);
    let gate = Arc::new(Gate::default());
    let api = Api::new(
        Ingress::new(Queue::new(10), gate),
        pool,
        Currency::EUR,
        Limits {
            body: 4096,
            bulk: 8192,
            spool: 1 << 20,
            body_time: Duration::from_secs(5),
            request_time: Duration::from_secs(10),
            requests: 10,
        },
        Shutdown::new(),
    );
    let access = Access {
        keys: keys.map(|keys| Keys {
            known: watch::channel(ApiKeys::parse(keys).unwrap()).1,
            rate: burst.and_then(NonZeroU32::new).map(|burst| {
                let hour = Quota::with_period(Duration::from_secs(3600)).unwrap();
                KeyRate::of(hour.allow_burst(burst))
            }),
        }),
        old_routes_without_key,
    };
    router(api, &access, Router::new(), Tracer::off())
}

async fn ask(app: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (parts.status, parts.headers, value)
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

#[track_caller]
fn assert_problem(answer: &(StatusCode, HeaderMap, Value), status: u16, what: &str) {
    assert_eq!(answer.0.as_u16(), status, "{what}: {}", answer.2);
    assert_eq!(answer.1[CONTENT_TYPE], problem::PROBLEM_JSON, "{what}");
    assert_eq!(answer.2["status"], status, "{what}");
}

#[tokio::test]
async fn a_bad_body_is_a_client_error() {
    let huge = format!("{{\"total\":1,\"x\":\"{}\"}}", "a".repeat(5000));
    for (body, status) in [
        ("{", 400),
        ("", 400),
        ("{\"total\":NaN}", 400),
        ("{\"total\":1e400}", 422),
        ("{\"total\":-1}", 422),
        ("{\"total\":true}", 422),
        ("[]", 422),
        (huge.as_str(), 413),
    ] {
        for path in ["/orders", "/order/create"] {
            let request = request("POST", path, body.to_owned());
            let answer = ask(app(None, false), request).await;
            assert_problem(&answer, status, &format!("{path} {body:.40}"));
        }
    }
}

#[tokio::test]
async fn a_good_order_without_a_database_may_be_tried_again() {
    let answer = ask(
        app(None, false),
        request("POST", "/orders", "{\"total\":1}"),
    )
    .await;
    assert_problem(&answer, 503, "no database");
    assert!(answer.1.contains_key("retry-after"));
}

#[tokio::test]
async fn unknown_paths_methods_and_types_are_problems_too() {
    let answer = ask(app(None, false), request("GET", "/nope", "")).await;
    assert_problem(&answer, 404, "path");
    let answer = ask(app(None, false), request("DELETE", "/orders/17", "")).await;
    assert_problem(&answer, 405, "method");
    assert!(answer.1.contains_key(ALLOW));
    let mut form = request("POST", "/orders", "total=1");
    form.headers_mut().insert(
        CONTENT_TYPE,
        "application/x-www-form-urlencoded".parse().unwrap(),
    );
    assert_problem(&ask(app(None, false), form).await, 415, "type");
    let answer = ask(app(None, false), request("POST", "/orders/bulk", "{}")).await;
    assert_problem(&answer, 415, "bulk type");
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_not_parsed() {
    for path in ["/orders", "/order/create", "/orders/bulk"] {
        let mut zipped = request("POST", path, "{\"total\":1}");
        let headers = zipped.headers_mut();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        if path == "/orders/bulk" {
            headers.insert(CONTENT_TYPE, "application/x-ndjson".parse().unwrap());
        }
        let answer = ask(app(None, false), zipped).await;
        assert_problem(&answer, 415, path);
        assert_eq!(answer.1["accept-encoding"], "identity", "{path}");
    }
    let mut plain = request("POST", "/orders", "{");
    let identity = "identity".parse().unwrap();
    plain.headers_mut().insert("content-encoding", identity);
    assert_problem(&ask(app(None, false), plain).await, 400, "identity");
}

#[tokio::test]
async fn an_order_called_bulk_has_a_path_of_its_own() {
    let answer = ask(app(None, false), request("GET", "/orders/bulk", "")).await;
    assert_problem(&answer, 405, "the bulk route");
    assert_eq!(answer.1[ALLOW], "POST");
    let path = answers::order_path("bulk");
    let answer = ask(app(None, false), request("GET", &path, "")).await;
    assert_problem(&answer, 503, "an order's route, without a database");
}

#[tokio::test]
async fn keys_are_required_unless_the_old_routes_are_open() {
    let bad = || "{".to_owned();
    for path in [
        "/orders",
        "/orders/bulk",
        "/order/create",
        "/order/status-update",
    ] {
        let answer = ask(app(Some("key"), false), request("POST", path, bad())).await;
        assert_problem(&answer, 401, path);
    }
    for path in ["/order/create", "/order/status-update"] {
        let answer = ask(app(Some("key"), true), request("POST", path, bad())).await;
        assert_problem(&answer, 400, path);
    }
    let mut known = request("POST", "/orders", bad());
    known
        .headers_mut()
        .insert(AUTHORIZATION, "Bearer key".parse().unwrap());
    assert_problem(&ask(app(Some("key"), true), known).await, 400, "with a key");
    let answer = ask(app(Some("key"), false), request("GET", "/healthz", "")).await;
    assert_eq!(answer.0, StatusCode::OK, "health requires none");
}

fn with_key(key: &str, method: &str, path: &str, body: &str) -> Request<Body> {
    let mut request = request(method, path, body.to_owned());
    let value = format!("Bearer {key}").parse().unwrap();
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

#[tokio::test]
async fn a_client_whose_rate_is_used_up_learns_when_to_try_again() {
    let app = limited_app(Some("one\nother"), Some(2), true);
    let ask = |request| ask(app.clone(), request);
    for _ in 0..5 {
        assert_problem(&ask(request("POST", "/orders", "{")).await, 401, "no key");
        let wrong = with_key("wrong", "POST", "/orders", "{");
        assert_problem(&ask(wrong).await, 401, "another key");
    }
    for _ in 0..2 {
        let first = ask(with_key("one", "POST", "/orders", "{")).await;
        assert_problem(&first, 400, "within its rate");
    }
    for (method, path) in [
        ("POST", "/orders"),
        ("GET", "/orders/17"),
        ("POST", "/orders/bulk"),
    ] {
        let refused = ask(with_key("one", method, path, "{")).await;
        assert_problem(&refused, 429, path);
        let seconds: u64 = refused.1["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
    }
    let other = ask(with_key("other", "POST", "/orders", "{")).await;
    assert_problem(&other, 400, "another key's rate");
    for path in ["/order/create", "/order/status-update"] {
        let old = ask(with_key("one", "POST", path, "{")).await;
        assert_problem(&old, 400, "no key is required, and there is no rate");
    }
    for _ in 0..5 {
        let health = ask(request("GET", "/healthz", "")).await;
        assert_eq!(health.0, StatusCode::OK, "health has no rate");
    }
}

#[tokio::test]
async fn each_line_of_a_bulk_request_counts() {
    // One for the request and two for lines; the third line is one too many.
    let app = limited_app(Some("one"), Some(3), false);
    let mut bulk = with_key("one", "POST", "/orders/bulk", "{}\n{}\n{}\n");
    let ndjson = "application/x-ndjson".parse().unwrap();
    bulk.headers_mut().insert(CONTENT_TYPE, ndjson);
    let response = app.oneshot(bulk).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let statuses: Vec<Value> = std::str::from_utf8(&bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, [422, 422, 429]);
}

#[tokio::test]
async fn a_bulk_body_is_read_before_the_answer_when_the_client_expects_100_continue() {
    let is_read = Arc::new(AtomicBool::new(false));
    let read = Arc::clone(&is_read);
    let body = futures::stream::once(async move {
        read.store(true, Ordering::Relaxed);
        Ok::<_, std::io::Error>("{}\n")
    });
    let mut bulk = request("POST", "/orders/bulk", Body::from_stream(body));
    let headers = bulk.headers_mut();
    headers.insert(CONTENT_TYPE, "application/x-ndjson".parse().unwrap());
    headers.insert(EXPECT, "100-continue".parse().unwrap());
    let response = app(None, false).oneshot(bulk).await.unwrap();
    assert!(is_read.load(Ordering::Relaxed), "the body was not read");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let result: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(result["status"], 422, "{result}");
}

#[tokio::test]
async fn an_empty_bulk_body_has_an_empty_answer_when_the_client_expects_100_continue() {
    let mut bulk = request("POST", "/orders/bulk", "");
    let headers = bulk.headers_mut();
    headers.insert(CONTENT_TYPE, "application/x-ndjson".parse().unwrap());
    headers.insert(EXPECT, "100-continue".parse().unwrap());
    let response = app(None, false).oneshot(bulk).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.is_empty(), "{bytes:?}");
}

#[tokio::test]
async fn the_description_names_every_route_with_its_problems() {
    let (status, _, api) = ask(app(Some("key"), false), request("GET", "/openapi.json", "")).await;
    assert_eq!(status, StatusCode::OK);
    for (path, method) in [
        ("/orders", "post"),
        ("/orders", "get"),
        ("/orders/{order_id}", "get"),
        ("/orders/{order_id}", "patch"),
        ("/orders/bulk", "post"),
        ("/order/create", "post"),
        ("/order/status-update", "post"),
    ] {
        let responses = &api["paths"][path][method]["responses"];
        for status in ["401", "429", "500", "503"] {
            let content = &responses[status]["content"];
            assert!(
                content[problem::PROBLEM_JSON].is_object(),
                "{method} {path} {status}: {responses}"
            );
        }
    }
    let schemas = &api["components"]["schemas"];
    assert!(
        schemas["Problem"].is_object() && schemas["Order"].is_object(),
        "{schemas}"
    );
    assert_eq!(
        api["components"]["securitySchemes"]["api_key"]["scheme"],
        "bearer"
    );
    let answer = |path: &str, method: &str, status: &str| {
        let answer = &api["paths"][path][method]["responses"][status];
        (
            answer["description"].clone(),
            answer["headers"]["Idempotency-Replayed"].is_object(),
        )
    };
    assert_eq!(answer("/orders", "post", "201"), ("Placed".into(), true));
    assert_eq!(answer("/orders", "get", "200"), ("A page".into(), false));
    let no_order = answer("/orders", "post", "422");
    assert!(!no_order.1 && no_order.0 != "", "{no_order:?}");
    assert_eq!(answer("/order/create", "post", "422"), no_order);
    for status in ["404", "409", "422"] {
        let old = answer("/order/status-update", "post", status);
        assert_eq!(answer("/orders/{order_id}", "patch", status), old);
    }
    let total = &api["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        ["properties"]["total"];
    assert_eq!(total["oneOf"].as_array().map(Vec::len), Some(2), "{total}");
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_one_request() {
    let routes = Router::new()
        .route(
            "/panics",
            get(async || -> StatusCode { panic!("on purpose") }),
        )
        .route("/bare", get(async || StatusCode::IM_A_TEAPOT))
        .layer(from_fn_with_state(Guard::open(), guard::around));
    let answer = ask(routes.clone(), request("GET", "/panics", "")).await;
    assert_problem(&answer, 500, "a panic");
    let answer = ask(routes, request("GET", "/bare", "")).await;
    assert_problem(&answer, 418, "the next request");
}
