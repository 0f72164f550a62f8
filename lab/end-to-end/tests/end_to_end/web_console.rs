//! The console as a browser sees it, with all services running.

use std::path::PathBuf;

use anyhow::{Context, Result};
use end_to_end::http::{metric, readiness};
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::NewRecord;
use end_to_end::wait;
use reqwest::header::{COOKIE, HOST, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use stack::Service;
use tokio::time::timeout;

const ANNS: &str = "ann-0123456789abcdef";
const BOBS: &str = "bob-0123456789abcdef";

/// A browser, with the cookie of its session once it is signed in.
#[derive(Debug)]
struct Browser<'a> {
    console: &'a Service,
    client: Client,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn of(console: &'a Service) -> Self {
        Self {
            console,
            client: Client::new(),
            cookie: None,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.console.url(path));
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Value)> {
        answer(self.request(Method::GET, path).send().await?).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let request = self.request(Method::POST, path).json(body);
        answer(request.send().await?).await
    }

    /// Signs in, and keeps the cookie.
    async fn sign_in(&mut self, key: &str) -> Result<()> {
        let request = self.request(Method::POST, "/api/session");
        let response = request.json(&json!({ "key": key })).send().await?;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let cookie = response.headers()[SET_COOKIE].to_str()?;
        let pair = cookie.split(';').next().context("a cookie")?;
        self.cookie = Some(pair.to_owned());
        Ok(())
    }
}

