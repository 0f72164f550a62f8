//! Avro of any writer's schema: both the schema and the bytes may be hostile.

use apache_avro::Schema;
use apache_avro::error::Details;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{InnerDecimalSchema, RecordSchema};
use apache_avro::types::Value;
use apache_avro::util::max_allocation_bytes;
use num_bigint::BigInt;
use schemas::{
    Currency, Malformed, OrderStatus, OrderStatusPlan, Reason, RecordType, Timestamp, ValueFormat,
    VoucherPlan,
};

use crate::made_schema::MadeSchema;
use crate::script::Script;
use crate::sound;

const EUR: Currency = Currency::EUR;

/// How much the library may allocate, which is more than any body here needs.
const LIBRARY_BYTES: usize = 1 << 18;

/// A schema's text up to the first zero byte, then a record's bytes.
pub(crate) fn any_schema(input: &[u8]) {
    let end = input
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(input.len());
    let Ok(text) = std::str::from_utf8(&input[..end]) else {
        return;
    };
    let body = input.get(end + 1..).unwrap_or_default();
    let vouchers = VoucherPlan::compile(text).map(drop);
    match OrderStatusPlan::compile(text) {
        Err(malformed) => {
            sound::refusal(&malformed);
            assert_eq!(malformed.reason(), Reason::UnsupportedSchema);
            assert_eq!(vouchers, Err(malformed));
        }
        Ok(plan) => {
            assert_eq!(vouchers, Ok(()));
            if let Err(malformed) =
                OrderStatus::read(Some(b"17"), body, ValueFormat::Avro(&plan), EUR)
            {
                sound::refusal(&malformed);
            }
        }
    }
}

