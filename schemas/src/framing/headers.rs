//! The schema's id in a record's headers. The value is then the body alone.
//!
//! | header | content | written by |
//! |---|---|---|
//! | `__value_schema_id` | 1 and the 16 bytes of a GUID, or 0 and the 4 bytes of an id; Protobuf appends the indexes of a message | Confluent's `HeaderSchemaIdSerializer` |
//! | `apicurio.value.globalId`, `apicurio.value.contentId` | 8 bytes | Apicurio's serializers with `apicurio.registry.headers.enabled`, the default of version 2 |
//! | `apicurio.value.encoding` | `BINARY` or `JSON` | Apicurio's Avro serializer, beside an id |
//!
//! Numbers are big-endian. As in both vendors' deserializers the last header of a name counts.

use super::SchemaId;
use crate::malformed::{Malformed, Reason, quoted};

const CONFLUENT: &str = "__value_schema_id";
const GLOBAL_ID: &str = "apicurio.value.globalId";
const CONTENT_ID: &str = "apicurio.value.contentId";
const ENCODING: &str = "apicurio.value.encoding";

/// Apicurio's name of the artifact. Its serializer writes it when it knows no id.
const ARTIFACT_ID: &str = "apicurio.value.artifactId";

/// The headers of one record that name the schema of its value.
#[derive(Debug, Default)]
pub struct SchemaHeaders {
    confluent: Option<Result<SchemaId, Malformed>>,
    global_id: Option<Result<SchemaId, Malformed>>,
    content_id: Option<Result<SchemaId, Malformed>>,
    encoding: Option<Malformed>,
    artifact: Option<Malformed>,
}

impl SchemaHeaders {
    /// Takes the record's next header. A null value counts as no header.
    pub fn see(&mut self, name: &str, value: Option<&[u8]>) {
        let Some(value) = value else {
            return;
        };
        match name {
            CONFLUENT => self.confluent = Some(confluent(value)),
            GLOBAL_ID => self.global_id = Some(long(name, value).map(SchemaId::GlobalId)),
            CONTENT_ID => self.content_id = Some(long(name, value).map(SchemaId::ContentId)),
            ENCODING => self.encoding = encoding(value),
            ARTIFACT_ID => self.artifact = Some(artifact()),
            _ => {}
        }
    }

    /// Returns the schema that the headers name and the header that names it, `None` if they name no
    /// schema.
    ///
    /// # Errors
    /// [`Reason::InvalidFraming`] with what the writer has to set, for an id of another form, a schema
    /// that is named without an id, and Avro in its JSON encoding.
    pub fn schema(self) -> Result<Option<(SchemaId, &'static str)>, Malformed> {
        let found = [
            (self.confluent, CONFLUENT),
            (self.global_id, GLOBAL_ID),
            (self.content_id, CONTENT_ID),
        ];
        let found = found.into_iter().find_map(|(id, name)| Some((id?, name)));
        match (found, self.encoding, self.artifact) {
            (Some((id, CONFLUENT)), _, _) => Ok(Some((id?, CONFLUENT))),
            (_, Some(malformed), _) | (None, None, Some(malformed)) => Err(malformed),
            (Some((id, name)), None, _) => Ok(Some((id?, name))),
            (None, None, None) => Ok(None),
        }
    }
}

fn confluent(value: &[u8]) -> Result<SchemaId, Malformed> {
    // The indexes of a Protobuf message may follow. They are not needed: the schema's type says that
    // the value is Protobuf.
    let id = match value.split_first() {
        Some((0, id)) => id
            .first_chunk()
            .map(|id| SchemaId::Id(u32::from_be_bytes(*id))),
        Some((1, guid)) => guid.first_chunk().map(|guid| SchemaId::Guid(*guid)),
        _ => None,
    };
    id.ok_or_else(|| {
        invalid(format!(
            "the header {CONFLUENT} has {} bytes: expected 1 and the 16 bytes of a GUID, or 0 and \
             the 4 bytes of an id",
            value.len()
        ))
    })
}

