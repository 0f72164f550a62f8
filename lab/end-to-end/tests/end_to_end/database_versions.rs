//! The oldest and the newest Postgres that are supported: an order becomes a row.

use std::sync::Arc;

use anyhow::Result;
use end_to_end::backends::{directory, own_postgres};
use end_to_end::system::TestSystem;
use end_to_end::wait;
use serde_json::json;
use stack::PostgresServer;

async fn an_order_becomes_a_row(version: &str) -> Result<()> {
    let name = format!("postgres-{version}");
    let server = PostgresServer::start(version, &directory(&name)).await?;
    let database_url = Some(server.url("postgres"));
    let backends = own_postgres(&format!("flow-{version}"), |options| {
        options.database_url = database_url;
    })
    .await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let (producer, _processor, _sink) =
        tokio::try_join!(system.producer(), system.processor(), system.sink())?;
    let http = reqwest::Client::new();
    let order = json!({"order_id": "17", "total": "120.00"});
    let placed = http
        .post(producer.url("/orders"))
        .json(&order)
        .send()
        .await?;
    assert_eq!(placed.status(), 201, "{}", placed.text().await?);
    let sent = http
        .patch(producer.url("/orders/17"))
        .json(&json!({"status": "SENT"}));
    assert_eq!(sent.send().await?.status(), 200);
    wait::until(
        "the voucher's row",
        || async { system.vouchers().await.unwrap_or_default() },
        |rows| rows.len() == 1,
    )
    .await;
    for service in ["producer", "sink"] {
        let url = match service {
            "producer" => &system.orders_url,
            _ => &system.vouchers_url,
        };
        let checked = system
            .run_service(service, &["check"], &[("DATABASE_URL", url)])
            .await?;
        assert!(checked.stdout.contains("accepts writes"), "{checked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn postgres_13_is_the_oldest_that_works() -> Result<()> {
    an_order_becomes_a_row("13.22.0").await
}

#[tokio::test]
async fn postgres_18_works() -> Result<()> {
    an_order_becomes_a_row("18.1.0").await
}
