//! A 2xx means durable, and versions in the topic never go back, whatever happens to the producer.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::backends::three_brokers;
use end_to_end::system::{START, TestSystem, ready};
use end_to_end::{topic, wait};
use rand::Rng;
use serde_json::{Value, json};
use sqlx::{PgPool, Row};
use stack::Service;

/// The acknowledged promises: the highest acknowledged version of each order.
pub(crate) type Journal = Mutex<BTreeMap<String, i64>>;

#[tokio::test]
async fn a_producer_that_is_killed_keeps_every_promise() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), false).await?;
    let mut producer = system.producer().await?;
    let journal = Journal::default();
    let stop = AtomicBool::new(false);
    let address = Mutex::new(vec![producer.url("")]);
    let kills = async {
        for _ in 0..10 {
            let moment = Duration::from_millis(rand::rng().random_range(100..1500));
            let _ = wait::happens_within(moment, || producer.exit_status().is_some()).await;
            producer.kill().await?;
            producer.restart().await?;
            *address.lock().expect("no panic") = vec![producer.url("")];
            producer.wait_ready(START).await?;
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let clients = futures::future::join_all(
        (0..8).map(|client| place_orders(client, &address, &stop, &journal)),
    );
    let (killed, _) = futures::join!(kills, clients);
    killed?;
    assert_promises_kept(&system, &journal.into_inner()?).await
}

#[tokio::test]
async fn a_relay_that_slept_past_its_lock_can_not_put_an_old_version_last() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), false).await?;
    let one = system.producer().await?;
    let two = ready(system.producer_command("2").await?).await?;
    let journal = Journal::default();
    let stop = AtomicBool::new(false);
    let address = Mutex::new(vec![one.url(""), two.url("")]);
    let zombies = async {
        for _ in 0..2 {
            let (active, standby) = active_and_standby(&one, &two).await;
            let taken = || async { journal.lock().expect("no panic").len() };
            let before = taken().await;
            wait::until("a load", taken, |orders| *orders >= before + 60).await;
            *address.lock().expect("no panic") = vec![standby.url("")];
            active.pause()?;
            wait::until(
                "the other instance's relay to take over",
                || is_active(standby),
                |active| *active,
            )
            .await;
            active.resume()?;
            active.wait_ready(START).await?;
            *address.lock().expect("no panic") = vec![one.url(""), two.url("")];
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let clients = futures::future::join_all(
        (0..8).map(|client| place_orders(client, &address, &stop, &journal)),
    );
    let (slept, _) = futures::join!(zombies, clients);
    slept?;
    assert_promises_kept(&system, &journal.into_inner()?).await
}

/// Until Postgres has analyzed new rows, its planner prefers a sequential scan, which would be repeated for
/// every deleted batch.
#[tokio::test]
async fn a_backlog_is_not_scanned_for_every_batch() -> Result<()> {
    const ROWS: i64 = 100_000;
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    wait::until(
        "the relay to be active",
        || is_active(&producer),
        |active| *active,
    )
    .await;
    sqlx::query(
        "INSERT INTO outbox (order_id, version, status, total, currency, occurred_at)
         SELECT number::text, 1, 'PENDING', 149.90, 'EUR', now()
         FROM generate_series(1, $1) AS number",
    )
    .bind(ROWS)
    .execute(system.orders())
    .await?;
    // A session reports its deleted and its scanned rows at the same time.
    let told = || async {
        sqlx::query_as::<_, (i64, i64)>(
            "SELECT n_tup_del, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'outbox'",
        )
        .fetch_one(system.orders())
        .await
        .ok()
    };
    let all = |told: &Option<(i64, i64)>| told.is_some_and(|(deleted, _)| deleted >= ROWS);
    let (_, scanned) = wait::until("the outbox to be published", told, all)
        .await
        .context("statistics")?;
    assert!(scanned < ROWS, "{scanned} rows were scanned for {ROWS}");
    Ok(())
}

pub(crate) async fn is_active(producer: &Service) -> bool {
    end_to_end::http::metric(producer, "checkout_producer_relay_active", "")
        .await
        .unwrap_or(0)
        == 1
}

async fn active_and_standby<'a>(one: &'a Service, two: &'a Service) -> (&'a Service, &'a Service) {
    let active = || async { (is_active(one).await, is_active(two).await) };
    let (first, _) = wait::until("one relay to be active", active, |(one, two)| one != two).await;
    if first { (one, two) } else { (two, one) }
}

