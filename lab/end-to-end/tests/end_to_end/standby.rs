//! A standby of the primary: no relay publishes from it, the flow continues after its promotion, and the
//! old primary may come back as a standby.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use end_to_end::backends::{directory, own_postgres};
use end_to_end::http::readiness;
use end_to_end::system::{START, TestSystem, ready};
use end_to_end::wait;
use sqlx::{AssertSqlSafe, PgPool};
use stack::{PostgresServer, Service};

use crate::relay::{Journal, assert_promises_kept_in, is_active, place_orders};

/// Enough orders that a relay on the standby would publish old versions.
const ORDERS: usize = 150;

/// Starts a standby that is two seconds behind.
async fn standby_of(system: &TestSystem, name: &str) -> Result<PostgresServer> {
    let primary = system.backends.database_url();
    let delay = ["recovery_min_apply_delay=2s"];
    PostgresServer::standby(primary, &directory(name), &delay).await
}

/// Places orders through these producers until `until` completes. The numbers of the clients begin at
/// `first_client`.
async fn load<T>(
    through: &[&Service],
    first_client: u32,
    journal: &Journal,
    until: impl Future<Output = T>,
) -> T {
    let stop = AtomicBool::new(false);
    let addresses = Mutex::new(through.iter().map(|service| service.url("")).collect());
    let clients = (first_client..first_client + 4)
        .map(|client| place_orders(client, &addresses, &stop, journal));
    let clients = futures::future::join_all(clients);
    let until = async {
        let answer = until.await;
        stop.store(true, Ordering::Relaxed);
        answer
    };
    futures::join!(clients, until).1
}

fn acknowledged(journal: &Journal) -> usize {
    journal.lock().map_or(0, |journal| journal.len())
}

/// Waits until `enough` orders are acknowledged. The relay of `idle` must not be active meanwhile.
async fn many_orders(journal: &Journal, enough: usize, idle: &Service) {
    let look = || async {
        assert!(!is_active(idle).await, "a relay is active on a standby");
        acknowledged(journal)
    };
    wait::until("enough orders to be acknowledged", look, |orders| {
        *orders >= enough
    })
    .await;
}

async fn says(service: &Service, words: &str) -> Result<()> {
    let says_it = |answer: &Result<(u16, serde_json::Value)>| {
        answer
            .as_ref()
            .is_ok_and(|(code, parts)| *code == 503 && parts.to_string().contains(words))
    };
    wait::until(words, || readiness(service), says_it).await?;
    Ok(())
}

/// Sets up the system's primary so that its next start as a standby follows `next`. Returns the folder
/// of its data.
async fn will_follow(system: &TestSystem, next: &PostgresServer) -> Result<PathBuf> {
    let address = next.address();
    let (host, port) = address.split_once(':').context("host:port")?;
    let follow =
        format!("ALTER SYSTEM SET primary_conninfo = 'host={host} port={port} user=postgres'");
    sqlx::raw_sql(AssertSqlSafe(follow))
        .execute(system.orders())
        .await?;
    let data: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(system.orders())
        .await?;
    Ok(PathBuf::from(data))
}

#[tokio::test]
async fn nobody_publishes_from_a_standby_and_the_promoted_one_is_used() -> Result<()> {
    let backends = own_postgres("with-standby", |_| {}).await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let primary = system.producer().await?;
    let server = standby_of(&system, "standby").await?;
    let database = system.orders_url.rsplit('/').next().context("a database")?;
    let address = system
        .orders_url
        .split('@')
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .context("an address")?;

    let on_standby = system.producer_command("standby").await?;
    let on_standby = on_standby
        .env("DATABASE_URL", server.url(database))
        .start()
        .await?;
    let sink = system.sink_command("standby").await?;
    let sink = sink
        .env("DATABASE_URL", server.url(database))
        .start()
        .await?;
    let sentence = format!("the server at {} is a standby", server.address());
    says(&on_standby, &sentence).await?;
    says(&sink, &sentence).await?;
    let either = system.producer_command("either").await?;
    let both = format!(
        "postgres://postgres@{},{address}/{database}?target_session_attrs=read-write",
        server.address()
    );
    let either = ready(either.env("DATABASE_URL", both)).await?;

    let journal = Journal::default();
    let enough = many_orders(&journal, ORDERS, &on_standby);
    load(&[&primary, &either], 0, &journal, enough).await;
    let (code, parts) = readiness(&on_standby).await?;
    assert_eq!(code, 503, "{parts}");
    let before = journal.lock().expect("no panic").clone();
    assert_promises_kept_in(&system, system.orders(), &before).await?;

    // A clean switchover: the primary replicates everything before it ends.
    let switchover = async {
        many_orders(&journal, before.len() + 20, &on_standby).await;
        let old_primary = will_follow(&system, &server).await?;
        system.backends.postgres().stop().await?;
        server.promote().await?;
        either.wait_ready(START).await?;
        // The producer of the standby is now connected to the primary, and its relay may be the active one.
        on_standby.wait_ready(START).await?;
        let more = acknowledged(&journal) + 20;
        wait::until(
            "orders to be acknowledged by the promoted server",
            || async { acknowledged(&journal) },
            |orders| *orders >= more,
        )
        .await;

        // The old primary comes back as a standby of the new one.
        std::fs::write(old_primary.join("standby.signal"), "")?;
        system.backends.postgres().start().await?;
        says(&primary, &format!("the server at {address} is a standby")).await?;
        let more = acknowledged(&journal) + 20;
        many_orders(&journal, more, &primary).await;
        anyhow::Ok(())
    };
    load(&[&either], 100, &journal, switchover).await?;
    let promoted = PgPool::connect_lazy(&server.url(database))?;
    let all = journal.into_inner()?;
    assert_promises_kept_in(&system, &promoted, &all).await
}
