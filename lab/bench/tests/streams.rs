//! The Kafka Streams peer decides as the processor does, and writes the same records, to the byte.
//!
//! Maven downloads Kafka Streams the first time, so this runs only by name:
//! `cargo test --test streams -- --ignored`.
#![allow(clippy::unwrap_used)]

use bench::legs::beside_streams::CONTENDERS;
use bench::orders::ELIGIBLE_EVERY;
use bench::peer::KafkaStreams;
use bench::rig::{self, Rig};
use end_to_end::topic::NewRecord;

const ORDERS: u32 = 1_000;

/// Values of order 17, and whether each earns a voucher by the default rule.
const VALUES: [(&str, bool); 11] = [
    (
        r#"{"order_id":"17","status":"SENT","total":"100.00"}"#,
        true,
    ),
    (
        r#"{"order_id":"17","status":"sent","total":100,"currency":"EUR"}"#,
        true,
    ),
    (
        r#"{"order_id":"17","status":"SENT","total":1e2,"occurred_at":"2026-05-01T00:00:00.123456+02:00"}"#,
        true,
    ),
    (
        r#"{"order_id":"17","status":"CANCELLED","total":"150","sent_at":"2026-05-01T00:00:00.100Z"}"#,
        true,
    ),
    (
        r#"{"order_id":"17","status":"DELIVERED","total":"150","sent_at":"2026-05-01T00:00:00Z"}"#,
        true,
    ),
    (
        r#"{"order_id":"17","status":"DELIVERED","total":"150","occurred_at":"2026-05-01T00:00:00Z"}"#,
        false,
    ),
    (
        r#"{"order_id":"17","status":"PENDING","total":"150","sent_at":"2026-05-01T00:00:00Z"}"#,
        false,
    ),
    (
        r#"{"order_id":"17","status":"SENT","total":"99.99"}"#,
        false,
    ),
    // A binary float would round it up.
    (
        r#"{"order_id":"17","status":"SENT","total":99.99999999999999999999}"#,
        false,
    ),
    (
        r#"{"order_id":"17","status":"SENT","total":"150","currency":"USD"}"#,
        false,
    ),
    (
        r#"{"order_id":"17","status":"SENT","total":"100","more":{"a":[1]}}"#,
        true,
    ),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds the peer with Maven"]
async fn kafka_streams_writes_the_vouchers_of_the_processor_to_the_byte() {
    let streams = KafkaStreams::build().await.unwrap();
    let rig = Rig::start(true, 1).await;
    let (system, format) = rig.system(false).await.unwrap();
    rig::write_orders(&system, ORDERS, format).await.unwrap();
    let mut records: Vec<NewRecord> = VALUES
        .iter()
        .map(|(value, _)| NewRecord {
            timestamp_millis: Some(1_777_593_600_123),
            ..NewRecord::new("17", *value)
        })
        .collect();
    // A tombstone.
    records.push(NewRecord {
        key: Some(b"17".to_vec()),
        ..NewRecord::default()
    });
    system.write_orders(records).await.unwrap();

    let eligible = VALUES
        .iter()
        .filter(|(_, is_eligible)| *is_eligible)
        .count();
    let expected = u64::from(ORDERS / ELIGIBLE_EVERY) + u64::try_from(eligible).unwrap();
    let [checkout, others @ ..] = CONTENDERS;
    let (_, of_checkout) = checkout.drain(&streams, &system, 0).await.unwrap();
    assert_eq!(of_checkout.records, expected);
    for contender in others {
        let (_, written) = contender.drain(&streams, &system, 0).await.unwrap();
        of_checkout.check_same(written).unwrap();
    }
}
