//! API keys and rate limits of the ingress, and what happens when the file of keys changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use end_to_end::http::metric;
use end_to_end::system::{TestSystem, ready};
use end_to_end::wait;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use stack::Service;

const FIRST: &str = "first-0123456789abcdef";
const SECOND: &str = "second-0123456789abcdef";

/// The file of keys of one test.
struct Keys(PathBuf);

impl Keys {
    fn new(test: &str, text: &str) -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let this = Self(folder.join(format!("{test}-{}.keys", std::process::id())));
        this.write(text)?;
        Ok(this)
    }

    /// Replaces the file atomically, as the documentation tells operators to: writes another file and
    /// renames it.
    fn write(&self, text: &str) -> Result<()> {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(beside, &self.0)?)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn ask(producer: &Service, key: &str) -> Result<Response> {
    let request = Client::new().get(producer.url("/orders")).bearer_auth(key);
    Ok(request.send().await?)
}

async fn status(producer: &Service, key: &str) -> Option<StatusCode> {
    Some(ask(producer, key).await.ok()?.status())
}

async fn until_status(producer: &Service, key: &str, wanted: StatusCode) {
    wait::until(
        &format!("{wanted} for {key}"),
        || status(producer, key),
        |status| *status == Some(wanted),
    )
    .await;
}

