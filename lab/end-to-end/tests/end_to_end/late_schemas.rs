//! Records whose schema is registered later, or never.
//!
//! The tests have a registry of their own, so that the id of the next schema is known before it is
//! registered.

use std::sync::Arc;

use anyhow::Result;
use apache_avro::types::Value;
use end_to_end::backends::own_registry;
use end_to_end::http::readiness;
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::NewRecord;
use end_to_end::wait;
use stack::Backends;

use crate::record::{encode, framed, good_json};

/// The order of every record. One key, so that all records are in one partition in the order in which they
/// are written.
const KEY: &str = "17";

/// Returns a writer's schema, which a field makes different from every other.
fn schema(name: &str) -> String {
    format!(
        r#"{{"type":"record","name":"OrderStatus","fields":[
            {{"name":"order_id","type":"string"}},
            {{"name":"status","type":"string"}},
            {{"name":"total","type":"int"}},
            {{"name":"{name}","type":"null"}}]}}"#
    )
}

fn record(name: &str, id: u32) -> Result<NewRecord> {
    let fields = [
        ("order_id", Value::String(KEY.to_owned())),
        ("status", Value::String("SENT".to_owned())),
        ("total", Value::Int(100)),
        (name, Value::Null),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    let body = encode(&schema(name), Value::Record(fields.into()))?;
    Ok(NewRecord::new(KEY, framed(id, &body)))
}

async fn register(backends: &Backends, name: &str) -> Result<u32> {
    let id = backends.register_schema(name, &schema(name)).await?;
    Ok(u32::try_from(id)?)
}

async fn vouchers(system: &TestSystem) -> usize {
    system
        .voucher_records()
        .await
        .map_or(0, |vouchers| vouchers.len())
}

#[tokio::test]
async fn a_schema_that_comes_late_is_waited_for_and_one_that_never_comes_is_not() -> Result<()> {
    let backends = Arc::new(own_registry("late-schemas").await);
    let system = TestSystem::on(Arc::clone(&backends), true).await?;
    let _processor = system.processor().await?;

    // The first record becomes a voucher, which shows that the processor has reached the second one, which
    // it cannot read.
    let id = register(&backends, "probe").await? + 1;
    system
        .write_orders(vec![good_json(KEY), record("late", id)?])
        .await?;
    let count = || vouchers(&system);
    wait::until("the first voucher", count, |count| *count == 1).await;
    assert_eq!(register(&backends, "late").await?, id);
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(vouchers(&system).await, 2);
    assert!(system.dead_letters().await?.is_empty());

    let never = record("never", 0x7fff_ffff)?;
    system
        .write_orders(vec![good_json(KEY), never.clone(), good_json(KEY)])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(vouchers(&system).await, 4, "the flow goes on behind it");
    let letters = system.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value, never.value);
    let header = |name| letters[0].header(name).unwrap_or_default();
    assert_eq!(header("dlq.reason"), "unknown_schema");
    assert!(header("dlq.message").contains("schema 2147483647"));

    the_circuit_closes_when_the_schema_is_there(backends).await
}

/// Part of the test above, because it needs the same registry.
async fn the_circuit_closes_when_the_schema_is_there(backends: Arc<Backends>) -> Result<()> {
    let system = TestSystem::on(Arc::clone(&backends), true).await?;
    let command = system.processor_command("1").await?;
    let processor = ready(command.env("DEAD_LETTER_LIMIT", "0")).await?;
    // The circuit opens only after this many records.
    system.write_orders(vec![good_json(KEY); 1000]).await?;
    let id = register(&backends, "another_probe").await? + 1;
    system
        .write_orders(vec![record("later", id)?, good_json(KEY)])
        .await?;
    let ready = || async { readiness(&processor).await.unwrap_or_default() };
    let (_, parts) = wait::until("the circuit to open", ready, |(code, _)| *code == 503).await;
    let reason = parts["parts"]["task-0"].as_str().unwrap_or_default();
    assert!(reason.contains("unknown_schema 1"), "{parts}");
    assert_eq!(vouchers(&system).await, 1000);

    assert_eq!(register(&backends, "later").await?, id);
    wait::until("the circuit to close", ready, |(code, _)| *code == 200).await;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(vouchers(&system).await, 1002);
    assert!(system.dead_letters().await?.is_empty());
    Ok(())
}

/// A console producer that was given a zero byte writes a value that begins as framed Avro, with an id that
/// no registry assigns.
#[tokio::test]
async fn an_id_that_no_registry_gives_is_a_dead_letter_and_stops_nothing() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let typed = NewRecord::new("77", b"\0\xc3\xa9\xc3\xa9x".to_vec());
    system
        .write_orders(vec![typed.clone(), good_json("77"), good_json("78")])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(vouchers(&system).await, 2);
    let letters = system.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value, typed.value);
    let reason = letters[0].header("dlq.reason");
    assert_eq!(reason.as_deref(), Some("unknown_schema"));
    Ok(())
}
