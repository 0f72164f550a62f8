//! Records that a person types into Kafka's own console producer.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;

use crate::voucher;

/// Pastes lines into the console producer, as the README says.
async fn paste(
    system: &TestSystem,
    properties: &[&str],
    lines: &str,
) -> Result<std::process::Output> {
    let mut arguments = vec!["--topic", system.topics.order_status.as_str()];
    for property in properties {
        arguments.extend(["--reader-property", property]);
    }
    system
        .backends
        .run_tool("kafka-console-producer", arguments, lines.as_bytes())
        .await
}

const KEYED: [&str; 2] = ["parse.key=true", "null.marker=NULL"];

#[tokio::test]
async fn lines_typed_by_hand_become_vouchers_and_a_bad_one_stops_nothing() -> Result<()> {
    let system = TestSystem::open().await?;
    let processor = system.processor().await?;
    let lines = [
        ("17", r#"{"order_id":"17","status":"SENT","total":100}"#),
        ("18", r#"{"order_id":"18","status":"SENT","total":100.0}"#),
        (
            "19",
            r#"{"order_id":"19","status":"SENT","total":"99.995"}"#,
        ),
        ("20", r#"{"order_id":"20","status":"SENT","total":1e2}"#),
        ("21", r#"{"order_id":"21","status":"SENT","total":100"#),
        (
            "22",
            r#"{"order_id": "22", "status": "sent", "total": "100.00"}"#,
        ),
        ("23", r#"{"id":23,"status":"SENT","total":150}"#),
        ("24", r#"{"id":24,"status":"SENT","total":"150.00"}"#),
        ("17", "NULL"),
        ("25", r#"{"order_id":"25","status":"PENDING","total":100}"#),
        (
            "order-26",
            r#"{"order_id":"order-26","status":"SENT","total":100}"#,
        ),
        ("27", r#"{"order_id":"28","status":"SENT","total":100}"#),
        ("17", r#"{"order_id":"17","status":"SENT","total":100}"#),
    ];
    let typed: String = lines
        .iter()
        .map(|(key, value)| format!("{key}\t{value}\n"))
        .collect();
    let output = paste(&system, &KEYED, &typed).await?;
    ensure!(output.status.success(), "{output:?}");
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;

    let inputs = system.order_records().await?;
    assert_eq!(inputs.len(), lines.len());
    let tombstone = inputs.iter().find(|record| record.value.is_none());
    assert_eq!(tombstone.map(|record| record.key_text()), Some("17".into()));
    let partitions: BTreeMap<_, _> = inputs
        .iter()
        .map(|record| (record.key_text(), record.partition))
        .collect();
    let mut vouchers = Vec::new();
    for record in system.voucher_records().await? {
        let voucher = voucher::read(&system, &record)?;
        assert_eq!(
            record.partition, partitions[&voucher.order_id],
            "our producer puts the key {} where Kafka's own puts it",
            voucher.order_id
        );
        vouchers.push((voucher.order_id, voucher.code));
    }
    vouchers.sort();
    let ids: Vec<_> = vouchers.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(
        ids,
        ["17", "17", "18", "20", "22", "23", "24", "order-26"],
        "a repeated line is an echo, and a deletion in between takes nothing back"
    );
    assert_eq!(vouchers[0].1, "A527-R3XF-YDHK-X2AD");
    assert_eq!(vouchers[0], vouchers[1]);

    let mut letters: Vec<_> = system
        .dead_letters()
        .await?
        .into_iter()
        .map(|letter| {
            let value = letter.value.clone().unwrap_or_default();
            (
                letter.key_text(),
                String::from_utf8_lossy(&value).into_owned(),
                letter.header("dlq.reason").unwrap_or_default(),
            )
        })
        .collect();
    letters.sort();
    let letter = |at: usize, reason: &str| {
        let (key, value) = lines[at];
        (key.to_owned(), value.to_owned(), reason.to_owned())
    };
    assert_eq!(
        letters,
        [letter(4, "invalid_json"), letter(11, "key_mismatch")]
    );
    let skipped = |reason: &'static str| {
        let labels = format!("reason=\"{reason}\"");
        let processor = &processor;
        async move {
            end_to_end::http::metric(processor, "checkout_processor_skipped_total", &labels).await
        }
    };
    assert_eq!(skipped("tombstone").await?, 1);
    assert_eq!(skipped("threshold").await?, 1);
    assert_eq!(skipped("status").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_record_without_a_key_is_refused_by_the_broker() -> Result<()> {
    let system = TestSystem::open().await?;
    let line = "{\"order_id\":\"17\",\"status\":\"SENT\",\"total\":100}\n";
    let output = paste(&system, &[], line).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("InvalidRecordException") || said.contains("without key"),
        "{said}"
    );

    let keyless = NewRecord {
        key: None,
        ..NewRecord::new("", line)
    };
    let error = system
        .write_orders(vec![keyless])
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("InvalidRecord"), "{error:#}");
    assert!(system.order_records().await?.is_empty());
    Ok(())
}