/// Returns the number of lines of the log that contain these words.
fn said(log: &Path, words: &str) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_key_is_given_and_another_taken_away_while_the_producer_runs() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let keys = Keys::new("rotation", FIRST)?;
    let producer = system.producer_command("1").await?;
    let producer = ready(producer.env("API_KEYS_FILE", keys.path())).await?;
    let (known, unknown) = (Some(StatusCode::OK), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(status(&producer, FIRST).await, known);
    assert_eq!(status(&producer, SECOND).await, unknown);

    // Both keys are valid, so that clients can change their keys one by one.
    keys.write(&format!("{FIRST}\n{SECOND}\n"))?;
    until_status(&producer, SECOND, StatusCode::OK).await;
    assert_eq!(status(&producer, FIRST).await, known);
    assert_eq!(
        metric(&producer, "checkout_producer_api_keys", "").await?,
        2
    );

    keys.write(&format!("# rotated\n{SECOND}\n"))?;
    until_status(&producer, FIRST, StatusCode::UNAUTHORIZED).await;
    assert_eq!(status(&producer, SECOND).await, known);

    // An invalid file changes nothing, and is logged once.
    let mut told = 0;
    for (text, words) in [
        ("", "no key is in it"),
        (&*format!("{FIRST} and more\n"), "line 1: a key is"),
    ] {
        keys.write(text)?;
        wait::until(words, || async { said(producer.log(), words) }, |n| *n == 1).await;
        told += 1;
        assert_eq!(status(&producer, SECOND).await, known);
        assert_eq!(status(&producer, FIRST).await, unknown);
    }
    let stale = || metric(&producer, "checkout_keys_file_stale", "API_KEYS_FILE");
    wait::until("a stale file", stale, |stale| matches!(stale, Ok(1))).await?;
    keys.write(FIRST)?;
    until_status(&producer, FIRST, StatusCode::OK).await;
    assert_eq!(status(&producer, SECOND).await, unknown);
    wait::until("a file in use", stale, |stale| matches!(stale, Ok(0))).await?;
    assert_eq!(said(producer.log(), "the keys stay as they were"), told);
    for key in [FIRST, SECOND] {
        assert_eq!(said(producer.log(), key), 0, "a key is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let keys = Keys::new("rate", &format!("{FIRST}\n{SECOND}\n"))?;
    let producer = system.producer_command("1").await?;
    let producer = producer
        .env("API_KEYS_FILE", keys.path())
        .env("API_KEY_RATE", "1")
        .env("API_KEY_BURST", "3");
    let producer = ready(producer).await?;
    let refused = wait::until(
        "429",
        || async { ask(&producer, FIRST).await.ok() },
        |answer| {
            let status = answer.as_ref().map(Response::status);
            status == Some(StatusCode::TOO_MANY_REQUESTS)
        },
    )
    .await;
    let seconds = refused.and_then(|answer| {
        let after = answer.headers().get("retry-after")?;
        after.to_str().ok()?.parse::<u64>().ok()
    });
    assert_eq!(seconds, Some(1));
    assert_eq!(status(&producer, SECOND).await, Some(StatusCode::OK));
    assert!(
        metric(
            &producer,
            "checkout_producer_rate_limited_total",
            "api_key_id"
        )
        .await?
            > 0
    );
    until_status(&producer, FIRST, StatusCode::OK).await;
    Ok(())
}

/// Places the same order under the same idempotency key. Returns the order's id, and whether the answer is
/// a repeat of an earlier one.
async fn place(producer: &Service, key: &str, path: &str) -> Result<(Value, bool)> {
    let request = Client::new().post(producer.url(path)).bearer_auth(key);
    let answer = request
        .header("Idempotency-Key", "cart-4711")
        .json(&json!({"total": "120.50", "products": [{"name": "shirt", "price": 1}]}))
        .send()
        .await?
        .error_for_status()?;
    let replayed = answer.headers().contains_key("idempotency-replayed");
    let order: Value = answer.json().await?;
    let id = order.get("order_id").or_else(|| order.get("id"));
    Ok((id.context("an id")?.clone(), replayed))
}

#[tokio::test]
async fn a_repeat_with_a_clients_new_key_is_no_second_order() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let keys = Keys::new("client", &format!("shop {FIRST}\n"))?;
    let producer = system.producer_command("1").await?;
    let producer = ready(producer.env("API_KEYS_FILE", keys.path())).await?;
    let (api, old) = ("/orders", "/order/create");
    let first = place(&producer, FIRST, api).await?.0;
    let old_first = place(&producer, FIRST, old).await;
    // The same idempotency key on another route is another key, because the routes name their orders in
    // different ways.
    assert!(old_first.is_err(), "{old_first:?}");

    keys.write(&format!("shop {FIRST}\nshop {SECOND}\n"))?;
    until_status(&producer, SECOND, StatusCode::OK).await;
    assert_eq!(place(&producer, SECOND, api).await?, (first.clone(), true));
    keys.write(&format!("shop {SECOND}\n"))?;
    until_status(&producer, FIRST, StatusCode::UNAUTHORIZED).await;
    assert_eq!(place(&producer, SECOND, api).await?, (first, true));
    // The same API key now belongs to another client, whose idempotency keys are its own.
    keys.write(&format!("shop {SECOND}\nmall {FIRST}\n"))?;
    until_status(&producer, FIRST, StatusCode::OK).await;
    assert!(!place(&producer, FIRST, api).await?.1);
    Ok(())
}

#[tokio::test]
async fn a_repeat_on_the_old_routes_is_answered_as_the_first_time() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let http = Client::new();
    let post = async |path: &str, key: &str, body: Value| {
        let request = http.post(producer.url(path)).header("Idempotency-Key", key);
        let answer = request.json(&body).send().await?;
        let replayed = answer.headers().contains_key("idempotency-replayed");
        anyhow::Ok((answer.status().as_u16(), replayed, answer.json().await?))
    };
    let order = json!({"total": 150, "products": [{"name": "shirt", "price": 150}]});
    let (status, replayed, placed): (_, _, Value) =
        post("/order/create", "cart", order.clone()).await?;
    assert_eq!((status, replayed), (200, false));
    assert!(placed["products"][0]["id"].is_i64(), "{placed}");
    let again = post("/order/create", "cart", order).await?;
    assert_eq!(again, (200, true, placed.clone()));
    let other = post("/order/create", "cart", json!({"total": 151})).await?;
    assert_eq!(other.0, 422, "{}", other.2);

    let sent = json!({"id": placed["id"], "status": "SENT"});
    let (status, replayed, first) = post("/order/status-update", "send", sent.clone()).await?;
    assert_eq!((status, replayed), (200, false), "{first}");
    let delivered = json!({"id": placed["id"], "status": "DELIVERED"});
    assert_eq!(
        post("/order/status-update", "deliver", delivered).await?.0,
        200
    );
    let again = post("/order/status-update", "send", sent).await?;
    assert_eq!(again, (200, true, first));
    let sent = json!({"id": 1, "status": "SENT"});
    let bad = post("/order/status-update", "two words", sent).await?;
    assert_eq!(bad.0, 400, "{}", bad.2);
    Ok(())
}
