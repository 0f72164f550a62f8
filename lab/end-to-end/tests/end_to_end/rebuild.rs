//! The table is a view of the topic: rebuilt from the topic, it has the same rows.

use anyhow::Result;
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;

use crate::load;

/// Returns an echo: a second voucher of an identity that already has one, with another amount and code.
fn echo(order_id: &str, code: &str) -> NewRecord {
    NewRecord::new(
        order_id,
        format!(
            r#"{{"campaign":"order-reward","order_id":"{order_id}","code":"{code}","amount":"7.50","currency":"EUR","issued_at":"2026-01-01T00:00:00Z","expires_at":null}}"#
        ),
    )
}

#[tokio::test]
async fn a_rebuild_from_the_topic_gives_the_same_table_in_spite_of_echoes() -> Result<()> {
    let system = TestSystem::open().await?;
    let sink = system.sink().await?;
    let processor = system.processor().await?;
    system.write_orders(load::orders(0..500)).await?;
    system.settled().await;
    let echoes = vec![
        echo("0", "OTHER-0"),
        echo("1", "OTHER-1"),
        echo("new", "NEW"),
    ];
    topic::write(system.brokers(), &system.topics.vouchers, echoes).await?;
    system.settled().await;
    let before = system.vouchers().await?;
    assert_eq!(
        before.len(),
        201,
        "200 eligible orders, and one voucher from elsewhere"
    );
    assert!(
        before
            .iter()
            .all(|row| row.code != "OTHER-0" && row.code != "OTHER-1")
    );
    drop(processor);

    // An empty table and a new group: the first record of each identity becomes its row.
    sink.terminate(end_to_end::system::STOP).await?;
    system.execute_on_vouchers("truncate vouchers").await?;
    let _rebuild = ready(
        system
            .sink_command("rebuild")
            .await?
            .env("SINK_GROUP", format!("rebuild-{}", system.name)),
    )
    .await?;
    wait::until(
        "the table to be rebuilt",
        || async { system.vouchers().await.unwrap_or_default().len() },
        |rows| *rows == before.len(),
    )
    .await;
    system
        .caught_up(&format!("rebuild-{}", system.name), &system.topics.vouchers)
        .await;
    assert_eq!(system.vouchers().await?, before);
    Ok(())
}
