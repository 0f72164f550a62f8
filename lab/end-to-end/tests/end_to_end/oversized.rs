//! Dead letters that are larger than their topic allows, because the records were compressed.

use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::http::{metric, readiness};
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;
use rand::Rng;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use crate::dead_letters::{bury, letter};
use crate::record::good_json;

/// Writes a compressed batch that is within the topic's limit, although its record is larger.
async fn write_compressed(system: &TestSystem, record: NewRecord) -> Result<()> {
    let (brokers, topic) = (
        system.brokers().to_owned(),
        system.topics.order_status.clone(),
    );
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("partitioner", "murmur2_random")
            .set("compression.type", "zstd")
            .set("message.max.bytes", "10000000")
            .create()?;
        let mut message = BaseRecord::<[u8], [u8]>::to(&topic);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        producer.send(message).map_err(|(error, _)| error)?;
        producer.flush(Duration::from_secs(20))?;
        anyhow::Ok(())
    })
    .await?
}

/// Returns random hex digits, which zstd compresses to about half.
fn random_hex(digits: usize) -> String {
    let mut random = rand::rng();
    (0..digits)
        .map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16)]))
        .collect()
}

#[tokio::test]
async fn a_dead_letter_that_does_not_fit_names_its_original_and_stops_nothing() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let processor = system.processor().await?;
    let value = format!(
        r#"{{"order_id":"17","status":"SHIPPED","total":"150.00","note":"{}"}}"#,
        random_hex(1_800_000)
    );
    system.write_orders(vec![good_json("17")]).await?;
    write_compressed(&system, NewRecord::new("17", value.clone())).await?;
    system
        .write_orders(vec![good_json("17"), good_json("18")])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;

    assert_eq!(
        system.voucher_records().await?.len(),
        3,
        "the neighbours flow"
    );
    let aborted = metric(
        &processor,
        "checkout_processor_transactions_total",
        "outcome=\"aborted\"",
    );
    assert!(aborted.await? <= 1, "it is refused once");
    let reduced = metric(
        &processor,
        "checkout_processor_refused_records_total",
        "outcome=\"reduced\"",
    );
    assert_eq!(reduced.await?, 1);
    let (status, parts) = readiness(&processor).await?;
    assert_eq!(status, 200, "{parts}");

    let letters = system.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    let header = |name: &str| letters[0].header(name).unwrap_or_default();
    assert_eq!(letters[0].key_text(), "17");
    assert_eq!(letters[0].value, Some(Vec::new()), "no tombstone");
    assert_eq!(header("dlq.reason"), "unknown_status");
    assert_eq!(header("dlq.omitted"), "value");
    assert_eq!(header("dlq.original.bytes"), value.len().to_string());
    assert_eq!(header("dlq.original.sha256").len(), 64);

    let place = format!("{}/{}", header("dlq.partition"), header("dlq.offset"));
    let show = ["dead-letters", "show", "--json", place.as_str()];
    let shown = system.run_processor(&show, &[]).await?.json()?;
    let original = shown["original"]["value"]["text"].as_str();
    assert!(original == Some(value.as_str()), "{}", shown["omitted"]);
    assert_eq!(shown["omitted"]["missing"], json!(null));
    let redriven = system.run_processor(&["redrive", "--json"], &[]).await?;
    // The original was read: an empty value would have given another reason.
    assert_eq!(
        redriven.json()?["outcomes"],
        json!({"failed: unknown_status": 1})
    );
    Ok(())
}

#[tokio::test]
async fn an_original_that_is_gone_or_another_is_told() -> Result<()> {
    let system = TestSystem::open_json().await?;
    system.write_orders(vec![good_json("17")]).await?;
    let records = system.order_records().await?;
    let there = records.first().context("a record")?;
    let pointer = |partition: i32, offset: i64| {
        let mut record = letter(&system, offset, "unknown_status", "");
        for (name, value) in &mut record.headers {
            if name == "dlq.partition" {
                *value = Some(partition.to_string().into_bytes());
            }
        }
        let digest = "0".repeat(64);
        for (name, value) in [
            ("dlq.omitted", "value"),
            ("dlq.original.bytes", "1800000"),
            ("dlq.original.sha256", digest.as_str()),
        ] {
            let value = Some(value.as_bytes().to_vec());
            record.headers.push((name.to_owned(), value));
        }
        record
    };
    let letters = vec![
        pointer(there.partition, there.offset),
        pointer(there.partition, 1_000),
        pointer(999, 0),
    ];
    bury(&system, letters).await?;
    let redriven = system.run_processor(&["redrive", "--json"], &[]).await?;
    assert_eq!(
        redriven.json()?["outcomes"],
        json!({"failed: original_removed": 2, "failed: original_replaced": 1})
    );
    assert!(system.voucher_records().await?.is_empty());
    let show = ["dead-letters", "show", "999/0"];
    let shown = system.run_processor(&show, &[]).await?;
    assert!(
        shown.stdout.contains("compaction or retention"),
        "{}",
        shown.stdout
    );
    Ok(())
}
