//! A standby beside the primary: nobody publishes from it, and after its promotion the flow goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::shop::{Shop, directory, own_postgres, readiness, ready};
use end_to_end::wait;
use sqlx::PgPool;
use stack::{PostgresServer, Service};

use crate::relay::{Journal, assert_promises_kept_in, is_active, place_orders};

/// Enough that a relay on the standby would have something old to publish.
const ORDERS: usize = 150;

/// A standby that is two seconds behind.
async fn standby_of(shop: &Shop, name: &str) -> Result<PostgresServer> {
    let primary = shop.backends.database_url();
    let delay = ["recovery_min_apply_delay=2s"];
    PostgresServer::standby(primary, &directory(name), &delay).await
}

/// Writes orders through these producers until enough are acknowledged; the relay of `idle` must not be
/// active meanwhile.
async fn load(through: &[&Service], idle: &Service, journal: &Journal, enough: usize) {
    let stop = AtomicBool::new(false);
    let addresses = Mutex::new(through.iter().map(|service| service.url("")).collect());
    let clients = futures::future::join_all(
        (0..4).map(|client| place_orders(client, &addresses, &stop, journal)),
    );
    let watch = async {
        wait::until(
            "enough orders to be acknowledged",
            || async {
                assert!(!is_active(idle).await, "a relay is active on a standby");
                journal.lock().map_or(0, |journal| journal.len())
            },
            |orders| *orders >= enough,
        )
        .await;
        stop.store(true, Ordering::Relaxed);
    };
    futures::join!(clients, watch);
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

#[tokio::test]
async fn nobody_publishes_from_a_standby_and_the_promoted_one_is_used() -> Result<()> {
    let backends = own_postgres("with-standby", |_| {}).await;
    let shop = Shop::on(Arc::new(backends), false).await?;
    let primary = shop.producer().await?;
    let server = standby_of(&shop, "standby").await?;
    let database = shop.orders_url.rsplit('/').next().context("a database")?;
    let address = shop
        .orders_url
        .split('@')
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .context("an address")?;

    let on_standby = shop.producer_command("standby").await?;
    let on_standby = on_standby
        .env("DATABASE_URL", server.url(database))
        .start()
        .await?;
    let either = shop.producer_command("either").await?;
    let both = format!(
        "postgres://postgres@{},{address}/{database}?target_session_attrs=read-write",
        server.address()
    );
    let either = ready(either.env("DATABASE_URL", both)).await?;
    let sink = shop.sink_command("standby").await?;
    let sink = sink
        .env("DATABASE_URL", server.url(database))
        .start()
        .await?;
    let sentence = format!("the server at {} is a standby", server.address());
    says(&on_standby, &sentence).await?;
    says(&sink, &sentence).await?;

    let journal = Journal::default();
    load(&[&primary, &either], &on_standby, &journal, ORDERS).await;
    let (code, parts) = readiness(&on_standby).await?;
    assert_eq!(code, 503, "{parts}");
    let first: BTreeMap<String, i64> = std::mem::take(&mut *journal.lock().expect("no panic"));
    assert_promises_kept_in(&shop, shop.orders(), &first).await?;

    // A clean switchover: the primary hands over all that it has before it ends.
    shop.backends.postgres().stop().await?;
    server.promote().await?;
    either.wait_ready(Duration::from_secs(60)).await?;
    let promoted = PgPool::connect_lazy(&server.url(database))?;
    for order_id in first.keys() {
        let found = reqwest::get(either.url(&format!("/orders/{order_id}"))).await?;
        assert_eq!(found.status(), 200, "{order_id} was acknowledged");
    }
    let sent = reqwest::Client::new()
        .post(either.url("/orders"))
        .json(&serde_json::json!({"order_id": "after", "total": "120.00"}))
        .send()
        .await?;
    assert_eq!(sent.status(), 201, "{}", sent.text().await?);
    let mut all = first;
    all.insert("after".to_owned(), 1);
    assert_promises_kept_in(&shop, &promoted, &all).await
}
