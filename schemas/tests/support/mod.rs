//! Records for the tests: the same fields as JSON and, by the library's encoder, as Avro.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use schemas::{
    Currency, Malformed, OrderStatus, OrderStatusPlan, ValueFormat, Voucher, VoucherPlan,
};

/// A field of a record, in one or both formats.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: &'static str,
    /// Its JSON text.
    pub json: Option<String>,
    /// Its Avro type's JSON text, and its value.
    pub avro: Option<(String, Value)>,
}

impl Field {
    pub fn json(name: &'static str, json: impl Into<String>) -> Self {
        Self {
            name,
            json: Some(json.into()),
            avro: None,
        }
    }

    pub fn avro(name: &'static str, kind: impl Into<String>, value: Value) -> Self {
        Self {
            name,
            json: None,
            avro: Some((kind.into(), value)),
        }
    }

    pub fn both(
        name: &'static str,
        json: impl Into<String>,
        kind: impl Into<String>,
        value: Value,
    ) -> Self {
        Self {
            name,
            json: Some(json.into()),
            avro: Some((kind.into(), value)),
        }
    }

    /// A string in both formats.
    pub fn text(name: &'static str, text: &str) -> Self {
        let json = serde_json::to_string(text).unwrap();
        Self::both(name, json, "\"string\"", Value::String(text.to_owned()))
    }

    /// A null in both formats.
    pub fn null(name: &'static str) -> Self {
        Self::both(name, "null", "\"null\"", Value::Null)
    }

    /// A boolean in both formats.
    pub fn boolean(name: &'static str) -> Self {
        Self::both(name, "true", "\"boolean\"", Value::Boolean(true))
    }

    /// An integer in both formats.
    pub fn integer(name: &'static str, value: i64) -> Self {
        Self::both(name, value.to_string(), "\"long\"", Value::Long(value))
    }
}

pub const LOCAL: &str = "CHF";

pub fn local() -> Currency {
    LOCAL.parse().unwrap()
}

/// The fields as a JSON object, if all of them are there in JSON.
pub fn as_json(fields: &[Field]) -> Option<String> {
    let members = fields
        .iter()
        .map(|field| Some(format!("\"{}\":{}", field.name, field.json.as_ref()?)))
        .collect::<Option<Vec<_>>>()?;
    Some(format!("{{{}}}", members.join(",")))
}

/// The fields as a schema and a record's bytes, if all of them are there in Avro.
pub fn as_avro(fields: &[Field]) -> Option<(String, Vec<u8>)> {
    let types = fields
        .iter()
        .map(|field| {
            Some(format!(
                r#"{{"name":"{}","type":{}}}"#,
                field.name,
                field.avro.as_ref()?.0
            ))
        })
        .collect::<Option<Vec<_>>>()?;
    let schema = format!(
        r#"{{"type":"record","name":"R","fields":[{}]}}"#,
        types.join(",")
    );
    let values = fields.iter().filter_map(|field| {
        field
            .avro
            .as_ref()
            .map(|(_, value)| (field.name.to_owned(), value.clone()))
    });
    let body = encode(&schema, Value::Record(values.collect()));
    Some((schema, body))
}

pub fn encode(schema: &str, value: Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

/// Reads an order status in every format that its fields are there in. The results must agree.
#[track_caller]
pub fn read<'k>(key: Option<&'k [u8]>, fields: &[Field]) -> Result<OrderStatus<'k>, Malformed> {
    let mut results = Vec::new();
    if let Some(json) = as_json(fields) {
        results.push(OrderStatus::read(
            key,
            json.as_bytes(),
            ValueFormat::Json,
            local(),
        ));
    }
    if let Some((schema, body)) = as_avro(fields) {
        let plan = OrderStatusPlan::compile(&schema).unwrap();
        results.push(OrderStatus::read(
            key,
            &body,
            ValueFormat::Avro(&plan),
            local(),
        ));
    }
    let result = results.pop().expect("a record is there in some format");
    for other in results {
        match (&result, &other) {
            (Err(one), Err(other)) => assert_eq!(one.reason(), other.reason(), "{one}; {other}"),
            _ => assert_eq!(result, other),
        }
    }
    result
}

/// Reads a voucher likewise. Returns it as text, because it borrows from bytes that are gone after this.
/// The text shows the code.
#[track_caller]
pub fn read_voucher(key: Option<&[u8]>, fields: &[Field]) -> Result<String, Malformed> {
    let shown = |voucher: Voucher<'_>| format!("{voucher:?}").replace("****", &voucher.code);
    let mut results = Vec::new();
    if let Some(json) = as_json(fields) {
        results.push(Voucher::read(key, json.as_bytes(), ValueFormat::Json).map(shown));
    }
    if let Some((schema, body)) = as_avro(fields) {
        let plan = VoucherPlan::compile(&schema).unwrap();
        results.push(Voucher::read(key, &body, ValueFormat::Avro(&plan)).map(shown));
    }
    let result = results.pop().expect("a record is there in some format");
    for other in results {
        match (&result, &other) {
            (Err(one), Err(other)) => assert_eq!(one.reason(), other.reason(), "{one}; {other}"),
            _ => assert_eq!(result, other),
        }
    }
    result
}

/// `fields` with one of them replaced by another of the same name, or added.
pub fn with(fields: &[Field], field: Field) -> Vec<Field> {
    let mut fields = without(fields, field.name);
    fields.push(field);
    fields
}

pub fn without(fields: &[Field], name: &str) -> Vec<Field> {
    fields
        .iter()
        .filter(|field| field.name != name)
        .cloned()
        .collect()
}
