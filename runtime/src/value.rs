//! Decodes a record's value: the one place that decides which framing and which format it has.
//!
//! ```text
//! value ── Payload::of ──▶ not framed ─────────────────────▶ JSON ────────┐
//!                          framed, its schema is known ────▶ Avro or JSON ┴▶ read
//!   │ its schema is not known yet, or what was read cannot be parsed
//!   ▼
//! headers ─ SchemaHeaders ▶ the schema that they name ─────▶ Avro or JSON ─▶ read
//!   │ they name none, or this cannot be parsed either
//!   ▼
//! framed: the registry is asked for the schema; otherwise the record is a dead letter
//! ```
//!
//! Headers come last, because the client allocates for the headers of every record that it is asked
//! for. The value's own framing comes first for another reason as well: applications copy headers from
//! the record that they have read to one that they write in another framing. A value that can be read
//! to its last byte, and has the order id that its key says, is not in another framing
//! ([ADR 0025](../../../docs/adr/0025-a-value-says-its-framing.md) has the one exception).

use schemas::{Malformed, Payload, Reason, SchemaHeaders, SchemaId, ValueFormat, foreign_framing};

use crate::lifecycle::Failure;
use crate::plural::count;
use crate::record::InputRecord;
use crate::registry::{Lookup, SchemaSource, not_answered};

/// What a record's value is.
#[derive(Debug)]
pub enum Decoded<T> {
    /// What was read.
    Value(T),
    /// The value is null.
    Tombstone,
    /// The registry is being asked for this schema. Decode the record again later.
    Pending(SchemaId),
    /// The value or its framing is wrong.
    Malformed(Malformed),
}

impl<T> Decoded<T> {
    /// Returns the value, `None` for a tombstone, or what is wrong with it. For commands, whose
    /// [`SchemaSource`] waits for the registry.
    ///
    /// # Errors
    /// Exit code 1 when the registry has not answered.
    pub fn settled(self) -> Result<Result<Option<T>, Malformed>, Failure> {
        match self {
            Self::Value(value) => Ok(Ok(Some(value))),
            Self::Tombstone => Ok(Ok(None)),
            Self::Pending(schema_id) => Err(not_answered(schema_id)),
            Self::Malformed(malformed) => Ok(Err(malformed)),
        }
    }
}

impl<T> From<Result<T, Malformed>> for Decoded<T> {
    #[inline(always)]
    fn from(result: Result<T, Malformed>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(malformed) => Self::Malformed(malformed),
        }
    }
}

/// Why the first bytes of a value do not settle what it is.
enum Unsettled<'a> {
    /// It is framed, and its schema is not known yet.
    Schema(SchemaId, &'a [u8]),
    /// It could not be parsed.
    Fault(Malformed),
}

/// Reads a value without its framing, in its format.
type Reader<'f, P, T> = dyn FnMut(&[u8], ValueFormat<&P>) -> Result<T, Malformed> + 'f;

/// Decodes a record's value. `read` gets the value without its framing, and its format. It is called
/// again with another framing if the first one cannot be parsed.
#[inline]
pub fn decode<S, T>(
    record: &impl InputRecord,
    schemas: &mut S,
    mut read: impl FnMut(&[u8], ValueFormat<&S::Plan>) -> Result<T, Malformed>,
) -> Decoded<T>
where
    S: SchemaSource,
{
    let result = match Payload::of(record.value()) {
        Ok(Payload::Tombstone) => return Decoded::Tombstone,
        Ok(Payload::Unframed(bytes)) => read(bytes, ValueFormat::Json),
        Ok(Payload::Framed { schema_id, body }) => match schemas.known(schema_id) {
            Some(format) => read(body, format.as_ref()),
            None => {
                let unsettled = Unsettled::Schema(schema_id, body);
                return decode_unsettled(record, unsettled, schemas, &mut read);
            }
        },
        Err(fault) => Err(fault),
    };
    match result {
        Err(fault) if fault.reason().is_unparsable() => {
            decode_unsettled(record, Unsettled::Fault(fault), schemas, &mut read)
        }
        result => result.into(),
    }
}

