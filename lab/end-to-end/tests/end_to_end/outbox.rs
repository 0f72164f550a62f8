//! The outbox while another transaction stays open, and with a second outbox.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use end_to_end::http::{metric, readiness};
use end_to_end::system::{TestSystem, ready};
use end_to_end::wait;
use reqwest::Client;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::{Service, ServiceCommand};

async fn place(producer: &Service, order_id: &str) -> Result<()> {
    let placed = Client::new()
        .post(producer.url("/orders"))
        .json(&json!({"order_id": order_id, "total": "1.00"}))
        .send()
        .await?;
    assert_eq!(placed.status(), 201, "{order_id}");
    Ok(())
}

/// Returns the text of a part of `/readyz`.
async fn part(producer: &Service, name: &str) -> String {
    match readiness(producer).await {
        Ok((_, parts)) => parts["parts"][name].to_string(),
        Err(error) => error.to_string(),
    }
}

async fn keys(system: &TestSystem) -> BTreeSet<String> {
    let records = system.order_records().await.unwrap_or_default();
    records.iter().map(|record| record.key_text()).collect()
}

#[tokio::test]
async fn a_transaction_that_stays_open_slows_nothing_down_and_is_named() -> Result<()> {
    const ROWS: i64 = 120_000;
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let mut dump = PgConnection::connect(&system.orders_url).await?;
    sqlx::raw_sql("SET application_name = 'a-dump'; BEGIN ISOLATION LEVEL REPEATABLE READ")
        .execute(&mut dump)
        .await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut dump)
        .await?;

    let mut eye = PgConnection::connect(&system.orders_url).await?;
    sqlx::query(
        "INSERT INTO outbox (order_id, version, status, total, currency, occurred_at)
         SELECT 'many-' || number, 1, 'PENDING', 1, 'EUR', now()
         FROM generate_series(1, $1) AS number",
    )
    .bind(ROWS)
    .execute(&mut eye)
    .await?;
    let published = || async {
        let count = metric(&producer, "checkout_producer_relay_published_total", "").await;
        count.unwrap_or_default()
    };
    let all = u64::try_from(ROWS)?;
    wait::until("all rows published", published, |count| *count >= all).await;

    // The number of index entries that were read, by the relay and by the queries that count. A query that
    // starts at the first row would read all deleted entries.
    let eye = tokio::sync::Mutex::new(eye);
    let visited = || async {
        let read = sqlx::query_scalar::<_, i64>(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_pkey'",
        );
        let mut eye = eye.lock().await;
        read.fetch_one(&mut *eye).await.unwrap_or_default()
    };
    let visited_in_two_seconds = || async {
        let before = visited().await;
        // A rate is measured over a time; there is no condition to wait for.
        tokio::time::sleep(Duration::from_secs(2)).await;
        visited().await - before
    };
    let count = wait::until(
        "reads of the outbox that don't walk what was deleted",
        visited_in_two_seconds,
        |count| *count < ROWS / 4,
    )
    .await;
    println!("{count} index entries visited in 2 s, {ROWS} rows deleted");
    place(&producer, "after-many").await?;
    let found = || keys(&system);
    wait::until("the order", found, |keys| keys.contains("after-many")).await;

    // A role without special rights sees the process, its user and its transaction.
    {
        let mut eye = eye.lock().await;
        let role = format!("nobody_{}", system.name);
        let create = format!("CREATE ROLE {role}; SET ROLE {role}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut *eye)
            .await?;
        let seen: (Option<String>, Option<String>) = sqlx::query_as(
            "SELECT usename::text, backend_xmin::text FROM pg_stat_activity WHERE pid = $1",
        )
        .bind(pid)
        .fetch_one(&mut *eye)
        .await?;
        assert!(seen.0.is_some() && seen.1.is_some(), "{seen:?}");
        let drop = format!("RESET ROLE; DROP ROLE {role}");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut *eye)
            .await?;
    }
    let told = || part(&producer, "vacuum");
    let remedy = format!("pg_terminate_backend({pid})");
    let named = |told: &String| told.contains("a-dump") && told.contains(&remedy);
    let patience = Duration::from_secs(120);
    wait::until_within(patience, "the session that holds vacuum back", told, named).await;
    let seconds = metric(&producer, "checkout_producer_vacuum_held_back_seconds", "").await?;
    assert!(seconds >= 30, "{seconds}");
    assert_eq!(readiness(&producer).await?.0, 200, "orders flow");
    dump.close().await?;
    wait::until("a vacuum that is free", told, |told| told.contains("ready")).await;
    Ok(())
}

/// Starts two producers with a database each, both adapted by `change`, that publish to the first system's
/// topic.
async fn two_outboxes(
    change: impl Fn(ServiceCommand, &str) -> ServiceCommand,
) -> Result<(TestSystem, [Service; 2])> {
    let (system, other) = (
        TestSystem::open_json().await?,
        TestSystem::open_json().await?,
    );
    let one = system.producer_command("one").await?;
    let two = other.producer_command("two").await?;
    let two = two.env("ORDER_STATUS_TOPIC", &system.topics.order_status);
    let producers = [
        ready(change(one, "one")).await?,
        ready(change(two, "two")).await?,
    ];
    Ok((system, producers))
}

#[tokio::test]
async fn two_outboxes_with_names_are_published_side_by_side() -> Result<()> {
    let (system, producers) =
        two_outboxes(|command, name| command.env("OUTBOX_NAME", name)).await?;
    for round in 0..20 {
        for (number, producer) in producers.iter().enumerate() {
            place(producer, &format!("{number}-{round}")).await?;
        }
        // Both relays are active at the same time.
        let count = 2 * (round + 1);
        wait::until(
            "the orders of both",
            || keys(&system),
            |keys| keys.len() == count,
        )
        .await;
    }
    for producer in &producers {
        let part = part(producer, "relay").await;
        assert!(part.contains("ready"), "{part}");
        let failed = metric(
            producer,
            "checkout_producer_relay_transactions_total",
            "outcome=\"failed\"",
        );
        assert_eq!(failed.await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn two_outboxes_of_one_name_say_what_to_do() -> Result<()> {
    let (system, producers) = two_outboxes(|command, _| command).await?;
    let placed = std::sync::atomic::AtomicUsize::new(0);
    let tells = || async {
        let number = placed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut told = Vec::new();
        for (which, producer) in producers.iter().enumerate() {
            let order_id = format!("{which}-{number}");
            if let Err(error) = place(producer, &order_id).await {
                told.push(error.to_string());
            }
            told.push(part(producer, "relay").await);
        }
        told
    };
    let names_it = |told: &Vec<String>| told.iter().any(|part| part.contains("OUTBOX_NAME"));
    wait::until("a relay that names OUTBOX_NAME", tells, names_it).await;
    // All orders are published nevertheless: the two relays take over from each other in turn.
    let count = 2 * placed.load(std::sync::atomic::Ordering::Relaxed);
    let found = wait::until("all orders", || keys(&system), |keys| keys.len() >= count).await;
    assert_eq!(found.len(), count);
    Ok(())
}
