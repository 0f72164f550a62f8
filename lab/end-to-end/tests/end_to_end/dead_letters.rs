//! Dead letters are listed, shown and discarded.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use serde_json::{Value, json};

/// Returns a dead letter as the processor writes it, of a record that the current code can read.
pub(crate) fn letter(
    system: &TestSystem,
    offset: i64,
    reason: &str,
    value: impl Into<Vec<u8>>,
) -> NewRecord {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let headers = [
        ("dlq.reason", text(reason)),
        ("dlq.message", text("as it was then")),
        ("dlq.topic", text(&system.topics.order_status)),
        ("dlq.partition", text("0")),
        ("dlq.offset", text(&offset.to_string())),
        ("dlq.timestamp", text("1777636800000")),
        ("dlq.service", text("processor")),
        ("dlq.attempts", text("1")),
    ];
    NewRecord {
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        ..NewRecord::new(offset.to_string(), value)
    }
}

/// Returns a sent order with this total, whose id is the offset of its dead letter.
pub(crate) fn sent(offset: i64, total: &str) -> String {
    format!(r#"{{"order_id":"{offset}","status":"SENT","total":"{total}"}}"#)
}

pub(crate) async fn bury(system: &TestSystem, letters: Vec<NewRecord>) -> Result<()> {
    let topic = system.topics.order_status_dead_letters();
    topic::write(system.brokers(), &topic, letters).await
}

#[tokio::test]
async fn dead_letters_are_counted_by_reason_shown_in_full_and_closed_with_a_note() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let letters = vec![
        letter(&system, 1, "invalid_json", "not json"),
        letter(&system, 1, "invalid_json", "not json"),
        letter(&system, 2, "invalid_json", b"\xff\x00".to_vec()),
        letter(&system, 3, "unknown_status", sent(3, "100")),
        NewRecord::new("somebody's", "own"),
    ];
    bury(&system, letters).await?;
    let list = ["dead-letters", "--json"];
    let listed = system.run_processor(&list, &[]).await?.json()?;
    assert_eq!(
        listed["reasons"]["invalid_json"],
        json!({"open": 2, "all": 2})
    );
    assert_eq!(
        listed["reasons"]["unknown_status"],
        json!({"open": 1, "all": 1})
    );
    assert_eq!(
        (&listed["repeats"], &listed["strangers"]),
        (&json!(1), &json!(1))
    );

    let newest = ["dead-letters", "--json", "--limit", "1"];
    let newest = system.run_processor(&newest, &[]).await?.json()?;
    assert_eq!(newest["letters"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&newest["open"], &newest["selected"]),
        (&json!(3), &json!(3))
    );

    let show = ["dead-letters", "show", "0/2", "--json"];
    let shown = system.run_processor(&show, &[]).await?.json()?;
    assert_eq!(shown["original"]["value"], json!({"hex": "ff00"}));
    assert_eq!(shown["original"]["key"], json!({"text": "2"}));
    assert_eq!(shown["original"]["headers"], json!([]));
    assert_eq!(shown["original"]["timestamp"], "2026-05-01T12:00:00Z");
    let show = ["dead-letters", "show", "0/3", "--json"];
    let shown = system.run_processor(&show, &[]).await?.json()?;
    assert_eq!(shown["fields"]["total"], "100.00 EUR");
    let missing = ["dead-letters", "show", "0/9", "--json"];
    let answer = system.run_processor(&missing, &[]).await?;
    let shown: Value = serde_json::from_str(&answer.stdout)?;
    assert_eq!((answer.code, &shown["found"]), (1, &json!(false)));

    let all = ["dead-letters", "discard", "--note", "x"];
    assert_eq!(system.run_processor(&all, &[]).await?.code, 2, "of which?");
    let hopeless = [
        "dead-letters",
        "discard",
        "--reason",
        "invalid_json",
        "--note",
        "a test",
    ];
    assert_eq!(system.run_processor(&hopeless, &[]).await?.code, 0);
    let listed = system.run_processor(&list, &[]).await?.json()?;
    assert_eq!(
        listed["reasons"]["invalid_json"],
        json!({"open": 0, "all": 2})
    );
    assert_eq!(listed["letters"].as_array().map(Vec::len), Some(1));

    let redriven = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(
        redriven["outcomes"],
        json!({"voucher": 1}),
        "the others are closed"
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_topic_of_states_is_told_with_what_to_do() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let answer = system
        .run_processor(&["redrive"], &[("ORDER_STATUS_TOPIC", "nowhere")])
        .await?;
    assert_eq!(answer.code, 1);
    for said in ["nowhere.dlq.state", "check --fix"] {
        assert!(answer.stderr.contains(said), "{}", answer.stderr);
    }
    Ok(())
}
