//! Schemas that refer to types of other subjects, as writers that share types register them.

use anyhow::{Context, Result};
use apache_avro::types::Value;
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;
use serde_json::json;

use crate::record::{encode, framed, good_json};

const MONEY: &str = r#"{"type":"fixed","name":"Money","namespace":"shop.types","size":8,
    "logicalType":"decimal","precision":18,"scale":4}"#;

const COUNTRY: &str = r#"{"type":"enum","name":"Country","namespace":"shop.types",
    "symbols":["AT","DE","CH"]}"#;

/// Refers to `COUNTRY` and `MONEY`.
const CUSTOMER: &str = r#"{"type":"record","name":"Customer","namespace":"shop.types","fields":[
    {"name":"order_id","type":"string"},
    {"name":"country","type":"Country"},
    {"name":"spent","type":["null","Money"]}]}"#;

/// Refers to `CUSTOMER`, and directly to `MONEY` and `COUNTRY`.
const ORDER: &str = r#"{"type":"record","name":"OrderStatus","namespace":"shop","fields":[
    {"name":"customer","type":"shop.types.Customer"},
    {"name":"status","type":"string"},
    {"name":"total","type":"shop.types.Money"},
    {"name":"order_id","type":"string"},
    {"name":"sold_in","type":["null","shop.types.Country"]}]}"#;

/// Returns the order's schema as one text, for the library that writes the bytes.
fn inlined() -> String {
    let customer = CUSTOMER
        .replace("\"Country\"", COUNTRY)
        .replace("\"Money\"", MONEY);
    ORDER.replace("\"shop.types.Customer\"", &customer)
}

fn order(id: &str, unscaled: i64) -> Value {
    let fields = |fields: Vec<(&str, Value)>| {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Value::Record(fields.collect())
    };
    let money = |unscaled: i64| Value::Decimal(unscaled.to_be_bytes().to_vec().into());
    let customer = fields(vec![
        ("order_id", Value::String("somebody".to_owned())),
        ("country", Value::Enum(2, "CH".to_owned())),
        ("spent", Value::Union(1, Box::new(money(9_999_999)))),
    ]);
    fields(vec![
        ("customer", customer),
        ("status", Value::String("SENT".to_owned())),
        ("total", money(unscaled)),
        ("order_id", Value::String(id.to_owned())),
        (
            "sold_in",
            Value::Union(1, Box::new(Value::Enum(0, "AT".to_owned()))),
        ),
    ])
}

/// Registers a schema that refers to the first versions of these subjects; `references` are type names and
/// subjects.
async fn register(
    system: &TestSystem,
    subject: &str,
    schema: &str,
    references: &[(&str, &str)],
) -> Result<u32> {
    let references: Vec<_> = references
        .iter()
        .map(|(name, subject)| {
            json!({"name": name, "subject": format!("{subject}-{}", system.name), "version": 1})
        })
        .collect();
    let url = format!(
        "{}/subjects/{subject}-{}/versions",
        system.backends.schema_registry_url(),
        system.name
    );
    let body = json!({"schemaType": "AVRO", "schema": schema, "references": references});
    let answer = reqwest::Client::new().post(url).json(&body).send().await?;
    let answer: serde_json::Value = answer.error_for_status()?.json().await?;
    Ok(u32::try_from(answer["id"].as_u64().context("an id")?)?)
}

#[tokio::test]
async fn a_schema_is_read_with_all_that_it_refers_to() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let country = ("shop.types.Country", "country");
    let money = ("shop.types.Money", "money");
    let customer = ("shop.types.Customer", "customer");
    register(&system, "money", MONEY, &[]).await?;
    register(&system, "country", COUNTRY, &[]).await?;
    register(&system, "customer", CUSTOMER, &[country, money]).await?;
    let references = [customer, money, country];
    let id = register(&system, "order", ORDER, &references).await?;
    // The same record as one branch of a union, for a topic with several types.
    let of_union = r#"["null","shop.OrderStatus"]"#;
    let union = register(
        &system,
        "events",
        of_union,
        &[("shop.OrderStatus", "order")],
    )
    .await?;

    let schema = inlined();
    let record = |key: &str, id: u32, prefix: &[u8], unscaled: i64| -> Result<NewRecord> {
        let body = encode(&schema, order(key, unscaled))?;
        Ok(NewRecord::new(key, framed(id, &[prefix, &body].concat())))
    };
    system
        .write_orders(vec![
            record("eligible", id, b"", 1_000_000)?,
            record("below", id, b"", 999_999)?,
            record("of-union", union, b"\x02", 1_000_000)?,
            good_json("behind"),
        ])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let letters = system.dead_letters().await?;
    let reasons: Vec<_> = letters
        .iter()
        .map(|one| one.header("dlq.message"))
        .collect();
    assert!(letters.is_empty(), "{reasons:?}");
    let vouchers = system.voucher_records().await?;
    let mut keys: Vec<_> = vouchers
        .iter()
        .filter_map(|voucher| voucher.key.clone())
        .map(|key| String::from_utf8_lossy(&key).into_owned())
        .collect();
    keys.sort();
    assert_eq!(keys, ["behind", "eligible", "of-union"]);

    let explained = system.run_processor(&["explain", "below"], &[]).await?;
    assert!(
        explained.stdout.contains("99.9999 EUR is below"),
        "{explained:?}"
    );
    Ok(())
}