/// The rest of [`decode`]. It is not inlined, so that it costs other records nothing.
#[cold]
#[inline(never)]
fn decode_unsettled<S, T>(
    record: &impl InputRecord,
    unsettled: Unsettled<'_>,
    schemas: &mut S,
    read: &mut Reader<'_, S::Plan, T>,
) -> Decoded<T>
where
    S: SchemaSource,
{
    let headers_fault = match decode_by_headers(record, schemas, read) {
        None => None,
        Some(Decoded::Malformed(fault)) if fault.reason().is_unparsable() => Some(fault),
        Some(decoded) => return decoded,
    };
    let decoded = match unsettled {
        Unsettled::Schema(schema_id, body) => decode_as(schema_id, body, schemas, read),
        Unsettled::Fault(fault) => Decoded::Malformed(fault),
    };
    let Decoded::Malformed(fault) = decoded else {
        return decoded;
    };
    Decoded::Malformed(match headers_fault {
        // The writer has set the headers. The value's zero byte may be the first byte of a body.
        Some(by_headers) if fault.reason().is_unparsable() => by_headers,
        _ => explained(fault, record.value()),
    })
}

/// Decodes the whole value by the schema that the headers name, `None` if they name no schema.
fn decode_by_headers<S, T>(
    record: &impl InputRecord,
    schemas: &mut S,
    read: &mut Reader<'_, S::Plan, T>,
) -> Option<Decoded<T>>
where
    S: SchemaSource,
{
    let (schema_id, header) = match schema_of_headers(record) {
        Ok(found) => found?,
        Err(fault) => return Some(Decoded::Malformed(fault)),
    };
    let value = record.value().unwrap_or_default();
    Some(match decode_as(schema_id, value, schemas, read) {
        Decoded::Malformed(fault) => {
            let message = format!("{} ({schema_id}, of the header {header})", fault.message());
            Decoded::Malformed(Malformed::new(fault.reason(), message))
        }
        decoded => decoded,
    })
}

fn decode_as<S, T>(
    schema_id: SchemaId,
    body: &[u8],
    schemas: &mut S,
    read: &mut Reader<'_, S::Plan, T>,
) -> Decoded<T>
where
    S: SchemaSource,
{
    match schemas.lookup(schema_id) {
        Lookup::Known(format) => read(body, format.as_ref()).into(),
        Lookup::Pending => Decoded::Pending(schema_id),
        Lookup::Bad(malformed) => Decoded::Malformed(malformed),
    }
}

fn schema_of_headers(
    record: &impl InputRecord,
) -> Result<Option<(SchemaId, &'static str)>, Malformed> {
    let mut headers = SchemaHeaders::default();
    record.each_header(&mut |name, value| headers.see(name, value));
    headers.schema()
}

/// Adds the framing that the value seems to have, and what its writer has to do, to the fault.
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

