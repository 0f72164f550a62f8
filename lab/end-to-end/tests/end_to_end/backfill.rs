//! Backfills: a run does exactly what its preview reports, and issues each voucher once.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use serde_json::Value;

use crate::load;

async fn json(system: &TestSystem, arguments: &[&str]) -> Result<Value> {
    let arguments = [&["backfill", "--json"], arguments].concat();
    system.run_processor(&arguments, &[]).await?.json()
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| value.to_string())
}

/// Returns the records of [`load::orders`], a few unusable ones, and repeats of the first hundred.
fn mixed() -> Vec<NewRecord> {
    let mut records = load::orders(0..1000);
    records.extend((0..7).map(|id| NewRecord::new(format!("bad-{id}"), "{")));
    records.extend((0..2).map(|id| {
        let total = r#"{"order_id":"ID","status":"SENT","total":-1}"#;
        NewRecord::new(
            format!("minus-{id}"),
            total.replace("ID", &format!("minus-{id}")),
        )
    }));
    records.extend(load::orders(0..100));
    records
}

#[tokio::test]
async fn a_dry_run_says_to_the_cent_what_the_backfill_then_does() -> Result<()> {
    let system = TestSystem::open().await?;
    let _sink = system.sink().await?;
    system.write_orders(mixed()).await?;

    let said = system
        .run_processor(
            &["backfill", "--dry-run", "--json"],
            &[("DATABASE_URL", &system.vouchers_url)],
        )
        .await?
        .json()?;
    assert_eq!(said["records"], 1109);
    assert_eq!(said["eligible_records"], 440);
    assert_eq!(
        (&said["vouchers"], &said["sum"]),
        (&400.into(), &"2000.00".into())
    );
    assert_eq!(said["existing"]["new"], 400);
    assert_eq!(said["unusable"]["invalid_json"]["records"], 7);
    assert_eq!(said["unusable"]["total_out_of_range"]["records"], 2);
    assert!(system.voucher_records().await?.is_empty() && system.dead_letters().await?.is_empty());

    let did = json(&system, &["--name", "whole", "--dead-letters"]).await?;
    assert_eq!(did["complete"], true);
    for (what, did) in [
        ("records", &did["records"]),
        ("eligible_records", &did["voucher_records"]),
        ("skipped", &did["skipped"]),
    ] {
        assert_eq!(&said[what], did, "{what}");
    }
    assert_eq!(system.dead_letters().await?.len(), 9);
    let records = system.voucher_records().await?;
    assert_eq!(records.len(), 440, "one record for each eligible record");
    assert!(
        records
            .iter()
            .all(|record| record.header("source.run").as_deref() == Some("whole"))
    );
    system
        .caught_up(&system.sink_group(), &system.topics.vouchers)
        .await;
    let rows = system.vouchers().await?;
    assert_eq!(rows.len(), 400);
    assert_eq!(
        rows.iter()
            .map(|row| row.amount)
            .sum::<rust_decimal::Decimal>()
            .to_string(),
        "2000.00"
    );

    // The same backfill once more changes nothing.
    let again = json(&system, &["--name", "whole", "--dead-letters"]).await?;
    assert_eq!(
        (&again["records"], &again["already_done"]),
        (&0.into(), &true.into())
    );

    // With a threshold of 80 the orders of 99.99 are eligible in addition.
    let rows_there = [("DATABASE_URL", system.vouchers_url.as_str())];
    let arguments = [
        "backfill",
        "--dry-run",
        "--json",
        "--voucher-min-total",
        "80",
    ];
    let what_if = system
        .run_processor(&arguments, &rows_there)
        .await?
        .json()?;
    assert_eq!(what_if["vouchers"], 600);
    assert_eq!(what_if["today"]["vouchers"], 400);
    assert_eq!(
        (&what_if["today"]["more"], &what_if["today"]["fewer"]),
        (&200.into(), &0.into())
    );
    assert_eq!(
        (
            &what_if["existing"]["existing"],
            &what_if["existing"]["new"]
        ),
        (&400.into(), &200.into())
    );
    let worth_more = system
        .run_processor(&["backfill", "--voucher-amount", "7.50"], &[])
        .await?;
    assert_eq!(worth_more.code, 2, "{}", worth_more.stderr);
    assert!(
        worth_more.stderr.contains("VOUCHER_CAMPAIGN"),
        "{}",
        worth_more.stderr
    );

    // Fills the table of a second database, without the sink's group.
    let second = system
        .backends
        .create_database(&format!("second_{}", system.name))
        .await?;
    let rebuilt = system
        .run_sink(&["backfill", "--json", "--database-url", &second])
        .await?
        .json()?;
    assert_eq!(
        (&rebuilt["inserted"], &rebuilt["existing"]),
        (&400.into(), &40.into())
    );
    assert_eq!(rebuilt["complete"], true);
    Ok(())
}

