//! Recognizes unsupported framings by their first bytes, so that a dead letter can name them.

/// Returns which framing the start of an unreadable value looks like, and what its writer has to do
/// instead.
///
/// The value is neither framed nor JSON: no JSON text starts like any of these.
#[must_use]
pub fn foreign_framing(value: &[u8]) -> Option<&'static str> {
    match value {
        // "Single-object encoding" in the specification of Avro.
        [0xc3, 0x01, ..] => Some(
            "it starts as Avro's single-object encoding does (C3 01), whose fingerprint no registry \
             resolves: use a serializer that writes the schema's id",
        ),
        // "Object container files" in the specification of Avro.
        [b'O', b'b', b'j', 0x01, ..] => Some(
            "it starts as an Avro container file does (Obj): write each record with a serializer \
             that writes the schema's id",
        ),
        // A version, the compression (none or zlib), a UUID: AWS Glue's wire format.
        [0x03, 0x00 | 0x05, ..] => Some(
            "it starts as values of AWS Glue's serializers do (03), whose registry is not read: use \
             Confluent's or Apicurio's serializer",
        ),
        // A JSON text starts with printable ASCII, with one of three control characters, or with a byte
        // order mark.
        [first, ..] if !matches!(first, b'\t' | b'\n' | b'\r' | b' '..=0x7f | 0xef) => Some(
            "it is neither JSON nor framed by a zero byte and a schema's id; if it is Avro, no \
             header names its schema: use a serializer that writes the schema's id",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_framings_are_named() {
        for (value, named) in [
            (b"\xc3\x01\x01\x02".as_slice(), "single-object"),
            (b"Obj\x01\x04", "container file"),
            (b"\x03\x00\x01", "AWS Glue"),
            (b"\x03\x05\x01", "AWS Glue"),
            (b"\x04" as &[u8], "no header names its schema"),
        ] {
            let text = foreign_framing(value).unwrap_or_default();
            assert!(text.contains(named), "{value:?}: {text}");
        }
    }

    #[test]
    fn json_is_no_other_framing() {
        for value in [
            b"".as_slice(),
            b"{\"order_id\":",
            b" {}",
            b"\n{}",
            b"\xef\xbb\xbf{}",
            b"order 17",
            b"Object",
        ] {
            assert_eq!(foreign_framing(value), None, "{value:?}");
        }
    }
}
