//! Bytes and schemas that are no order status: other top levels, cut and broken bytes, other kinds of
//! schema.

use anyhow::{Context, Result};
use apache_avro::types::Value;
use end_to_end::system::TestSystem;
use serde_json::json;

use super::{record, some, text};
use crate::record::{ID, encode, framed};
use crate::table::{Case, Expected::Dead, VOUCHER, dead};

const PLAIN: &str = r#"{"type":"record","name":"OrderStatus","fields":[
    {"name":"order_id","type":"string"},
    {"name":"status","type":"string"},
    {"name":"total","type":"int"},
    {"name":"note","type":["null","string"]}]}"#;

fn plain() -> Value {
    record([
        ("order_id", text(ID)),
        ("status", text("SENT")),
        ("total", Value::Int(100)),
        ("note", some(0, Value::Null)),
    ])
}

pub(super) fn top_levels() -> Result<Vec<Case>> {
    let union = format!(r#"["null",{PLAIN}]"#);
    let no_record = |schema: &str, value| -> Result<Case> {
        Ok(Case::framed(
            format!("top level: {schema}"),
            schema,
            encode(schema, value)?,
            Dead("unsupported_schema", "neither a record nor a union"),
        ))
    };
    Ok(vec![
        Case::avro(
            "top level: a union's record",
            union.clone(),
            some(1, plain()),
            VOUCHER,
        ),
        Case::avro(
            "top level: a union's null",
            union,
            some(0, Value::Null),
            dead("not_an_object"),
        ),
        no_record("\"string\"", text(ID))?,
        no_record(
            r#"{"type":"array","items":"long"}"#,
            Value::Array(vec![Value::Long(1)]),
        )?,
    ])
}

/// Returns cases of names that the registry accepts and Avro's specification does not. The bytes are
/// encoded with ASCII names, because the library accepts no others. This registry refuses a hyphen and `$`,
/// which other registries accept: the tests of the plan in `schemas` cover those.
pub(super) fn names() -> Result<Vec<Case>> {
    let schema = |namespace: &str, name: &str, kind: &str, field: &str| {
        json!({
            "type": "record", "name": name, "namespace": namespace, "fields": [
                {"name": field, "type": {"type": "enum", "name": kind, "symbols": ["A", "B"]}},
                {"name": "order_id", "type": "string"},
                {"name": "status", "type": "string"},
                {"name": "other", "type": ["null", kind]},
                {"name": "total", "type": "int"},
            ],
        })
        .to_string()
    };
    let value = record([
        ("field", Value::Enum(1, "B".to_owned())),
        ("order_id", text(ID)),
        ("status", text("SENT")),
        ("other", some(1, Value::Enum(0, "A".to_owned()))),
        ("total", Value::Int(100)),
    ]);
    let body = |key: &str| {
        let value = crate::record::with_key(value.clone(), key);
        encode(&schema("ascii", "Order", "Kind", "field"), value)
    };
    let key = "17";
    let text = schema("de.geschäft", "Bestellung", "Größe", "größe");
    let name = "names: letters beyond ASCII";
    Ok(vec![Case::framed(name, text, body(key)?, VOUCHER).key(key)])
}

/// Returns cases of bytes that do not follow the schema that their framing names. The key is 17.
pub(super) fn broken_bytes() -> Result<Vec<Case>> {
    // 4 17, 8 SENT, 200 (zigzag of 100 in two bytes), branch 0
    let good = b"\x0417\x08SENT\xc8\x01\x00".to_vec();
    let case = |what: &str, body: Vec<u8>, expected| {
        Case::framed(format!("bytes: {what}"), PLAIN, body, expected).key("17")
    };
    let changed = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        body
    };
    let invalid = |field| Dead("invalid_avro", field);
    let mut cases = vec![
        case("as they should be", good.clone(), VOUCHER),
        case("none", Vec::new(), invalid("order_id")),
        case(
            "one too many",
            [good.as_slice(), &[0]].concat(),
            dead("trailing_bytes"),
        ),
        case("a second record", good.repeat(2), dead("trailing_bytes")),
        case("a branch that is none", changed(10, 4), invalid("note")),
        case("a negative branch", changed(10, 1), invalid("note")),
        case(
            "a length beyond the end",
            changed(3, 0x7e),
            invalid("status"),
        ),
        case("a negative length", changed(3, 0x07), invalid("status")),
        case(
            "a string that is not UTF-8",
            changed(4, 0xff),
            invalid("status"),
        ),
        case(
            "an int without end",
            [&good[..8], &[0xff; 11]].concat(),
            invalid("total"),
        ),
    ];
    for length in 1..good.len() {
        cases.push(case(
            &format!("cut after {length} of {}", good.len()),
            good[..length].to_vec(),
            dead("invalid_avro"),
        ));
    }
    // The block claims 2^40 items of zero bytes each.
    let nulls = r#"{"type":"record","name":"OrderStatus","fields":[
        {"name":"many","type":{"type":"array","items":"null"}}]}"#;
    let count = [0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0];
    cases.push(Case::framed(
        "bytes: items without number",
        nulls,
        count.to_vec(),
        Dead("invalid_avro", "far more values than bytes"),
    ));
    Ok(cases)
}

/// Returns cases of schemas in the registry that are not Avro.
pub(super) async fn other_kinds_of_schema(system: &TestSystem) -> Result<Vec<Case>> {
    let subject = |what: &str| format!("{what}-{}", system.name);
    let kinds = [
        (
            "JSON Schema",
            json!({"schemaType": "JSON", "schema": r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#}),
        ),
        (
            "Protobuf",
            json!({"schemaType": "PROTOBUF", "schema": "syntax = \"proto3\"; message OrderStatus { string order_id = 1; }"}),
        ),
    ];
    let mut cases = Vec::new();
    for (number, (name, body)) in kinds.into_iter().enumerate() {
        let url = format!(
            "{}/subjects/{}/versions",
            system.backends.schema_registry_url(),
            subject(&format!("kind-{number}"))
        );
        let answer = reqwest::Client::new().post(url).json(&body).send().await?;
        let answer: serde_json::Value = answer.error_for_status()?.json().await?;
        let id = answer["id"].as_u64().context("an id")?;
        // The bytes are not JSON either.
        let reason = match name {
            "JSON Schema" => "invalid_json",
            _ => "unsupported_schema",
        };
        cases.push(Case::bytes(
            format!("registered as {name}"),
            framed(u32::try_from(id)?, b"\0\x0417"),
            dead(reason),
        ));
    }
    Ok(cases)
}