#[tokio::test]
async fn a_backfill_that_is_killed_again_and_again_writes_each_voucher_record_once() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let orders = 12_000;
    system.write_orders(load::orders(0..orders)).await?;
    let arguments = ["backfill", "--name", "killed", "--json", "--rate", "3000"];
    let group = format!("{}/backfill/killed", system.processor_group());
    let mut kills = 0;
    for kill in 1..=5 {
        let mut backfill = system.start_processor(&arguments, &[]).await?;
        // Kills the backfill after a part of its work.
        let target = i64::from(orders) - 1500 * kill;
        let left = || async {
            topic::lag(system.brokers(), &group, &system.topics.order_status)
                .await
                .unwrap_or(i64::MAX)
        };
        wait::until("the backfill to get on", left, |left| *left <= target).await;
        if backfill.try_wait()?.is_none() {
            backfill.kill().await?;
            kills += 1;
        }
    }
    ensure!(kills == 5, "killed {kills} times only");
    let did = json(&system, &["--name", "killed", "--rate", "3000"]).await?;
    assert_eq!(
        (&did["complete"], &did["resumed"]),
        (&true.into(), &true.into())
    );
    assert!(
        number(&did["records"])? < u64::from(orders),
        "it went on, not over: {did}"
    );
    load::assert_each_eligible_record_has_one_voucher_record(&system).await
}

#[tokio::test]
async fn a_backfill_beside_the_live_flow_gives_no_second_row_and_no_missing_one() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    system.write_orders(load::orders(0..2000)).await?;
    let writing = tokio::spawn({
        let (brokers, topic) = (
            system.brokers().to_owned(),
            system.topics.order_status.clone(),
        );
        async move {
            for some in load::orders(2000..6000).chunks(200) {
                topic::write(&brokers, &topic, some.to_vec()).await?;
            }
            anyhow::Ok(())
        }
    });
    let did = json(&system, &[]).await?;
    assert_eq!(did["complete"], true, "it ends though the topic grows");
    writing.await??;
    system.settled().await;
    load::assert_each_eligible_order_has_one_row(&system, 0..6000).await?;
    Ok(())
}

/// Makes the broker compact the topic as soon as possible: small segments, and no compaction lag.
async fn compact_eagerly(system: &TestSystem) -> Result<()> {
    let topic = system.topics.order_status.clone();
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", system.brokers())
        .create()?;
    let resource = AlterConfig::new(ResourceSpecifier::Topic(&topic))
        .set("cleanup.policy", "compact")
        .set("min.compaction.lag.ms", "0")
        .set("max.compaction.lag.ms", "100")
        .set("min.cleanable.dirty.ratio", "0.001")
        .set("segment.ms", "100");
    for result in admin
        .alter_configs([&resource], &AdminOptions::new())
        .await?
    {
        result.map_err(|(what, error)| anyhow::anyhow!("{what:?}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_compacted_topic_whose_sent_records_are_gone_gives_their_vouchers() -> Result<()> {
    let system = TestSystem::open_json().await?;
    compact_eagerly(&system).await?;
    let status = |id: u32, status: &str| {
        NewRecord::new(
            id.to_string(),
            format!(
                r#"{{"order_id":"{id}","status":"{status}","total":"100.00","sent_at":"2026-05-01T00:00:00Z"}}"#
            ),
        )
    };
    for word in ["SENT", "DELIVERED"] {
        system
            .write_orders((0..50).map(|id| status(id, word)).collect())
            .await?;
    }
    // A segment is compacted only after a later one has begun.
    let mut filler = 0;
    let sent = || async {
        let records = system.order_records().await.unwrap_or_default();
        records
            .iter()
            .filter(|record| record.json()["status"] == "SENT")
            .count()
    };
    let deadline = std::time::Instant::now() + wait::DEADLINE;
    while sent().await > 0 {
        ensure!(
            std::time::Instant::now() < deadline,
            "the broker does not compact"
        );
        filler += 1;
        let fill = (0..20).map(|key| NewRecord::new(format!("f{key}"), format!("{{{filler}")));
        system.write_orders(fill.collect()).await?;
        let _ = wait::happens_within(Duration::from_millis(300), || false).await;
    }
    let did = json(&system, &["--from", "earliest"]).await?;
    assert_eq!(
        (&did["complete"], &did["voucher_records"]),
        (&true.into(), &50.into())
    );
    let issued: BTreeSet<String> = system
        .voucher_records()
        .await?
        .iter()
        .map(|record| record.json()["issued_at"].to_string())
        .collect();
    assert_eq!(
        issued,
        BTreeSet::from(["\"2026-05-01T00:00:00Z\"".to_owned()])
    );
    Ok(())
}