/// Describes the framing of a record's value for a person.
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
    use super::*;
    use crate::record::{Offset, OwnedRecord, Partition};

    const AVRO: ValueFormat<&str> = ValueFormat::Avro("avro:");
    const JSON: ValueFormat<&str> = ValueFormat::Json;

    /// A plan is the bytes that its Avro bodies start with.
    struct Registry {
        /// Known without asking.
        known: Vec<(SchemaId, ValueFormat<&'static str>)>,
        /// Known once the registry is asked.
        registered: Vec<(SchemaId, ValueFormat<&'static str>)>,
        asked: Vec<SchemaId>,
    }

    impl Registry {
        fn of(registered: impl IntoIterator<Item = (SchemaId, ValueFormat<&'static str>)>) -> Self {
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

        fn known(&mut self, id: SchemaId) -> Option<&ValueFormat<&'static str>> {
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

    /// Reads `{...}` as JSON, and as Avro a body that starts with its plan.
    fn read(body: &[u8], format: ValueFormat<&&'static str>) -> Result<String, Malformed> {
        let fault = |reason| Err(Malformed::new(reason, "broken"));
        match (format, body) {
            (ValueFormat::Json, b"{\"status\":\"LOST\"}") => fault(Reason::UnknownStatus),
            (ValueFormat::Json, [b'{', .., b'}']) => Ok(String::from_utf8_lossy(body).into_owned()),
            (ValueFormat::Json, _) => fault(Reason::InvalidJson),
            (ValueFormat::Avro(plan), _) if body.starts_with(plan.as_bytes()) => {
                Ok(String::from_utf8_lossy(body).into_owned())
            }
            (ValueFormat::Avro(_), _) => fault(Reason::InvalidAvro),
        }
    }

    fn decoded(record: &impl InputRecord, registry: &mut Registry) -> Result<String, Malformed> {
        Ok(match decode(record, registry, read) {
            Decoded::Value(text) => text,
            Decoded::Tombstone => "tombstone".to_owned(),
            Decoded::Pending(schema_id) => format!("wait for {schema_id}"),
            Decoded::Malformed(fault) => return Err(fault),
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
            assert_eq!(decoded(&record(&value, &[]), &mut registry).unwrap(), body);
        }
        let mut registry = Registry::of([(GLOBAL, AVRO)]);
        let value = b"\0\0\0\0\0\0\0\0\x07avro:17";
        assert_eq!(
            decoded(&record(value, &[]), &mut registry).unwrap(),
            "avro:17"
        );
    }

    /// A record whose headers must not be read.
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
    fn headers_are_not_read_when_the_value_settles_what_it_is() {
        let mut registry = Registry::of([(SEVEN, AVRO)]).and_known();
        let mut settled = |value: &[u8]| {
            let record = Headless(record(value, &[]));
            decoded(&record, &mut registry).map_err(|fault| fault.reason())
        };
        assert_eq!(settled(b"{17}").as_deref(), Ok("{17}"));
        assert_eq!(settled(b"\0\0\0\0\x07avro:17").as_deref(), Ok("avro:17"));
        assert_eq!(
            settled(b"{\"status\":\"LOST\"}"),
            Err(Reason::UnknownStatus)
        );
        let deletion = Headless(OwnedRecord::default());
        assert_eq!(decoded(&deletion, &mut registry).unwrap(), "tombstone");
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
            assert_eq!(decoded(&bare, &mut registry).unwrap(), "avro:17", "{name}");
        }
        let mut registry = Registry::of([]);
        let bare = record(b"avro:17", &[("__value_schema_id", b"\0\0\0\x01\x94")]);
        assert_eq!(
            decoded(&bare, &mut registry).unwrap(),
            "wait for schema 404"
        );
    }

    #[test]
    fn a_bare_body_may_start_with_a_zero_byte() {
        let plan = ValueFormat::Avro("\0\0\0\x01\x02");
        let bare = record(b"\0\0\0\x01\x02avro", &[GLOBAL_ID]);
        let mut registry = Registry::of([(GLOBAL, plan)]);
        assert!(decoded(&bare, &mut registry).unwrap().ends_with("avro"));
        assert_eq!(registry.asked, [GLOBAL], "its first bytes are no id");
    }

    #[test]
    fn headers_that_were_passed_on_do_no_harm() {
        for body in ["\0\0\0\0\x07avro:17", "{17}"] {
            let forwarded = record(body.as_bytes(), &[GLOBAL_ID]);
            for mut registry in [
                Registry::of([(SEVEN, AVRO), (GLOBAL, ValueFormat::Avro("other:"))]),
                Registry::of([(SEVEN, AVRO)]),
            ] {
                let text = decoded(&forwarded, &mut registry).unwrap();
                assert!(body.ends_with(&text), "{text}");
            }
        }
    }

    #[test]
    fn a_dead_letter_names_the_framing() {
        let refused = |value: &[u8], headers: &[(&str, &[u8])]| {
            let mut registry = Registry::of([(SEVEN, AVRO), (GLOBAL, AVRO)]);
            let fault = decoded(&record(value, headers), &mut registry).unwrap_err();
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
    fn a_framing_is_described() {
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
