//! Dead letters are redriven once their cause is corrected.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use apache_avro::types::Value;
use end_to_end::backends::own_registry;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use serde_json::json;

use crate::dead_letters::{bury, letter, sent};
use crate::record::{encode, framed, good_json};

/// A schema that is registered only to learn the id that the next one will get.
pub(crate) const PROBE: &str = r#"{"type":"record","name":"Probe","fields":[]}"#;

pub(crate) const SCHEMA: &str = r#"{"type":"record","name":"OrderStatus","fields":[
    {"name":"order_id","type":"string"},
    {"name":"status","type":"string"},
    {"name":"total","type":"int"},
    {"name":"late","type":"null"}]}"#;

pub(crate) fn late(key: &str, total: i32, id: u32) -> Result<NewRecord> {
    let fields = [
        ("order_id", Value::String(key.to_owned())),
        ("status", Value::String("SENT".to_owned())),
        ("total", Value::Int(total)),
        ("late", Value::Null),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    let body = encode(SCHEMA, Value::Record(fields.into()))?;
    Ok(NewRecord::new(key, framed(id, &body)))
}

/// Returns the record of [`late`] with the schema's id in a header, as Confluent's serializers can write
/// it.
fn late_by_header(key: &str, total: i32, id: u32) -> Result<NewRecord> {
    let record = late(key, total, id)?;
    let value = record.value.unwrap_or_default();
    let (framing, body) = value.split_at(framed(id, &[]).len());
    Ok(NewRecord {
        value: Some(body.to_vec()),
        headers: vec![("__value_schema_id".to_owned(), Some(framing.to_vec()))],
        ..record
    })
}

/// Returns the source record of each voucher, with the number of its vouchers.
async fn sources(system: &TestSystem) -> Result<BTreeMap<String, usize>> {
    let mut sources = BTreeMap::new();
    for record in system.voucher_records().await? {
        let part = |name| record.header(name).unwrap_or_default();
        let source = format!("{}/{}", part("source.partition"), part("source.offset"));
        *sources.entry(source).or_default() += 1;
    }
    Ok(sources)
}

#[tokio::test]
async fn dead_letters_of_a_schema_that_is_registered_late_become_exactly_the_missing_vouchers()
-> Result<()> {
    let backends = Arc::new(own_registry("redrive").await);
    let system = TestSystem::on(Arc::clone(&backends), true).await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    let id = u32::try_from(backends.register_schema("probe", PROBE).await?)? + 1;

    // 17 and 20 are sent and cannot be read yet; 18 earns nothing; 19 has a voucher of a newer status
    // already.
    let newer = good_json("19");
    let records = vec![
        late("17", 100, id)?,
        late("18", 50, id)?,
        late("19", 100, id)?,
        late_by_header("20", 100, id)?,
        newer.clone(),
    ];
    system.write_orders(records).await?;
    system.settled().await;
    assert_eq!(system.dead_letters().await?.len(), 4);
    assert_eq!(system.vouchers().await?.len(), 1);
    let before = system.vouchers_of("19").await?;

    // A redrive before the schema is registered counts as an attempt. A redrive whose registry is down does
    // not.
    let failed = system.run_processor(&["redrive", "--json"], &[]);
    let nowhere = [("SCHEMA_REGISTRY_URL", "http://127.0.0.1:9")];
    let away = system.run_processor(&["redrive", "--json"], &nowhere);
    let (failed, away) = tokio::try_join!(failed, away)?;
    assert_eq!(
        failed.json()?["outcomes"],
        json!({"failed: unknown_schema": 4})
    );
    assert_eq!(away.code, 1, "{}", away.stdout);

    assert_eq!(
        u32::try_from(backends.register_schema("late", SCHEMA).await?)?,
        id
    );
    let dry = ["redrive", "--json", "--dry-run"];
    let table = [("DATABASE_URL", system.vouchers_url.as_str())];
    let dry = system.run_processor(&dry, &table).await?.json()?;
    // 19 has its voucher already, so its dead letter gives an echo.
    assert_eq!(
        dry["existing"],
        json!({"new": 2, "existing": 1, "different": 0})
    );
    // With another number than the preview's the command writes nothing.
    let surprised = ["redrive", "--expect", "3"];
    let surprised = system.run_processor(&surprised, &[]).await?;
    assert_eq!(surprised.code, 2, "{}", surprised.stderr);
    assert!(surprised.stderr.contains("4 dead letters are open"));
    assert!(surprised.stderr.contains("nothing was written"));
    let others = ["redrive", "--expect", "4@0000000000000000"];
    let others = system.run_processor(&others, &[]).await?;
    assert_eq!(others.code, 2, "{}", others.stderr);
    assert!(others.stderr.contains("but others"), "{}", others.stderr);
    let previewed = format!("4@{}", dry["selection"].as_str().unwrap_or_default());
    let agreed = [
        "redrive",
        "--json",
        "--expect",
        &previewed,
        "--progress",
        "json",
    ];
    let agreed = system.run_processor(&agreed, &[]).await?;
    let mut lines = agreed.stderr.lines();
    let progress = lines.rfind(|line| line.starts_with("{\"progress\""));
    assert_eq!(
        progress,
        Some(r#"{"progress":{"done":4,"total":4,"per_second":null}}"#)
    );
    let redriven = agreed.json()?;
    for answer in [&dry, &redriven] {
        assert_eq!(
            answer["outcomes"],
            json!({"voucher": 3, "skipped: threshold": 1})
        );
        assert_eq!(answer["letters"][0]["attempts"], 3);
        assert_eq!(answer["sums"], json!({"EUR": "15.00"}));
    }
    let listed = system
        .run_processor(&["dead-letters", "--json"], &[])
        .await?;
    assert_eq!(listed.json()?["open"], 0);
    let again = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(again["outcomes"], json!({}));

    let rows = || async { system.vouchers().await.unwrap_or_default().len() };
    wait::until("the missing vouchers' rows", rows, |rows| *rows == 3).await;
    system.settled().await;
    assert_eq!(
        system.vouchers_of("19").await?,
        before,
        "an echo changes no row"
    );
    assert!(sources(&system).await?.values().all(|count| *count == 1));
    let run = redriven["run"].as_str();
    let vouchers = system.voucher_records().await?;
    let of_run = vouchers
        .iter()
        .filter(|v| v.header("source.run").as_deref() == run);
    assert_eq!(of_run.count(), 3);

    // The redrive wrote nothing to the topic: the newest status of 19 is the same as before.
    let orders = system.order_records().await?;
    assert_eq!(orders.len(), 5);
    let newest = orders.iter().rfind(|record| record.key_text() == "19");
    assert_eq!(newest.and_then(|record| record.value.clone()), newer.value);
    Ok(())
}

#[tokio::test]
async fn a_redrive_that_is_killed_and_repeated_issues_nothing_twice() -> Result<()> {
    const LETTERS: i64 = 20_000;
    let system = TestSystem::open_json().await?;
    let letters = (0..LETTERS).map(|offset| letter(&system, offset, "x", sent(offset, "100")));
    bury(&system, letters.collect()).await?;
    // The lag of a group without offsets is the number of offsets in the topic, transaction markers
    // included.
    let written = || async {
        let lag = topic::lag(system.brokers(), "nobody", &system.topics.vouchers).await;
        lag.unwrap_or_default()
    };
    for _ in 0..3 {
        let before = written().await;
        let mut redrive = system.start_processor(&["redrive"], &[]).await?;
        wait::until("some vouchers", written, |now| {
            *now > before || *now > LETTERS
        })
        .await;
        redrive.kill().await?;
    }
    let last = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(last["still_open"], 0);
    let sources = sources(&system).await?;
    assert_eq!(sources.len(), usize::try_from(LETTERS)?);
    assert!(sources.values().all(|count| *count == 1));
    let states = format!("{}.state", system.topics.order_status_dead_letters());
    let states = topic::read(system.brokers(), &states).await?;
    assert_eq!(states.len(), usize::try_from(LETTERS)?);
    Ok(())
}

#[tokio::test]
async fn only_selected_dead_letters_are_redriven_and_by_todays_rule() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let letters = vec![
        letter(&system, 1, "unknown_status", sent(1, "80")),
        letter(&system, 2, "unknown_status", sent(2, "80")),
        letter(&system, 3, "invalid_total", sent(3, "80")),
        letter(&system, 1, "unknown_status", sent(1, "80")),
    ];
    bury(&system, letters).await?;
    let least = [("VOUCHER_MIN_TOTAL", "80")];
    let chosen = [
        "redrive",
        "--json",
        "--reason",
        "unknown_status",
        "--letter",
        "0/1",
    ];
    let redriven = system.run_processor(&chosen, &least).await?.json()?;
    assert_eq!(redriven["outcomes"], json!({"voucher": 1}));
    assert_eq!(redriven["repeats"], 1);
    let rest = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(rest["outcomes"], json!({"skipped: threshold": 2}));
    assert_eq!(
        rest["letters"][0]["result"]["message"],
        "total 80.00 EUR is below 100.00"
    );
    assert_eq!(
        sources(&system).await?,
        BTreeMap::from([("0/1".to_owned(), 1)])
    );
    Ok(())
}
