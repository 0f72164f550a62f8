//! The first bytes of a value.

use schemas::{Payload, Reason, write_header};

use crate::sound;

/// The whole input is a value.
pub(crate) fn framing(input: &[u8]) {
    match Payload::of(Some(input)) {
        Ok(Payload::Tombstone) => panic!("only a null is a tombstone"),
        Ok(Payload::Json(bytes)) => {
            assert_eq!(bytes, input);
            assert_ne!(bytes[0], 0);
        }
        Ok(Payload::Avro { schema_id, body }) => {
            let mut written = Vec::new();
            write_header(schema_id, &mut written);
            written.extend_from_slice(body);
            assert_eq!(written, input);
        }
        Err(malformed) => {
            sound::refusal(&malformed);
            let expected = match input {
                [] => Reason::EmptyValue,
                _ => Reason::InvalidFraming,
            };
            assert_eq!(malformed.reason(), expected);
            assert!(input.len() < 5 && input.first().is_none_or(|byte| *byte == 0));
        }
    }
}
