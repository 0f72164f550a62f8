//! PgBouncer in front of Postgres: session mode works, and transaction mode is detected and reported.

use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::backends::directory;
use end_to_end::http::readiness;
use end_to_end::system::{START, STOP, TestSystem, ready};
use end_to_end::wait;
use serde_json::{Value, json};
use sqlx::Row;
use stack::{PoolMode, PostgresServer, Service};

use crate::relay::is_active;

fn parts_of(url: &str) -> Result<(&str, &str)> {
    let (address, database) = url
        .split_once('@')
        .and_then(|(_, rest)| rest.split_once('/'))
        .context("postgres://user@host:port/database")?;
    Ok((address, database))
}

async fn pooler(system: &TestSystem, mode: PoolMode, name: &str) -> Result<PostgresServer> {
    let (address, _) = parts_of(&system.orders_url)?;
    PostgresServer::pooler(address, mode, &directory(name)).await
}

async fn becomes_active(service: &Service) {
    let what = format!("the relay of {} to be active", service.name());
    wait::until(&what, || is_active(service), |active| *active).await;
}

async fn is_published(system: &TestSystem, through: &Service, order_id: &str) -> Result<()> {
    let order = json!({"order_id": order_id, "total": "100.00"});
    let request = reqwest::Client::new().post(through.url("/orders"));
    let placed = request.json(&order).send().await?;
    assert_eq!(placed.status(), 201, "{}", placed.text().await?);
    wait::until(
        order_id,
        || async { system.order_records().await.unwrap_or_default() },
        |records| records.iter().any(|record| record.key_text() == order_id),
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn behind_a_pooler_in_session_mode_a_relay_that_ends_leaves_no_lock() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let pooler = pooler(&system, PoolMode::Session, "pooler-session").await?;
    let (_, database) = parts_of(&system.orders_url)?;
    let start = async |instance| {
        let command = system.producer_command(instance).await?;
        ready(command.env("DATABASE_URL", pooler.url(database))).await
    };
    let one = start("1").await?;
    becomes_active(&one).await;
    is_published(&system, &one, "through-one").await?;
    let named: i64 = sqlx::query(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = $1 AND application_name = 'producer-relay'",
    )
    .bind(database)
    .fetch_one(system.orders())
    .await?
    .try_get(0)?;
    assert_eq!(named, 1, "the relay's session has its name");

    // A relay is stopped, killed and paused; each time its lock is released for another one.
    let two = start("2").await?;
    one.terminate(STOP).await?;
    becomes_active(&two).await;
    is_published(&system, &two, "through-two").await?;
    let three = start("3").await?;
    two.kill().await?;
    becomes_active(&three).await;
    let four = start("4").await?;
    three.pause()?;
    becomes_active(&four).await;
    is_published(&system, &four, "through-four").await?;
    three.resume()?;
    Ok(())
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_told_and_nothing_is_published_through_it() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let pooler = pooler(&system, PoolMode::Transaction, "pooler-transaction").await?;
    let (_, orders) = parts_of(&system.orders_url)?;
    let (_, vouchers) = parts_of(&system.vouchers_url)?;
    let producer = system.producer_command("1").await?;
    let producer = producer
        .env("DATABASE_URL", pooler.url(orders))
        .start()
        .await?;
    let sink = system.sink_command("1").await?;
    let sink = sink
        .env("DATABASE_URL", pooler.url(vouchers))
        .start()
        .await?;
    let told = |answer: &Result<(u16, Value)>| {
        answer.as_ref().is_ok_and(|(code, parts)| {
            *code == 503 && parts.to_string().contains("pool_mode=session")
        })
    };
    for service in [&producer, &sink] {
        wait::until("the pooler's mode", || readiness(service), told).await?;
    }
    let active = wait::happens_within(Duration::from_secs(3), || false).await;
    assert!(!active && !is_active(&producer).await);
    for (service, database) in [("producer", orders), ("sink", vouchers)] {
        let url = pooler.url(database);
        let checked = system
            .run_service(service, &["check"], &[("DATABASE_URL", &url)])
            .await?;
        assert_eq!(checked.code, 1, "{checked:?}");
        assert!(checked.stdout.contains("pool_mode=session"), "{checked:?}");
    }
    // Without the pooler in between the producer works.
    system.producer().await?.wait_ready(START).await?;
    Ok(())
}
