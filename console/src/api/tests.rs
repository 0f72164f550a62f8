//! Tests of the API with a shell in place of the commands, and a small server in place of the ingress.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::response::IntoResponse;
use clap::Parser;
use http_body_util::BodyExt;
use runtime::lifecycle::Shutdown;
use runtime::settings::Secret;
use tower::ServiceExt;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;
use crate::http::session::Sessions;
use crate::runs::Launcher;
use crate::scrape::{self, Live, Targets};
use crate::settings::{Inherited, Role, RunSettings};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    settings: RunSettings,
}

/// Prints the words of the command as JSON.
const WORDS: &str = r#"echo '{"found":true,"words":"'"$*"'"}'"#;

/// Returns a console whose commands are this script, and whose users all have this role.
fn console(role: Role, script: &str, flags: &[&str]) -> Console {
    let flags = ["console"].iter().chain(flags);
    let client = reqwest::Client::new();
    Console {
        settings: Arc::new(Cli::try_parse_from(flags).unwrap().settings),
        inherited: Arc::new(Inherited::default()),
        orders_key: Some(Secret::new("the-key")),
        live: Live::new(Targets::default(), client.clone()),
        runs: Runs::with_launcher(2, Launcher::new("/bin/sh", ["-c", script, "sh"])),
        sessions: Sessions::of_anyone(role),
        http: client,
        shutdown: Shutdown::new(),
    }
}

async fn send(console: &Console, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", "k")
        .body(Body::from(body.to_string()))
        .unwrap();
    let routes = routes().with_state(console.clone());
    let response = routes.oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    (status, body)
}

async fn fetch(console: &Console, path: &str) -> (StatusCode, Value) {
    send(console, Method::GET, path, Value::Null).await
}

async fn submit(console: &Console, path: &str, body: Value) -> (StatusCode, Value) {
    send(console, Method::POST, path, body).await
}

#[tokio::test]
async fn what_a_command_finds_is_answered_with_its_command_line() {
    let console = console(Role::Viewer, WORDS, &[]);
    for (path, words, command) in [
        (
            "/api/orders/a%2Fb%20c",
            "processor explain --json a/b c",
            "processor explain 'a/b c'",
        ),
        (
            "/api/orders/17?scan=true",
            "processor explain --scan --json 17",
            "processor explain --scan 17",
        ),
        (
            "/api/orders/17?all_partitions=true",
            "processor explain --all-partitions --json 17",
            "processor explain --all-partitions 17",
        ),
        (
            "/api/dead-letters?service=sink&reason=code_taken&limit=5",
            "sink dead-letters --reason code_taken --limit 5 --json",
            "sink dead-letters --reason code_taken --limit 5",
        ),
        (
            "/api/dead-letters/processor/order-status%2F3%2F41",
            "processor dead-letters show --json order-status/3/41",
            "processor dead-letters show order-status/3/41",
        ),
        (
            "/api/dead-letters/processor/3/41",
            "processor dead-letters show --json 3/41",
            "processor dead-letters show 3/41",
        ),
    ] {
        let (status, body) = fetch(&console, path).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["words"], words);
        assert_eq!(body["command"], command);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_and_what_is_away_is_unavailable() {
    let nothing = r#"echo '{"found":false,"topic":"order-status","not_looked_at":
        [{"what":"vouchers","why":"no rights"}]}'; exit 1"#;
    let console = self::console(Role::Viewer, nothing, &[]);
    let (status, body) = fetch(&console, "/api/orders/17").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        body["detail"],
        "order 17 is not in order-status, and has no dead letter and no voucher in the partitions of its \
         key; not read: vouchers, because no rights"
    );
    let (_, body) = fetch(&console, "/api/orders/17?all_partitions=true").await;
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail
            .starts_with("order 17 is not in order-status, and has no dead letter and no voucher;"),
        "{detail}"
    );
    let (status, _) = fetch(&console, "/api/dead-letters/sink/vouchers%2F3%2F41").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let away = r#"echo "error: no broker answers" >&2; exit 1"#;
    let (status, body) = fetch(&self::console(Role::Viewer, away, &[]), "/api/orders/17").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["detail"], "no broker answers");
    let refused = r#"echo "error: VOUCHER_AMOUNT: no" >&2; exit 2"#;
    let (status, body) = fetch(&self::console(Role::Viewer, refused, &[]), "/api/orders/17").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["title"], "A setting of the console is wrong");
    assert_eq!(
        body["detail"],
        "VOUCHER_AMOUNT: no; correct the console's environment or its configuration file, and restart it"
    );
}

