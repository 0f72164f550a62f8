//! Who may use the ingress, and how often, while that changes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use end_to_end::shop::{Shop, metric, ready};
use end_to_end::wait;
use reqwest::{Client, Response, StatusCode};
use stack::Service;

const FIRST: &str = "first-0123456789abcdef";
const SECOND: &str = "second-0123456789abcdef";

/// The file of keys, of this test alone.
struct Keys(PathBuf);

impl Keys {
    fn new(test: &str, text: &str) -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let this = Self(folder.join(format!("{test}-{}.keys", std::process::id())));
        this.write(text)?;
        Ok(this)
    }

    /// As operators are told to: beside it, then over it.
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

/// How many lines of the log have these words.
fn said(log: &Path, words: &str) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_key_is_given_and_another_taken_away_while_the_producer_runs() -> Result<()> {
    let shop = Shop::open_json().await?;
    let keys = Keys::new("rotation", FIRST)?;
    let producer = shop.producer_command("1").await?;
    let producer = ready(producer.env("API_KEYS_FILE", keys.path())).await?;
    let (known, unknown) = (Some(StatusCode::OK), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(status(&producer, FIRST).await, known);
    assert_eq!(status(&producer, SECOND).await, unknown);

    // Both, so that clients move over one by one.
    keys.write(&format!("{FIRST}\n{SECOND}\n"))?;
    until_status(&producer, SECOND, StatusCode::OK).await;
    assert_eq!(status(&producer, FIRST).await, known);
    assert_eq!(metric(&producer, "producer_api_keys", "").await?, 2);

    keys.write(&format!("# rotated\n{SECOND}\n"))?;
    until_status(&producer, FIRST, StatusCode::UNAUTHORIZED).await;
    assert_eq!(status(&producer, SECOND).await, known);

    // What can't be used changes nothing, and is told once.
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
    keys.write(FIRST)?;
    until_status(&producer, FIRST, StatusCode::OK).await;
    assert_eq!(status(&producer, SECOND).await, unknown);
    assert_eq!(said(producer.log(), "the keys stay as they were"), told);
    for key in [FIRST, SECOND] {
        assert_eq!(said(producer.log(), key), 0, "a key is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() -> Result<()> {
    let shop = Shop::open_json().await?;
    let keys = Keys::new("rate", &format!("{FIRST}\n{SECOND}\n"))?;
    let producer = shop.producer_command("1").await?;
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
    assert!(metric(&producer, "producer_rate_limited_total", "api_key_id").await? > 0);
    until_status(&producer, FIRST, StatusCode::OK).await;
    Ok(())
}
