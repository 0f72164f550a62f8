//! Order statuses as other writers produce them: the same fields as JSON and, by the Avro library's own
//! encoder, as Avro. The product's encoders are not used.

use std::collections::HashMap;

use anyhow::{Context, Result};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;

/// A placeholder for the record's key in the texts of fields.
pub(crate) const ID: &str = "ID";

/// A field of a record, in one or both formats.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: &'static str,
    json: Option<String>,
    avro: Option<(String, Content)>,
}

#[derive(Debug, Clone)]
enum Content {
    Is(Value),
    /// The record's key as a long.
    NumericId,
}

impl Field {
    /// Returns a field that only JSON can represent.
    pub(crate) fn json(name: &'static str, json: impl Into<String>) -> Self {
        Self {
            name,
            json: Some(json.into()),
            avro: None,
        }
    }

    /// Returns a field that only Avro can represent: the JSON text of its type, and its value.
    pub(crate) fn avro(name: &'static str, kind: impl Into<String>, value: Value) -> Self {
        Self {
            name,
            json: None,
            avro: Some((kind.into(), Content::Is(value))),
        }
    }

    /// Returns a field with its JSON text, and its Avro type and value.
    pub(crate) fn both(
        name: &'static str,
        json: impl Into<String>,
        kind: impl Into<String>,
        value: Value,
    ) -> Self {
        Self {
            json: Some(json.into()),
            ..Self::avro(name, kind, value)
        }
    }

    pub(crate) fn text(name: &'static str, text: &str) -> Self {
        let json = serde_json::Value::from(text).to_string();
        Self::both(name, json, "\"string\"", Value::String(text.to_owned()))
    }

    pub(crate) fn null(name: &'static str) -> Self {
        Self::both(name, "null", "\"null\"", Value::Null)
    }

    pub(crate) fn boolean(name: &'static str) -> Self {
        Self::both(name, "true", "\"boolean\"", Value::Boolean(true))
    }

    pub(crate) fn integer(name: &'static str, value: i64) -> Self {
        Self::both(name, value.to_string(), "\"long\"", Value::Long(value))
    }

    /// Returns a field that has the record's key as a number.
    pub(crate) fn numeric_id(name: &'static str) -> Self {
        Self {
            name,
            json: Some(ID.to_owned()),
            avro: Some(("\"long\"".to_owned(), Content::NumericId)),
        }
    }

    /// Returns an Avro decimal with exactly these unscaled bytes.
    pub(crate) fn decimal(name: &'static str, unscaled: &[u8], scale: u32) -> Self {
        let kind =
            format!(r#"{{"type":"bytes","logicalType":"decimal","precision":60,"scale":{scale}}}"#);
        Self::avro(name, kind, Value::Decimal(unscaled.to_vec().into()))
    }
}

/// Returns the fields of a sent order of 100.00 without a currency and without times. Each of `changes`
/// replaces the field of the same name, or is added.
pub(crate) fn sent(changes: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let total = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
    let unscaled = 10_000_i32.to_be_bytes().to_vec();
    let mut fields = vec![
        Field::text("order_id", ID),
        Field::text("status", "SENT"),
        Field::both(
            "total",
            "\"100.00\"",
            total,
            Value::Decimal(unscaled.into()),
        ),
    ];
    for change in changes {
        fields.retain(|field| field.name != change.name);
        fields.push(change);
    }
    fields
}

/// Returns the fields of [`sent`] without the named ones.
pub(crate) fn sent_without(names: &[&str], changes: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let mut fields = sent(changes);
    fields.retain(|field| !names.contains(&field.name));
    fields
}

/// Returns the fields as a JSON object, if JSON can represent all of them.
pub(crate) fn as_json(fields: &[Field], key: &str) -> Option<Vec<u8>> {
    let members = fields
        .iter()
        .map(|field| {
            let json = field.json.as_ref()?.replace(ID, key);
            Some(format!("\"{}\":{json}", field.name))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(format!("{{{}}}", members.join(",")).into_bytes())
}

/// Returns the fields as a writer's schema and the bytes of a record, if Avro can represent all of them.
pub(crate) fn as_avro(fields: &[Field], key: &str) -> Result<Option<(String, Vec<u8>)>> {
    let mut types = Vec::new();
    let mut values = Vec::new();
    for field in fields {
        let Some((kind, content)) = &field.avro else {
            return Ok(None);
        };
        types.push(format!(r#"{{"name":"{}","type":{kind}}}"#, field.name));
        let value = match content {
            Content::Is(value) => with_key(value.clone(), key),
            Content::NumericId => Value::Long(key.parse()?),
        };
        values.push((field.name.to_owned(), value));
    }
    let schema = format!(
        r#"{{"type":"record","name":"OrderStatus","namespace":"somebody.else","fields":[{}]}}"#,
        types.join(",")
    );
    let body = encode(&schema, Value::Record(values))?;
    Ok(Some((schema, body)))
}

/// Replaces [`ID`] by the key.
pub(crate) fn with_key(value: Value, key: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(ID, key)),
        Value::Union(branch, inner) => Value::Union(branch, Box::new(with_key(*inner, key))),
        Value::Record(fields) => Value::Record(
            fields
                .into_iter()
                .map(|(name, value)| (name, with_key(value, key)))
                .collect(),
        ),
        other => other,
    }
}

/// Encodes a value without framing.
pub(crate) fn encode(schema: &str, value: Value) -> Result<Vec<u8>> {
    let parsed = Schema::parse_str(schema).with_context(|| schema.to_owned())?;
    let writer = GenericDatumWriter::builder(&parsed).build()?;
    writer
        .write_value_to_vec(value)
        .with_context(|| schema.to_owned())
}

/// Adds Confluent's framing: a zero byte, the schema's id in four bytes, the body.
pub(crate) fn framed(schema_id: u32, body: &[u8]) -> Vec<u8> {
    let mut value = vec![0];
    value.extend_from_slice(&schema_id.to_be_bytes());
    value.extend_from_slice(body);
    value
}

/// Returns a sent order of 100.00 in JSON.
pub(crate) fn good_json(key: &str) -> NewRecord {
    NewRecord::new(
        key,
        as_json(&sent([]), key).expect("every field is there in JSON"),
    )
}

/// Registers each writer's schema once, under a subject of its own, because third-party writers are not
/// bound to the compatibility rules of the contract.
pub(crate) struct WriterSchemas<'s> {
    system: &'s TestSystem,
    ids: HashMap<String, u32>,
}

impl<'s> WriterSchemas<'s> {
    pub(crate) fn new(system: &'s TestSystem) -> Self {
        Self {
            system,
            ids: HashMap::new(),
        }
    }

    /// Returns the id of a schema; any number if there is no registry.
    pub(crate) async fn id(&mut self, schema: &str) -> Result<u32> {
        if !self.system.has_registry() {
            return Ok(1);
        }
        if let Some(id) = self.ids.get(schema) {
            return Ok(*id);
        }
        let subject = format!("writer-{}-{}", self.system.name, self.ids.len());
        let id = self
            .system
            .backends
            .register_schema(&subject, schema)
            .await?;
        let id = u32::try_from(id)?;
        self.ids.insert(schema.to_owned(), id);
        Ok(id)
    }
}