/// Creates and sends orders until `stop` is set. Only requests that are answered with 2xx are promises.
pub(crate) async fn place_orders(
    client: u32,
    address: &Mutex<Vec<String>>,
    stop: &AtomicBool,
    journal: &Journal,
) {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("a client");
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let order_id = format!("{client}-{number}");
        let base = {
            let addresses = address.lock().expect("no panic");
            addresses[number % addresses.len()].clone()
        };
        let created = http
            .post(format!("{base}/orders"))
            .json(&json!({"order_id": order_id, "total": "120.00"}))
            .send();
        note(created.await, &order_id, journal).await;
        for status in ["SENT", "DELIVERED"] {
            let changed = http
                .patch(format!("{base}/orders/{order_id}"))
                .json(&json!({ "status": status }))
                .send();
            note(changed.await, &order_id, journal).await;
        }
    }
}

async fn note(answer: reqwest::Result<reqwest::Response>, order_id: &str, journal: &Journal) {
    let Ok(answer) = answer else { return };
    if !answer.status().is_success() {
        return;
    }
    let Ok(body) = answer.json::<Value>().await else {
        return;
    };
    if let Some(version) = body["version"].as_i64() {
        let mut journal = journal.lock().expect("no panic");
        let highest = journal.entry(order_id.to_owned()).or_default();
        *highest = (*highest).max(version);
    }
}

async fn assert_promises_kept(system: &TestSystem, journal: &BTreeMap<String, i64>) -> Result<()> {
    assert_promises_kept_in(system, system.orders(), journal).await
}

/// Asserts the promises as [`assert_promises_kept`] does, with the orders in another database than the
/// system's own.
pub(crate) async fn assert_promises_kept_in(
    system: &TestSystem,
    orders: &PgPool,
    journal: &BTreeMap<String, i64>,
) -> Result<()> {
    assert!(
        journal.len() > 100,
        "the load was too small to mean anything: {}",
        journal.len()
    );
    wait::until(
        "the outbox to be published",
        || async {
            let count = sqlx::query("select count(*) from outbox")
                .fetch_one(orders)
                .await;
            count.ok().and_then(|row| row.try_get::<i64, _>(0).ok())
        },
        |rows| *rows == Some(0),
    )
    .await;
    let stored: BTreeMap<String, i64> = sqlx::query("select order_id, version from orders")
        .fetch_all(orders)
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_>>()?;
    let mut versions = BTreeMap::<String, Vec<i64>>::new();
    for record in topic::read(system.brokers(), &system.topics.order_status).await? {
        let version = record.json()["version"].as_i64().context("a version")?;
        versions.entry(record.key_text()).or_default().push(version);
    }
    for (order_id, acknowledged) in journal {
        let stored = stored
            .get(order_id)
            .with_context(|| format!("{order_id} is not in Postgres"))?;
        assert!(
            stored >= acknowledged,
            "{order_id}: {acknowledged} was acknowledged, {stored} is stored"
        );
    }
    for (order_id, stored) in &stored {
        let seen = versions
            .get(order_id)
            .with_context(|| format!("{order_id} is not in the topic"))?;
        assert_eq!(
            seen.last(),
            Some(stored),
            "{order_id}: the last record is the highest version: {seen:?}"
        );
        let mut firsts = Vec::new();
        for version in seen {
            if !firsts.contains(version) {
                firsts.push(*version);
            }
        }
        let expected: Vec<i64> = (1..=*stored).collect();
        assert_eq!(
            firsts, expected,
            "{order_id}: first occurrences in the order of versions: {seen:?}"
        );
    }
    Ok(())
}
