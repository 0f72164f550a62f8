//! A 2xx means durable, even if the server's configuration changes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::backends::own_postgres;
use end_to_end::system::{START, TestSystem, ready};
use end_to_end::wait;
use runtime::postgres::{Database, Timeouts};
use runtime::settings::Secret;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String> {
    let value = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
    Ok(value.fetch_one(connection).await?)
}

/// Turns `synchronous_commit` off as an administrator would, waits until existing sessions have the new
/// setting, and stops the WAL writer. From then on a commit is on disk only if its session waits for that.
async fn switch_off(system: &TestSystem) -> Result<()> {
    let mut session = PgConnection::connect(system.backends.database_url()).await?;
    for statement in [
        "ALTER SYSTEM SET synchronous_commit = off",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::raw_sql(statement).execute(&mut session).await?;
    }
    let session = Mutex::new(session);
    let heard = || async {
        setting(&mut *session.lock().await, "synchronous_commit")
            .await
            .unwrap_or_default()
    };
    wait::until("an older session to hear of it", heard, |value| {
        value == "off"
    })
    .await;
    // The WAL writer would otherwise soon flush asynchronous commits too.
    let writer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    let writer: i32 = sqlx::query_scalar(writer)
        .fetch_one(&mut *session.lock().await)
        .await?;
    let writer = Pid::from_raw(writer).context("a process id")?;
    kill_process(writer, Signal::STOP)?;
    Ok(())
}

#[tokio::test]
async fn an_acknowledged_order_survives_a_crash_with_synchronous_commit_off() -> Result<()> {
    let backends = own_postgres("not-waiting", |_| {}).await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    // A second writer might connect after the change, and so with the changed setting.
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("ORDER_WRITERS", "1")).await?;
    let place = |order_id: String| {
        let order = json!({"order_id": order_id, "total": "100.00"});
        reqwest::Client::new()
            .post(producer.url("/orders"))
            .json(&order)
            .send()
    };
    // This request opens the connections before the change.
    assert_eq!(place("before".to_owned()).await?.status(), 201);
    switch_off(&system).await?;
    for number in 0..20 {
        assert_eq!(place(format!("order-{number}")).await?.status(), 201);
    }
    system.backends.postgres().kill().await?;
    system.backends.postgres().start().await?;
    producer.wait_ready(START).await?;
    for number in 0..20 {
        let found = reqwest::get(producer.url(&format!("/orders/order-{number}"))).await?;
        assert_eq!(found.status(), 200, "order-{number} was acknowledged");
    }
    Ok(())
}

#[tokio::test]
async fn sessions_pin_synchronous_commit_and_keep_a_stricter_setting() -> Result<()> {
    let backends = own_postgres("stricter", |_| {}).await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let timeouts = Timeouts {
        statement: "5s",
        lock: "4s",
    };
    let url = Secret::new(system.orders_url.as_str());
    let database = Database::new(&url, "test", timeouts)?;
    let time = Duration::from_secs(5);
    let mut session = database.connect(time).await?;
    switch_off(&system).await?;
    let mut later = database.connect(time).await?;
    for session in [&mut session, &mut later] {
        assert_eq!(setting(session, "synchronous_commit").await?, "on");
        assert_eq!(setting(session, "application_name").await?, "test");
        assert_eq!(setting(session, "statement_timeout").await?, "5s");
    }
    sqlx::raw_sql("ALTER ROLE postgres SET synchronous_commit = 'remote_apply'")
        .execute(&mut session)
        .await?;
    let stricter = wait::until(
        "a new session to have the role's setting",
        async || {
            let mut session = database.connect(time).await.ok()?;
            setting(&mut session, "synchronous_commit").await.ok()
        },
        |setting| setting.is_some(),
    );
    assert_eq!(stricter.await.as_deref(), Some("remote_apply"));
    Ok(())
}