#[tokio::test]
async fn a_list_of_all_reasons_tells_the_flow_how_many_are_open() {
    let console = console(Role::Viewer, r#"echo '{"open":7}'"#, &[]);
    let open = || console.live.open_dead_letters().of(scrape::Service::Sink);
    fetch(&console, "/api/dead-letters?service=sink&reason=code_taken").await;
    assert_eq!(open(), None, "others may be open, too");
    fetch(&console, "/api/dead-letters?service=sink").await;
    assert_eq!(open(), Some(7));
}

#[tokio::test]
async fn codes_are_revealed_to_operators_who_say_why() {
    let path = "/api/orders/17/reveal";
    let why = || json!({"why": "a customer asks"});
    let viewer = console(Role::Viewer, WORDS, &[]);
    assert_eq!(submit(&viewer, path, why()).await.0, StatusCode::FORBIDDEN);
    let operator = console(Role::Operator, WORDS, &[]);
    let (status, body) = submit(&operator, path, why()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["words"],
        "processor explain --reveal --by anyone --why a customer asks --json 17"
    );
    let (status, _) = submit(&operator, path, json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

/// Collects the fields of events.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Fields {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

#[tokio::test]
async fn codes_are_revealed_of_what_was_searched_and_the_log_says_why() {
    let fields = Fields::default();
    let subscriber = tracing_subscriber::registry().with(fields.clone());
    let _logged = tracing::subscriber::set_default(subscriber);
    let operator = console(Role::Operator, WORDS, &[]);
    let path = "/api/orders/17/reveal?all_partitions=true";
    let reveal = || submit(&operator, path, json!({"why": "a customer asks"}));
    // Whether anybody listens to an event is decided for all threads when it is first reached, perhaps by
    // another test. So it is reached once, and decided anew for this one.
    reveal().await;
    tracing::callsite::rebuild_interest_cache();
    let (status, body) = reveal().await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        body["command"],
        "processor explain --all-partitions --reveal --by anyone --why 'a customer asks' 17"
    );
    let events = fields.0.lock().unwrap().clone();
    let revealed = events
        .iter()
        .find(|event| event.contains("codes are revealed"))
        .unwrap();
    for word in ["anyone", "a customer asks", "17"] {
        assert!(revealed.contains(word), "{revealed}");
    }
}

#[tokio::test]
async fn the_path_of_an_order_is_searched_as_far_as_the_request_says() {
    // Answers only a command with this flag.
    let script = |flag: &str| {
        let found = r#"{"found":false,"topic":"t","records":[],"vouchers":[],"rows":null,
            "dead_letters":[],"not_looked_at":[]}"#;
        format!("case \"$*\" in *{flag}*) echo '{found}';; *) exit 1;; esac")
    };
    for name in ["no_scan", "scan", "all_partitions"] {
        let flag = format!("--{}", name.replace('_', "-"));
        let console = console(Role::Viewer, &script(&flag), &[]);
        let path = format!("/api/orders/17/path?{name}=true");
        let (status, body) = fetch(&console, &path).await;
        assert_eq!(status, StatusCode::OK, "{name}: {body}");
        assert_eq!(body["found"], false);
    }
    let console = console(Role::Viewer, &script(""), &[]);
    let both = "/api/orders/17/path?no_scan=true&all_partitions=true";
    assert_eq!(fetch(&console, both).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_explained_order_has_its_path() {
    let found = r#"echo '{"found":true,"topic":"t","records":[],"vouchers":[],"rows":[],
        "dead_letters":[],"not_looked_at":[]}'"#;
    let operator = console(Role::Operator, found, &[]);
    let (_, explained) = fetch(&operator, "/api/orders/17").await;
    let why = json!({"why": "a customer asks"});
    let (_, revealed) = submit(&operator, "/api/orders/17/reveal", why).await;
    let (_, path) = fetch(&operator, "/api/orders/17/path").await;
    assert_eq!(path["hops"][0]["name"], "ingress", "{path}");
    assert_eq!((&explained["path"], &revealed["path"]), (&path, &path));
    // An order is explained even where its path cannot be told.
    let operator = console(Role::Operator, WORDS, &[]);
    let (status, explained) = fetch(&operator, "/api/orders/17").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(explained["path"], Value::Null);
}

#[tokio::test]
async fn viewers_preview_and_operators_run() {
    let preview = || json!({"kind": "redrive", "service": "processor", "dry_run": true});
    let discard = || json!({"kind": "discard", "service": "sink", "ids": ["3/7"], "why": "w"});
    let viewer = console(Role::Viewer, "echo '{}'", &[]);
    let (status, started) = submit(&viewer, "/api/runs", preview()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        submit(&viewer, "/api/runs", preview()).await.1,
        started,
        "the same key"
    );
    let (status, _) = submit(&viewer, "/api/runs", discard()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let id = started["id"].as_str().unwrap();
    let (status, run) = fetch(&viewer, &format!("/api/runs/{id}")).await;
    assert_eq!((status, &run["by"]), (StatusCode::OK, &json!("anyone")));
    let (_, list) = fetch(&viewer, "/api/runs").await;
    assert_eq!(list[0]["id"], started["id"]);
    let (status, _) = submit(
        &viewer,
        "/api/runs",
        json!({"kind": "backfill", "dry_run": true}),
    )
    .await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "the key stands for another request"
    );
}

#[tokio::test]
async fn requests_that_cannot_be_run_say_why() {
    let operator = console(Role::Operator, "echo '{}'", &[]);
    for (request, word) in [
        (
            json!({"kind": "redrive", "service": "sink", "why": "w"}),
            "confirm",
        ),
        (json!({"kind": "shell"}), "unknown variant"),
        (json!("redrive"), "the body"),
        (
            json!({"kind": "backfill", "dry_run": true, "rule": {"valid_days": 0}}),
            "--voucher-valid-days",
        ),
    ] {
        let (status, body) = submit(&operator, "/api/runs", request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
    }
    for unknown in ["x", "0192f0c1-2345-7000-8000-000000000000"] {
        let path = format!("/api/runs/{unknown}");
        assert_eq!(fetch(&operator, &path).await.0, StatusCode::NOT_FOUND);
        let (status, _) = send(&operator, Method::DELETE, &path, json!({})).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

/// Echoes the request.
async fn repeat(method: Method, uri: Uri, headers: HeaderMap, body: String) -> impl IntoResponse {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = json!({
        "request": format!("{method} {uri} {body}"),
        "key": text("authorization"),
        "idempotency_key": text("idempotency-key"),
        "cookie": text("cookie"),
    });
    (StatusCode::CREATED, axum::Json(answer))
}

/// Starts an ingress that echoes requests.
async fn ingress() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().fallback(repeat);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

#[tokio::test]
async fn orders_are_placed_and_changed_at_the_ingress() {
    let url = format!("http://{}", ingress().await);
    let flags = ["--console-orders-url", url.as_str()];
    let operator = console(Role::Operator, "", &flags);
    let (status, answer) = submit(&operator, "/api/orders", json!({"total": "120.50"})).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!(201)));
    assert!(answer["millis"].is_u64());
    assert_eq!(
        answer["body"],
        json!({
            "request": "POST /orders {\"total\":\"120.50\"}", "key": "Bearer the-key",
            "idempotency_key": "k", "cookie": null,
        })
    );
    let path = "/api/orders/a%2Fb/status";
    let (_, answer) = submit(&operator, path, json!({"status": "SENT"})).await;
    assert_eq!(
        answer["body"]["request"],
        "PATCH /orders/a%2Fb {\"status\":\"SENT\"}"
    );
    let viewer = console(Role::Viewer, "", &flags);
    let (status, _) = submit(&viewer, "/api/orders", json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_an_ingress_orders_cannot_be_placed() {
    let (status, body) = submit(&console(Role::Operator, "", &[]), "/api/orders", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("CONSOLE_ORDERS_URL")
    );
    // A port on which nothing listens any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let away = console(Role::Operator, "", &["--console-orders-url", &url]);
    let (status, body) = submit(&away, "/api/orders", json!({})).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("the ingress cannot be reached"),
        "{detail}"
    );
}
