//! A record's value without its framing: the one place that decides which framing a value has.
//!
//! ```text
//! value ── Payload::of ──▶ unframed ──────────────────────▶ JSON ────────┐
//!                          framed, its schema is known ───▶ Avro or JSON ┴▶ read
//!   │ not known yet, or what was read has not the form of its format
//!   ▼
//! headers ─ SchemaHeaders ▶ the schema that they name ────▶ Avro or JSON ─▶ read
//!   │ they name none, or the value has not the form of its format either
//!   ▼
//! framed: the registry is asked for the schema; else a dead letter
//! ```
//!
//! Headers are looked at last, because the client allocates for those of every record that it is
//! asked for. What a value says by itself comes first for another reason as well: applications pass
//! headers on from the record that they have read to one that they write in another framing. A value
//! that can be read to its last byte, with the order id that its key says, is not something else
//! ([ADR 0025](../../../docs/adr/0025-a-value-says-its-framing.md) has the one exception).

use schemas::{Body, Malformed, Payload, Reason, SchemaHeaders, SchemaId, foreign_framing};

use crate::record::InputRecord;
use crate::registry::{Lookup, SchemaSource};

/// What a record holds.
#[derive(Debug)]
pub enum Value<T> {
    /// What was read in its value.
    Read(T),
    /// Its value is null.
    Tombstone,
    /// The registry is being asked for its schema: read it again later.
    Wait {
        /// The schema.
        schema_id: SchemaId,
    },
}

/// Why a value is not settled by its bytes.
enum Unsettled<'a> {
    /// It is framed, and its schema is not known yet.
    Schema(SchemaId, &'a [u8]),
    /// It could not be read.
    Fault(Malformed),
}

/// Reads a record's value with `read`, which takes the body in either format. `read` is called again,
/// with another body, when the first has not the form of its format.
///
/// # Errors
/// What is wrong with the value, or with its framing.
#[inline]
pub fn read<S, T>(
    record: &impl InputRecord,
    schemas: &mut S,
    mut read: impl FnMut(Body<'_, S::Plan>) -> Result<T, Malformed>,
) -> Result<Value<T>, Malformed>
where
    S: SchemaSource,
{
    let body = match Payload::of(record.value()) {
        Ok(Payload::Tombstone) => return Ok(Value::Tombstone),
        Ok(Payload::Unframed(bytes)) => Body::Json(bytes),
        Ok(Payload::Framed { schema_id, body }) => match schemas.known(schema_id) {
            Some(schema) => schema.body(body),
            None => {
                let unsettled = Unsettled::Schema(schema_id, body);
                return read_otherwise(record, unsettled, schemas, &mut read);
            }
        },
        Err(fault) => return read_otherwise(record, Unsettled::Fault(fault), schemas, &mut read),
    };
    match read(body) {
        Err(fault) if fault.reason().is_of_the_form() => {
            read_otherwise(record, Unsettled::Fault(fault), schemas, &mut read)
        }
        settled => settled.map(Value::Read),
    }
}

/// The rest of [`read`], apart so that it costs other records nothing.
#[cold]
#[inline(never)]
fn read_otherwise<S, T>(
    record: &impl InputRecord,
    unsettled: Unsettled<'_>,
    schemas: &mut S,
    read: &mut dyn FnMut(Body<'_, S::Plan>) -> Result<T, Malformed>,
) -> Result<Value<T>, Malformed>
where
    S: SchemaSource,
{
    let headers_fault = match read_by_headers(record, schemas, read) {
        None => None,
        Some(Err(fault)) if fault.reason().is_of_the_form() => Some(fault),
        Some(settled) => return settled,
    };
    let by_value = match unsettled {
        Unsettled::Schema(schema_id, body) => read_as(schema_id, body, schemas, read),
        Unsettled::Fault(fault) => Err(fault),
    };
    by_value.map_err(|fault| match headers_fault {
        // The headers tell what the writer meant; a zero byte may be the first of a bare body.
        Some(by_headers) if fault.reason().is_of_the_form() => by_headers,
        _ => explained(fault, record.value()),
    })
}

/// Reads the whole value by the schema that the headers name; none when they name no schema.
fn read_by_headers<S, T>(
    record: &impl InputRecord,
    schemas: &mut S,
    read: &mut dyn FnMut(Body<'_, S::Plan>) -> Result<T, Malformed>,
) -> Option<Result<Value<T>, Malformed>>
where
    S: SchemaSource,
{
    let (schema_id, header) = match schema_of_headers(record) {
        Ok(found) => found?,
        Err(fault) => return Some(Err(fault)),
    };
    let value = record.value().unwrap_or_default();
    Some(read_as(schema_id, value, schemas, read).map_err(|fault| {
        let message = format!("{} ({schema_id}, of the header {header})", fault.message());
        Malformed::new(fault.reason(), message)
    }))
}

fn read_as<S, T>(
    schema_id: SchemaId,
    body: &[u8],
    schemas: &mut S,
    read: &mut dyn FnMut(Body<'_, S::Plan>) -> Result<T, Malformed>,
) -> Result<Value<T>, Malformed>
where
    S: SchemaSource,
{
    match schemas.lookup(schema_id) {
        Lookup::Known(schema) => read(schema.body(body)).map(Value::Read),
        Lookup::Pending => Ok(Value::Wait { schema_id }),
        Lookup::Bad(malformed) => Err(malformed),
    }
}

fn schema_of_headers(
    record: &impl InputRecord,
) -> Result<Option<(SchemaId, &'static str)>, Malformed> {
    let mut headers = SchemaHeaders::default();
    record.each_header(&mut |name, value| headers.see(name, value));
    headers.schema()
}

/// The fault, with the framing that the value seems to have and what its writer has to do.
fn explained(fault: Malformed, value: Option<&[u8]>) -> Malformed {
    let seems = match (fault.reason(), Payload::of(value)) {
        (Reason::InvalidJson, Ok(Payload::Unframed(bytes))) => foreign_framing(bytes),
        (
            Reason::InvalidAvro,
            Ok(Payload::Framed {
                body: [b'{', ..], ..
            }),
        ) => Some(
            "its body starts as JSON does: of Avro only the binary encoding is read, set the \
             writer's apicurio.registry.avro.encoding=BINARY",
        ),
        _ => None,
    };
    match seems {
        Some(seems) => Malformed::new(fault.reason(), format!("{}; {seems}", fault.message())),
        None => fault,
    }
}

/// The framing of a record's value, for a person.
pub fn framing_of(record: &impl InputRecord) -> String {
    let by_value = match Payload::of(record.value()) {
        Ok(Payload::Tombstone) => return "null, a deletion".to_owned(),
        Ok(Payload::Unframed(_)) => "not framed".to_owned(),
        Ok(Payload::Framed { schema_id, body }) => {
            format!("{schema_id}, then {} bytes", body.len())
        }
        Err(fault) => fault.message().to_owned(),
    };
    match schema_of_headers(record) {
        Ok(None) if by_value == "not framed" => format!("{by_value}, so read as JSON"),
        Ok(None) => by_value,
        Ok(Some((schema_id, header))) => {
            format!("{by_value}; the header {header} names {schema_id}")
        }
        Err(fault) => format!("{by_value}; {fault}"),
    }
}