fn long(name: &str, value: &[u8]) -> Result<u64, Malformed> {
    let bytes = value.try_into().map_err(|_| {
        invalid(format!(
            "the header {name} has {} bytes: expected the 8 bytes of an id",
            value.len()
        ))
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// Returns the fault of Avro in its JSON encoding. There a decimal is raw bytes as text, which look like
/// another number.
fn encoding(value: &[u8]) -> Option<Malformed> {
    (value != b"BINARY").then(|| {
        let encoding = String::from_utf8_lossy(&value[..value.len().min(64)]);
        invalid(format!(
            "the header {ENCODING} says {}: of Avro only its binary encoding is read; set the \
             writer's apicurio.registry.avro.encoding=BINARY",
            quoted(&encoding)
        ))
    })
}

fn artifact() -> Malformed {
    invalid(format!(
        "the header {ARTIFACT_ID} names an artifact, and no header the id of its schema; set the \
         writer's apicurio.registry.use-id to globalId or contentId"
    ))
}

fn invalid(message: String) -> Malformed {
    Malformed::new(Reason::InvalidFraming, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &[u8; 17] = b"\x01\xcc\x0e\x0e\x0e\x53\xc1\x4a\x1a\x8f\x1a\0\0\0\0\0\x02";

    fn schema(headers: &[(&str, Option<&[u8]>)]) -> Result<Option<SchemaId>, Malformed> {
        let mut seen = SchemaHeaders::default();
        for (name, value) in headers {
            seen.see(name, *value);
        }
        Ok(seen.schema()?.map(|(id, _)| id))
    }

    fn refused(headers: &[(&str, Option<&[u8]>)]) -> String {
        let malformed = schema(headers).unwrap_err();
        assert_eq!(malformed.reason(), Reason::InvalidFraming);
        malformed.message().to_owned()
    }

    #[test]
    fn headers_of_other_names_name_no_schema() {
        assert_eq!(schema(&[]), Ok(None));
        let others: [(&str, Option<&[u8]>); 4] = [
            ("traceparent", Some(b"00-0af7651916cd43dd8448eb211c80319c")),
            ("__key_schema_id", Some(GUID)),
            ("apicurio.key.globalId", Some(&[0; 8])),
            (CONFLUENT, None),
        ];
        assert_eq!(schema(&others), Ok(None));
    }

    #[test]
    fn confluents_header_has_a_guid_or_an_id() {
        let guid = SchemaId::Guid(*GUID.last_chunk().unwrap());
        assert_eq!(schema(&[(CONFLUENT, Some(GUID))]), Ok(Some(guid)));
        // With the indexes of a Protobuf message.
        let with_indexes = [GUID.as_slice(), &[0]].concat();
        assert_eq!(schema(&[(CONFLUENT, Some(&with_indexes))]), Ok(Some(guid)));
        assert_eq!(
            schema(&[(CONFLUENT, Some(b"\0\0\0\x01\x02"))]),
            Ok(Some(SchemaId::Id(0x0102)))
        );
        for bytes in [
            b"".as_slice(),
            b"\0\0\0\x01",
            &GUID[..16],
            b"\x02\0\0\0\x01",
            b"7",
        ] {
            let message = refused(&[(CONFLUENT, Some(bytes))]);
            assert!(message.contains(&format!("has {} bytes", bytes.len())));
        }
    }

    #[test]
    fn apicurios_headers_have_ids_of_eight_bytes() {
        let seven: &[u8] = &7_u64.to_be_bytes();
        let binary = (ENCODING, Some(b"BINARY".as_slice()));
        assert_eq!(
            schema(&[(GLOBAL_ID, Some(seven)), binary]),
            Ok(Some(SchemaId::GlobalId(7)))
        );
        assert_eq!(
            schema(&[binary, (CONTENT_ID, Some(seven))]),
            Ok(Some(SchemaId::ContentId(7)))
        );
        let message = refused(&[(GLOBAL_ID, Some(b"\0\0\0\x07"))]);
        assert!(message.contains("apicurio.value.globalId has 4 bytes"));
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let id = |id: u64| id.to_be_bytes();
        assert_eq!(
            schema(&[(GLOBAL_ID, Some(&id(7))), (GLOBAL_ID, Some(&id(8)))]),
            Ok(Some(SchemaId::GlobalId(8)))
        );
    }

    #[test]
    fn what_can_not_be_read_is_refused_with_the_writers_setting() {
        let seven: &[u8] = &7_u64.to_be_bytes();
        let json = refused(&[(GLOBAL_ID, Some(seven)), (ENCODING, Some(b"JSON"))]);
        assert!(
            json.contains("apicurio.registry.avro.encoding=BINARY"),
            "{json}"
        );
        let named = refused(&[(ARTIFACT_ID, Some(b"order-status-value"))]);
        assert!(named.contains("apicurio.registry.use-id"), "{named}");
    }
}
