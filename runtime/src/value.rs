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
use crate::wording::count;

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

/// Reads a body as Avro by a plan, or as JSON.
type Reader<'f, P, T> = dyn FnMut(Body<'_, P>) -> Result<T, Malformed> + 'f;

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
    read: &mut Reader<'_, S::Plan, T>,
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
    read: &mut Reader<'_, S::Plan, T>,
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
    read: &mut Reader<'_, S::Plan, T>,
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
        (Reason::UnknownSchema, Ok(Payload::Framed { schema_id, .. }))
            if !schema_id.is_possible() =>
        {
            Some("the value starts with a zero byte, so what follows was taken for a schema's id")
        }
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
            format!("{schema_id}, then {}", count(body.len(), "byte"))
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

#[cfg(test)]
mod tests {
    use schemas::WriterSchema;

    use super::*;
    use crate::record::{Offset, OwnedRecord, Partition};

    const AVRO: WriterSchema<&str> = WriterSchema::Avro("avro:");
    const JSON: WriterSchema<&str> = WriterSchema::Json;

    /// What an Avro body starts with is its plan.
    struct Registry {
        /// Known to the loop already.
        known: Vec<(SchemaId, WriterSchema<&'static str>)>,
        /// Known once it was asked for.
        registered: Vec<(SchemaId, WriterSchema<&'static str>)>,
        asked: Vec<SchemaId>,
    }

    impl Registry {
        fn of(
            registered: impl IntoIterator<Item = (SchemaId, WriterSchema<&'static str>)>,
        ) -> Self {
            Self {
                known: Vec::new(),
                registered: registered.into_iter().collect(),
                asked: Vec::new(),
            }
        }

        fn and_known(mut self) -> Self {
            self.known.append(&mut self.registered);
            self
        }
    }

    impl SchemaSource for Registry {
        type Plan = &'static str;

        fn lookup(&mut self, id: SchemaId) -> Lookup<'_, &'static str> {
            self.asked.push(id);
            let mut all = self.known.iter().chain(&self.registered);
            match all.find(|(known, _)| *known == id) {
                Some((_, schema)) => Lookup::Known(schema),
                None if id == PENDING => Lookup::Pending,
                None => Lookup::Bad(Malformed::new(Reason::UnknownSchema, "not registered")),
            }
        }

        fn known(&mut self, id: SchemaId) -> Option<&WriterSchema<&'static str>> {
            let found = self.known.iter().find(|(known, _)| *known == id);
            found.map(|(_, schema)| schema)
        }
    }

    const PENDING: SchemaId = SchemaId::Id(404);

    fn record(value: &[u8], headers: &[(&str, &[u8])]) -> OwnedRecord {
        let headers = headers.iter();
        OwnedRecord {
            value: Some(value.to_vec()),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), Some(value.to_vec())))
                .collect(),
            ..OwnedRecord::default()
        }
    }

    /// `{...}` is JSON; an Avro body starts with its plan.
    fn form_of(body: Body<'_, &'static str>) -> Result<String, Malformed> {
        let fault = |reason| Err(Malformed::new(reason, "broken"));
        match body {
            Body::Json(b"{\"status\":\"LOST\"}") => fault(Reason::UnknownStatus),
            Body::Json(json @ [b'{', .., b'}']) => Ok(String::from_utf8_lossy(json).into_owned()),
            Body::Json(_) => fault(Reason::InvalidJson),
            Body::Avro(body, plan) if body.starts_with(plan.as_bytes()) => {
                Ok(String::from_utf8_lossy(body).into_owned())
            }
            Body::Avro(..) => fault(Reason::InvalidAvro),
        }
    }

    fn told(record: &impl InputRecord, registry: &mut Registry) -> Result<String, Malformed> {
        Ok(match read(record, registry, form_of)? {
            Value::Read(text) => text,
            Value::Tombstone => "tombstone".to_owned(),
            Value::Wait { schema_id } => format!("wait for {schema_id}"),
        })
    }

    const SEVEN: SchemaId = SchemaId::Id(7);
    const GLOBAL: SchemaId = SchemaId::GlobalId(7);
    const GLOBAL_ID: (&str, &[u8]) = ("apicurio.value.globalId", b"\0\0\0\0\0\0\0\x07");

    #[test]
    fn the_registry_says_whether_a_framed_body_is_avro_or_json() {
        for (schema, body) in [(AVRO, "avro:17"), (JSON, "{17}")] {
            let value = [b"\0\0\0\0\x07", body.as_bytes()].concat();
            let mut registry = Registry::of([(SEVEN, schema)]);
            assert_eq!(told(&record(&value, &[]), &mut registry).unwrap(), body);
        }
        let mut registry = Registry::of([(GLOBAL, AVRO)]);
        let value = b"\0\0\0\0\0\0\0\0\x07avro:17";
        assert_eq!(told(&record(value, &[]), &mut registry).unwrap(), "avro:17");
    }

    /// A record whose headers nobody may ask for.
    struct Headless(OwnedRecord);

    impl InputRecord for Headless {
        fn partition(&self) -> Partition {
            0
        }
        fn offset(&self) -> Offset {
            0
        }
        fn timestamp_millis(&self) -> Option<i64> {
            None
        }
        fn key(&self) -> Option<&[u8]> {
            None
        }
        fn value(&self) -> Option<&[u8]> {
            self.0.value()
        }
        fn each_header(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {
            panic!("the client would allocate for the headers");
        }
    }

    #[test]
    fn headers_of_a_record_that_its_bytes_settle_are_not_looked_at() {
        let mut registry = Registry::of([(SEVEN, AVRO)]).and_known();
        let mut settled = |value: &[u8]| {
            let record = Headless(record(value, &[]));
            told(&record, &mut registry).map_err(|fault| fault.reason())
        };
        assert_eq!(settled(b"{17}").as_deref(), Ok("{17}"));
        assert_eq!(settled(b"\0\0\0\0\x07avro:17").as_deref(), Ok("avro:17"));
        assert_eq!(
            settled(b"{\"status\":\"LOST\"}"),
            Err(Reason::UnknownStatus)
        );
        let deletion = Headless(OwnedRecord::default());
        assert_eq!(told(&deletion, &mut registry).unwrap(), "tombstone");
    }

    #[test]
    fn a_bare_body_is_read_by_the_schema_that_its_headers_name() {
        for (name, id, schema_id) in [
            ("__value_schema_id", b"\0\0\0\0\x07".as_slice(), SEVEN),
            ("__value_schema_id", &[1; 17], SchemaId::Guid([1; 16])),
            (GLOBAL_ID.0, GLOBAL_ID.1, GLOBAL),
            (
                "apicurio.value.contentId",
                GLOBAL_ID.1,
                SchemaId::ContentId(7),
            ),
        ] {
            let mut registry = Registry::of([(schema_id, AVRO)]);
            let bare = record(b"avro:17", &[(name, id)]);
            assert_eq!(told(&bare, &mut registry).unwrap(), "avro:17", "{name}");
        }
        let mut registry = Registry::of([]);
        let bare = record(b"avro:17", &[("__value_schema_id", b"\0\0\0\x01\x94")]);
        assert_eq!(told(&bare, &mut registry).unwrap(), "wait for schema 404");
    }

    #[test]
    fn a_bare_body_may_start_with_a_zero_byte() {
        let plan = WriterSchema::Avro("\0\0\0\x01\x02");
        let bare = record(b"\0\0\0\x01\x02avro", &[GLOBAL_ID]);
        let mut registry = Registry::of([(GLOBAL, plan)]);
        assert!(told(&bare, &mut registry).unwrap().ends_with("avro"));
        assert_eq!(registry.asked, [GLOBAL], "its first bytes are no id");
    }

    #[test]
    fn headers_that_were_passed_on_do_no_harm() {
        for body in ["\0\0\0\0\x07avro:17", "{17}"] {
            let forwarded = record(body.as_bytes(), &[GLOBAL_ID]);
            for mut registry in [
                Registry::of([(SEVEN, AVRO), (GLOBAL, WriterSchema::Avro("other:"))]),
                Registry::of([(SEVEN, AVRO)]),
            ] {
                let read = told(&forwarded, &mut registry).unwrap();
                assert!(body.ends_with(&read), "{read}");
            }
        }
    }

    #[test]
    fn a_dead_letter_names_the_framing() {
        let refused = |value: &[u8], headers: &[(&str, &[u8])]| {
            let mut registry = Registry::of([(SEVEN, AVRO), (GLOBAL, AVRO)]);
            let fault = told(&record(value, headers), &mut registry).unwrap_err();
            (fault.reason(), fault.message().to_owned())
        };
        for (value, headers, reason, words) in [
            (
                b"x".as_slice(),
                [GLOBAL_ID].as_slice(),
                Reason::InvalidAvro,
                "header apicurio.value.globalId",
            ),
            (
                b"x",
                &[("apicurio.value.globalId", b"7")],
                Reason::InvalidFraming,
                "8 bytes",
            ),
            (
                b"\x041",
                &[],
                Reason::InvalidJson,
                "neither JSON nor framed",
            ),
            (
                b"\xc3\x01\x041",
                &[],
                Reason::InvalidJson,
                "single-object encoding",
            ),
            (
                b"\0\0\0\0\x07{17}",
                &[],
                Reason::InvalidAvro,
                "apicurio.registry.avro.encoding=BINARY",
            ),
            (
                b"\0\0\0\0\x08{17}",
                &[],
                Reason::UnknownSchema,
                "not registered",
            ),
            (
                b"\0\xff\xff\xff\xff",
                &[],
                Reason::UnknownSchema,
                "zero byte",
            ),
            (b"\0\0", &[], Reason::InvalidFraming, "zero byte"),
            (b"{17", &[], Reason::InvalidJson, "broken"),
        ] {
            let (found, message) = refused(value, headers);
            assert_eq!(found, reason, "{message}");
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_framing_is_told_in_words() {
        let framing = |value: &[u8], headers| framing_of(&record(value, headers));
        assert_eq!(framing_of(&OwnedRecord::default()), "null, a deletion");
        assert_eq!(framing(b"{}", &[]), "not framed, so read as JSON");
        assert_eq!(framing(b"\0\0\0\0\x07avro", &[]), "schema 7, then 4 bytes");
        assert_eq!(
            framing(b"avro", &[GLOBAL_ID]),
            "not framed; the header apicurio.value.globalId names schema with global id 7"
        );
        assert!(framing(b"avro", &[("apicurio.value.globalId", b"")]).contains("has 0 bytes"));
        assert!(framing(b"\0", &[]).contains("zero byte"));
    }
}
