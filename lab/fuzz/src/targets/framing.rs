//! The schema's id before a value and in its headers.

use schemas::{Guid, Payload, Reason, SchemaHeaders, SchemaId, foreign_framing};

use crate::sound;

/// Reads the whole input as a value, then as the value of each header that names a schema.
pub(crate) fn framing(input: &[u8]) {
    value(input);
    for name in [
        "__value_schema_id",
        "apicurio.value.globalId",
        "apicurio.value.contentId",
        "apicurio.value.encoding",
        "apicurio.value.artifactId",
        "traceparent",
    ] {
        header(name, input);
    }
}

fn value(input: &[u8]) {
    match Payload::of(Some(input)) {
        Ok(Payload::Tombstone) => panic!("only a null is a tombstone"),
        Ok(Payload::Unframed(bytes)) => {
            assert_eq!(bytes, input);
            assert_ne!(bytes[0], 0);
            if let Some(seems) = foreign_framing(bytes) {
                sound::one_line(seems);
                let json = serde_json::from_slice::<serde_json::Value>(bytes);
                assert!(json.is_err(), "JSON is no other framing");
            }
        }
        Ok(Payload::Framed { schema_id, body }) => {
            let mut written = vec![0];
            match schema_id {
                SchemaId::Id(id) => {
                    assert_ne!(id, 0);
                    written.extend(id.to_be_bytes());
                }
                SchemaId::GlobalId(id) => {
                    assert!(u32::try_from(id).is_ok(), "else its first bytes are an id");
                    written.extend(id.to_be_bytes());
                }
                other => panic!("{other} is only in headers"),
            }
            written.extend(body);
            assert_eq!(written, input);
        }
        Err(malformed) => {
            sound::refusal(&malformed);
            let (expected, longest) = match input {
                [] => (Reason::EmptyValue, 0),
                [0, 0, 0, 0, 0, ..] => (Reason::InvalidFraming, 8),
                [0, ..] => (Reason::InvalidFraming, 4),
                _ => panic!("it is not framed"),
            };
            assert_eq!(malformed.reason(), expected);
            assert!(input.len() <= longest);
        }
    }
}

fn header(name: &'static str, value: &[u8]) {
    let mut headers = SchemaHeaders::default();
    headers.see(name, None);
    headers.see(name, Some(value));
    match (name, headers.schema()) {
        (_, Ok(None)) => assert!(
            name == "traceparent" || (name == "apicurio.value.encoding" && value == b"BINARY")
        ),
        (_, Ok(Some((schema_id, named_by)))) => {
            assert_eq!(named_by, name);
            sound::one_line(&schema_id.to_string());
            assert!(value.starts_with(&written(schema_id)), "{schema_id}");
        }
        (_, Err(malformed)) => {
            sound::refusal(&malformed);
            assert_eq!(malformed.reason(), Reason::InvalidFraming);
            // Conversely, every value in the form of an id is accepted.
            match name {
                "__value_schema_id" => assert!(match value {
                    [0, id @ ..] => id.len() < 4,
                    [1, guid @ ..] => guid.len() < 16,
                    _ => true,
                }),
                "apicurio.value.globalId" | "apicurio.value.contentId" => {
                    assert_ne!(value.len(), 8);
                }
                _ => {}
            }
        }
    }
}

/// Returns a schema's id as its header has it.
fn written(schema_id: SchemaId) -> Vec<u8> {
    match schema_id {
        SchemaId::Id(id) => [&[0], id.to_be_bytes().as_slice()].concat(),
        SchemaId::GlobalId(id) | SchemaId::ContentId(id) => id.to_be_bytes().to_vec(),
        SchemaId::Guid(guid) => {
            assert_eq!(Guid(&guid).to_string().len(), 36);
            [&[1], guid.as_slice()].concat()
        }
    }
}