/// Builds a schema and a body of it, and reads it by our reader, by the library's, and by our JSON
/// reader.
pub(crate) fn made_schema(input: &[u8]) {
    max_allocation_bytes(LIBRARY_BYTES);
    let mut script = Script::new(input);
    let made = MadeSchema::of(&mut script);
    let text = made.text();
    let body = made.body(&mut script);
    let schema = Schema::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let plan = OrderStatusPlan::compile(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    agree(&schema, &plan, &body);
}

/// What our reader says about the form alone.
enum Form {
    Sound,
    Broken,
    /// Refused for a fault that the library does not check.
    Stricter,
    /// A branch of the top level's union that is no record.
    NoRecord,
}

fn form_of(malformed: Option<&Malformed>) -> Form {
    const OURS: [&str; 7] = [
        // The library reads a record's early end as nulls.
        "the record ends within an integer",
        "the record ends within a value",
        "a length that is negative or beyond the record's end",
        "nest deeper",
        "far more values",
        "a block of another size",
        "an integer beyond 64 bits",
    ];
    match malformed.map(Malformed::reason) {
        Some(Reason::InvalidAvro | Reason::TrailingBytes) => {
            let message = malformed.map(Malformed::message).unwrap_or_default();
            match OURS.iter().any(|fault| message.contains(fault)) {
                true => Form::Stricter,
                false => Form::Broken,
            }
        }
        Some(Reason::NotAnObject) => Form::NoRecord,
        _ => Form::Sound,
    }
}

fn agree(schema: &Schema, plan: &OrderStatusPlan, body: &[u8]) {
    let form = match OrderStatus::read(Some(b"17"), body, ValueFormat::Avro(plan), EUR) {
        Ok(_) => Form::Sound,
        Err(malformed) => {
            sound::refusal(&malformed);
            form_of(Some(&malformed))
        }
    };
    if matches!(form, Form::Stricter) {
        return;
    }
    let mut rest = body;
    let reader = GenericDatumReader::builder(schema).build();
    let read = reader
        .expect("a schema that was parsed")
        .read_value(&mut rest);
    match (form, read) {
        (Form::Broken, Ok(value)) => {
            assert!(!rest.is_empty(), "refused, and the library reads {value:?}");
        }
        (Form::Sound, Ok(value)) => {
            assert_eq!(rest, b"", "taken, and the library stops before its end");
            alike(schema, &value, plan, body);
        }
        (Form::Sound, Err(error)) => {
            // We don't check the UTF-8 of fields that are not read; the library bounds its own memory.
            let excused = matches!(
                error.details(),
                Details::ConvertToUtf8(_)
                    | Details::ConvertToUtf8Error(_)
                    | Details::MemoryAllocation { .. }
            );
            assert!(excused, "taken, and the library says {error}");
        }
        _ => {}
    }
}

/// Asserts that the record that the library read, written as JSON, has the result of its Avro bytes.
fn alike(schema: &Schema, value: &Value, plan: &OrderStatusPlan, body: &[u8]) {
    let (schema, value) = match (schema, value) {
        (Schema::Union(union), Value::Union(branch, value)) => {
            (&union.variants()[*branch as usize], &**value)
        }
        other => other,
    };
    let (Schema::Record(record), Value::Record(fields)) = (schema, value) else {
        panic!("{value:?} is no record");
    };
    let Some((json, key)) = as_json(record, fields) else {
        return;
    };
    let key = Some(key.as_bytes());
    let reason = |malformed: Malformed| malformed.reason();
    assert_eq!(
        OrderStatus::read(key, body, ValueFormat::Avro(plan), EUR).map_err(reason),
        OrderStatus::read(key, json.as_bytes(), ValueFormat::Json, EUR).map_err(reason),
        "{json}"
    );
}

/// Returns the record as JSON and its key, `None` if JSON has no equal for one of its values.
fn as_json(record: &RecordSchema, fields: &[(String, Value)]) -> Option<(String, String)> {
    let mut members = Vec::new();
    let mut keys = [None, None];
    for ((name, value), field) in fields.iter().zip(&record.fields) {
        if !OrderStatus::FIELDS.contains(&name.as_str()) {
            continue;
        }
        let json = field_json(name, &field.schema, value)?;
        let key = serde_json::from_str(&json).unwrap_or_else(|_| Some(json.clone()));
        match name.as_str() {
            "order_id" => keys[0] = key,
            "id" => keys[1] = key,
            _ => {}
        }
        members.push(format!("\"{name}\":{json}"));
    }
    let key = keys.into_iter().flatten().next();
    Some((
        format!("{{{}}}", members.join(",")),
        key.unwrap_or_else(|| "17".to_owned()),
    ))
}

/// Returns a field's JSON text. `true` stands for every type that the field cannot have.
fn field_json(name: &str, schema: &Schema, value: &Value) -> Option<String> {
    let is_time = matches!(name, "occurred_at" | "sent_at");
    Some(match (schema, value) {
        (Schema::Union(union), Value::Union(branch, value)) => {
            field_json(name, &union.variants()[*branch as usize], value)?
        }
        (_, Value::Null) => "null".to_owned(),
        (_, Value::String(text) | Value::Enum(_, text)) => serde_json::to_string(text).ok()?,
        (_, Value::Int(value)) => value.to_string(),
        (_, Value::Long(value)) => value.to_string(),
        (Schema::Decimal(decimal), Value::Decimal(value)) if name == "total" => {
            let bytes = match &decimal.inner {
                InnerDecimalSchema::Bytes => Vec::<u8>::try_from(value).ok()?,
                InnerDecimalSchema::Fixed(_) => Vec::<u8>::try_from(value).ok()?,
            };
            format!(
                "{}e-{}",
                BigInt::from_signed_bytes_be(&bytes),
                decimal.scale
            )
        }
        // A named type that was defined before: its scale is not at hand.
        (_, Value::Decimal(_)) if name == "total" => return None,
        (_, Value::TimestampMillis(millis)) if is_time => millis.to_string(),
        (_, Value::TimestampMicros(micros)) if is_time => {
            let time = Timestamp::from_micros(*micros);
            match time.is_in_range() {
                true => format!("\"{time}\""),
                false => time.as_millis().to_string(),
            }
        }
        _ => "true".to_owned(),
    })
}
