//! Shows bytes to a person and in JSON: as text where they are text, otherwise as hex.

use std::fmt::{self, Write};

use serde_json::{Value, json};

/// Bytes of a record in a form that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownBytes {
    /// A null.
    Null,
    /// UTF-8 without control characters other than line ends and tabs.
    Text(String),
    /// Anything else, two hex digits per byte.
    Hex(String),
}

impl ShownBytes {
    /// Chooses how to show these bytes.
    pub fn of(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else {
            return Self::Null;
        };
        let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(is_plain) => Self::Text(text.to_owned()),
            _ => Self::Hex(bytes.iter().fold(String::new(), |mut hex, byte| {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })),
        }
    }

    /// Returns `null`, `{"text": ..}` or `{"hex": ..}`.
    pub fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => json!({ "text": text }),
            Self::Hex(hex) => json!({ "hex": hex }),
        }
    }
}

/// Prefixes hex with `0x`, so that it is not mistaken for text. Escapes everything that a terminal
/// acts on except line feeds and tabs.
impl fmt::Display for ShownBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) if text.is_empty() => f.write_str("(empty)"),
            Self::Text(text) => text.split_inclusive(['\n', '\t']).try_for_each(|part| {
                let end = part.trim_end_matches(['\n', '\t']).len();
                f.write_str(&schemas::printable(&part[..end]))?;
                f.write_str(&part[end..])
            }),
            Self::Hex(hex) => write!(f, "0x{hex}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_text_and_the_rest_as_hex() {
        let shown = |bytes: &[u8]| ShownBytes::of(Some(bytes)).to_string();
        assert_eq!(shown("{\"a\":\n\t\"é\"}".as_bytes()), "{\"a\":\n\t\"é\"}");
        assert_eq!(shown(b"\0\x01\xff"), "0x0001ff");
        // A carriage return would overwrite the beginning of its line.
        assert_eq!(shown(b"a\r\n\tb\rc"), "a\\r\n\tb\\rc");
        assert_eq!(shown("\u{202e}".as_bytes()), "\\u{202e}");
        // An escape sequence must not reach the terminal.
        assert_eq!(shown(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(shown(b""), "(empty)");
        assert_eq!(ShownBytes::of(None).to_string(), "null");
    }

    #[test]
    fn json_tells_text_hex_and_null_apart() {
        assert_eq!(ShownBytes::of(Some(b"a")).json(), json!({ "text": "a" }));
        assert_eq!(ShownBytes::of(Some(b"\xff")).json(), json!({ "hex": "ff" }));
        assert_eq!(ShownBytes::of(None).json(), Value::Null);
    }
}
