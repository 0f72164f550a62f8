//! The framing of a record's value: the id of its schema, and where its body starts.
//!
//! | framing | written by |
//! |---|---|
//! | none: JSON | any client |
//! | a zero byte, four bytes of an id | Confluent's serializers, and Apicurio's since version 3 |
//! | a zero byte, eight bytes of a global id | Apicurio's serializers up to version 2 |
//! | none, the id is in a header | `headers` |
//!
//! A zero byte starts no JSON text, and no registry gives the id zero, so [`Payload::of`] tells the
//! first three apart by the bytes alone. Only the registry knows whether a framed body is Avro or JSON.
//! `foreign` names other framings that a value may have.

mod foreign;
mod headers;
mod schema_id;

pub use foreign::foreign_framing;
pub use headers::SchemaHeaders;
pub use schema_id::{Guid, SchemaId};

use crate::malformed::{Malformed, Reason};

/// The first byte of a framed value.
const MAGIC: u8 = 0;

/// A record's value by its framing. The body has not been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A null value, which deletes the key.
    Tombstone,
    /// Any other value that is not framed. It is never empty.
    Unframed(&'a [u8]),
    /// A schema's id and a body.
    Framed {
        /// The id of the writer's schema in the registry.
        schema_id: SchemaId,
        /// What follows the id.
        body: &'a [u8],
    },
}

impl<'a> Payload<'a> {
    /// Tells the framings apart.
    ///
    /// # Errors
    /// [`Reason::EmptyValue`] for no bytes, [`Reason::InvalidFraming`] for a zero byte without the
    /// bytes of a schema id.
    #[inline]
    pub fn of(value: Option<&'a [u8]>) -> Result<Self, Malformed> {
        match value {
            None => Ok(Self::Tombstone),
            Some([]) => Err(Malformed::new(
                Reason::EmptyValue,
                "the value is empty; a deletion is a null value",
            )),
            Some([MAGIC, framed @ ..]) => match framed {
                [a, b, c, d, body @ ..] if [*a, *b, *c, *d] != [0; 4] => Ok(Self::Framed {
                    schema_id: SchemaId::Id(u32::from_be_bytes([*a, *b, *c, *d])),
                    body,
                }),
                _ => Self::with_long_id(framed),
            },
            Some(bytes) => Ok(Self::Unframed(bytes)),
        }
    }

    /// Splits off an id of eight bytes, of which the first four are zero.
    #[cold]
    fn with_long_id(framed: &'a [u8]) -> Result<Self, Malformed> {
        match framed.split_first_chunk() {
            Some((id, body)) => Ok(Self::Framed {
                schema_id: SchemaId::GlobalId(u64::from_be_bytes(*id)),
                body,
            }),
            None => Err(Malformed::new(
                Reason::InvalidFraming,
                format!(
                    "the value starts with a zero byte and ends within its schema's id: it has {} \
                     bytes of 4, or of 8 when the first 4 are zero",
                    framed.len()
                ),
            )),
        }
    }
}

/// Appends the framing of an Avro value: the zero byte and the schema's id.
pub(crate) fn write_header(schema_id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(schema_id: SchemaId, body: &[u8]) -> Result<Payload<'_>, Malformed> {
        Ok(Payload::Framed { schema_id, body })
    }

    #[test]
    fn the_first_bytes_tell_the_framing() {
        assert_eq!(Payload::of(None), Ok(Payload::Tombstone));
        assert_eq!(Payload::of(Some(b"{}")), Ok(Payload::Unframed(b"{}")));
        assert_eq!(Payload::of(Some(b"\x01x")), Ok(Payload::Unframed(b"\x01x")));
        let id = SchemaId::Id(0x0102_0304);
        assert_eq!(
            Payload::of(Some(b"\0\x01\x02\x03\x04ab")),
            framed(id, b"ab")
        );
        assert_eq!(Payload::of(Some(b"\0\x01\x02\x03\x04")), framed(id, b""));
    }

    #[test]
    fn an_id_that_starts_with_four_zeros_has_eight_bytes() {
        let value = b"\0\0\0\0\0\0\0\x01\x02{}";
        assert_eq!(
            Payload::of(Some(value)),
            framed(SchemaId::GlobalId(0x0102), b"{}")
        );
        assert_eq!(
            Payload::of(Some(&value[..9])),
            framed(SchemaId::GlobalId(0x0102), b"")
        );
    }

    #[test]
    fn empty_bytes_and_a_cut_id_are_malformed() {
        assert_eq!(
            Payload::of(Some(b"")).unwrap_err().reason(),
            Reason::EmptyValue
        );
        for length in 1..9 {
            let error = Payload::of(Some(&[0; 8][..length])).unwrap_err();
            assert_eq!(error.reason(), Reason::InvalidFraming);
        }
        let error = Payload::of(Some(b"\0\x01\x02\x03")).unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidFraming);
        assert!(error.message().contains("3 bytes of 4"), "{error}");
    }

    #[test]
    fn a_written_header_is_read_back() {
        for id in [1, 7, 0x8000_0001, u32::MAX] {
            let mut bytes = Vec::new();
            write_header(id, &mut bytes);
            assert_eq!(Payload::of(Some(&bytes)), framed(SchemaId::Id(id), b""));
        }
    }
}