async fn answer(response: Response) -> Result<(StatusCode, Value)> {
    let status = response.status();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

/// Reads a stream of events up to the next one of this name, and returns its data.
async fn next_event(stream: &mut Response, name: &str) -> Result<Value> {
    let start = format!("event: {name}\ndata: ");
    let mut text = String::new();
    loop {
        let chunk = stream.chunk().await?.context("the stream has ended")?;
        text += std::str::from_utf8(&chunk)?;
        let data = text
            .split_once(&start)
            .and_then(|(_, rest)| rest.split_once("\n\n"));
        if let Some((data, _)) = data {
            return Ok(serde_json::from_str(data)?);
        }
    }
}

#[tokio::test]
async fn an_order_is_placed_and_followed_in_the_browser() -> Result<()> {
    let system = TestSystem::open().await?;
    let (producer, processor, sink) =
        tokio::try_join!(system.producer(), system.processor(), system.sink())?;
    let console = system
        .console_of(&producer, &processor, &sink)
        .await?
        .env("CONSOLE_WITHOUT_KEYS", "operator")
        .env("CONSOLE_ORDERS_URL", producer.url(""));
    let console = ready(console).await?;
    let browser = Browser::of(&console);

    let (_, session) = browser.get("/api/session").await?;
    assert_eq!(session["can_place_orders"], true, "{session}");
    let mut stream = browser.request(Method::GET, "/api/stream").send().await?;
    // The producer is ready before its relay is.
    let every_service_is_ready = async {
        loop {
            let flow = next_event(&mut stream, "flow").await?;
            let nodes = flow["nodes"].as_array().context("nodes")?;
            let is_ready = |name: &&str| {
                let mut nodes = nodes.iter();
                nodes.any(|node| node["id"] == **name && node["state"] == "ready")
            };
            if ["ingress", "processor", "sink"].iter().all(is_ready) {
                return anyhow::Ok(());
            }
        }
    };
    timeout(wait::DEADLINE, every_service_is_ready)
        .await
        .context("a service is not shown as ready")??;
    assert_eq!(metric(&console, "checkout_console_pages", "").await?, 1);

    let order = json!({ "order_id": "web-1", "total": "120.50" });
    let (status, placed) = browser.post("/api/orders", &order).await?;
    assert_eq!(
        (status, &placed["status"]),
        (StatusCode::OK, &json!(201)),
        "{placed}"
    );
    let sent = json!({ "status": "SENT" });
    let (_, changed) = browser.post("/api/orders/web-1/status", &sent).await?;
    assert_eq!(changed["status"], 200, "{changed}");
    let path = wait::until(
        "the order to arrive",
        || async { browser.get("/api/orders/web-1/path").await.ok() },
        |path| {
            path.as_ref()
                .is_some_and(|(_, path)| path["complete"] == true)
        },
    )
    .await;
    let (_, path) = path.context("a path")?;
    let row = path["hops"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|hop| hop["name"] == "row");
    assert_eq!(row.context("a row")?["state"], "done", "{path}");

    let (status, explained) = browser.get("/api/orders/web-1").await?;
    assert_eq!(status, StatusCode::OK);
    let command = explained["command"].as_str().unwrap_or_default();
    assert!(command.starts_with("processor explain web-1"), "{command}");
    let rows = system.vouchers_of("web-1").await?;
    let row = rows.first().context("a row")?;
    assert!(
        !explained.to_string().contains(&row.code),
        "the code is masked"
    );

    // The console shows that a service has stopped, and why.
    processor.terminate(end_to_end::system::STOP).await?;
    loop {
        let flow = next_event(&mut stream, "flow").await?;
        let nodes = flow["nodes"].as_array().context("nodes")?;
        let processor = nodes.iter().find(|found| found["id"] == "processor");
        if processor.is_some_and(|node| node["state"] == "unreachable") {
            assert_eq!(flow["warnings"][0]["node"], "processor", "{flow}");
            break;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_is_found_previewed_and_redriven() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let processor = system.processor().await?;
    let console = system
        .console_command("1")
        .await?
        .env("CONSOLE_WITHOUT_KEYS", "operator");
    let console = ready(console).await?;
    let browser = Browser::of(&console);
    let garbage = NewRecord::new("17", "{\"order_id\":\"17\",\"status\":\"SENT\"}");
    system.write_orders(vec![garbage]).await?;
    let (_, listed) = wait::until(
        "the dead letter to be listed",
        || async {
            browser
                .get("/api/dead-letters?service=processor")
                .await
                .unwrap_or_default()
        },
        |(_, listed)| {
            listed["letters"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        },
    )
    .await;
    let id = listed["letters"][0]["letter"].as_str().context("an id")?;
    let (status, shown) = browser
        .get(&format!("/api/dead-letters/processor/{id}"))
        .await?;
    assert_eq!(status, StatusCode::OK, "{shown}");

    let preview = json!({ "kind": "redrive", "service": "processor", "dry_run": true });
    let (status, started) = browser.post("/api/runs", &preview).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    let run = format!("/api/runs/{}", started["id"].as_str().context("an id")?);
    let (_, run) = wait::until(
        "the preview to end",
        || async { browser.get(&run).await.unwrap_or_default() },
        |(_, run)| !run["ended"].is_null(),
    )
    .await;
    assert_eq!(run["state"], "done", "{run}");
    assert_eq!(run["by"], "anyone", "{run}");
    drop(processor);
    Ok(())
}

/// The file of keys of one test.
struct Keys(PathBuf);

impl Keys {
    fn write(&self, text: &str) -> Result<()> {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(beside, &self.0)?)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_its_session_and_its_stream() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let keys = Keys(folder.join(format!("console-{}.keys", system.name)));
    keys.write(&format!("ann operator {ANNS}\nbob viewer {BOBS}\n"))?;
    let console = system
        .console_command("1")
        .await?
        .env("CONSOLE_KEYS_FILE", keys.0.display().to_string());
    let console = ready(console).await?;
    assert_eq!(readiness(&console).await?.0, 200, "without a session");

    let mut bob = Browser::of(&console);
    assert_eq!(bob.get("/api/flow").await?.0, StatusCode::UNAUTHORIZED);
    bob.sign_in(BOBS).await?;
    assert_eq!(bob.get("/api/flow").await?.0, StatusCode::OK);
    let discard =
        json!({ "kind": "discard", "service": "sink", "ids": ["vouchers/0/0"], "why": "no" });
    let (status, refused) = bob.post("/api/runs", &discard).await?;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    let hostile = bob
        .request(Method::GET, "/api/flow")
        .header(HOST, "evil.example");
    assert_eq!(
        hostile.send().await?.status(),
        StatusCode::MISDIRECTED_REQUEST
    );

    let mut stream = bob.request(Method::GET, "/api/stream").send().await?;
    assert_eq!(stream.status(), StatusCode::OK);
    keys.write(&format!("ann operator {ANNS}\n"))?;
    // Reads until the console ends the stream.
    while stream.chunk().await?.is_some() {}
    assert_eq!(bob.get("/api/flow").await?.0, StatusCode::UNAUTHORIZED);
    assert_eq!(metric(&console, "checkout_console_keys", "").await?, 1);

    let mut ann = Browser::of(&console);
    ann.sign_in(ANNS).await?;
    let mut stream = ann.request(Method::GET, "/api/stream").send().await?;
    let stopped = console.terminate(end_to_end::system::STOP).await?;
    assert!(
        stopped.success(),
        "an open page does not hold the console up"
    );
    while stream.chunk().await?.is_some() {}
    let log = std::fs::read_to_string(console.log())?;
    for key in [ANNS, BOBS] {
        assert!(!log.contains(key), "a key is in the log");
    }
    Ok(())
}
