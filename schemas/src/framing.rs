//! The first bytes of a record's value: Confluent's framing of Avro, or bare JSON.
//!
//! Framed Avro starts with a zero byte, which no JSON text does, so the first byte decides.
//! Source: "Wire format" in Confluent's documentation of the schema registry.

use crate::malformed::{Malformed, Reason};

/// The first byte of framed Avro.
const MAGIC: u8 = 0;

/// A record's value by format; its form beyond the first five bytes is not checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A null value: the key was deleted.
    Tombstone,
    /// Everything that is not framed; never empty.
    Json(&'a [u8]),
    /// Framed Avro.
    Avro {
        /// The writer's schema in the registry.
        schema_id: u32,
        /// The record, after the framing.
        body: &'a [u8],
    },
}

impl<'a> Payload<'a> {
    /// Tells the formats apart.
    ///
    /// # Errors
    /// [`Reason::EmptyValue`] for no bytes, [`Reason::InvalidFraming`] for a zero byte without the
    /// four bytes of a schema id.
    #[inline]
    pub fn of(value: Option<&'a [u8]>) -> Result<Self, Malformed> {
        match value {
            None => Ok(Self::Tombstone),
            Some([]) => Err(Malformed::new(
                Reason::EmptyValue,
                "the value is empty; a deletion is a null value",
            )),
            Some([MAGIC, a, b, c, d, body @ ..]) => Ok(Self::Avro {
                schema_id: u32::from_be_bytes([*a, *b, *c, *d]),
                body,
            }),
            Some([MAGIC, rest @ ..]) => Err(Malformed::new(
                Reason::InvalidFraming,
                format!(
                    "the value starts as framed Avro and has {} of the 4 bytes of a schema id",
                    rest.len()
                ),
            )),
            Some(bytes) => Ok(Self::Json(bytes)),
        }
    }
}

/// Appends the framing of an Avro value: the zero byte and the schema's id.
pub fn write_header(schema_id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_format() {
        assert_eq!(Payload::of(None), Ok(Payload::Tombstone));
        assert_eq!(Payload::of(Some(b"{}")), Ok(Payload::Json(b"{}")));
        assert_eq!(Payload::of(Some(b"\x01x")), Ok(Payload::Json(b"\x01x")));
        let framed = |body| Payload::Avro {
            schema_id: 0x0102_0304,
            body,
        };
        assert_eq!(
            Payload::of(Some(b"\0\x01\x02\x03\x04ab")),
            Ok(framed(b"ab"))
        );
        assert_eq!(Payload::of(Some(b"\0\x01\x02\x03\x04")), Ok(framed(b"")));
    }

    #[test]
    fn empty_bytes_and_a_cut_header_are_malformed() {
        assert_eq!(
            Payload::of(Some(b"")).unwrap_err().reason(),
            Reason::EmptyValue
        );
        for length in 1..5 {
            let error = Payload::of(Some(&[0; 4][..length])).unwrap_err();
            assert_eq!(error.reason(), Reason::InvalidFraming);
        }
    }

    #[test]
    fn a_written_header_is_read_back() {
        for schema_id in [0, 1, 0x8000_0001, u32::MAX] {
            let mut bytes = Vec::new();
            write_header(schema_id, &mut bytes);
            assert_eq!(
                Payload::of(Some(&bytes)),
                Ok(Payload::Avro {
                    schema_id,
                    body: b""
                })
            );
        }
    }
}
