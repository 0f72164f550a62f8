//! What may name an order.

use std::fmt;
use std::ops::Deref;

/// The most bytes that an order id has.
const LONGEST: usize = 128;

/// A valid order id: 1 to 128 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId<'a>(&'a str);

/// The text can't be an order id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order id is 1 to {LONGEST} bytes of UTF-8 without control characters")]
pub struct InvalidOrderId;

impl<'a> OrderId<'a> {
    /// Takes a text that may be an order id.
    ///
    /// # Errors
    /// Empty, longer than 128 bytes, or with control characters (Unicode's category Cc).
    pub fn new(text: &'a str) -> Result<Self, InvalidOrderId> {
        // Without an early end, so that many bytes are looked at together.
        let is_plain = text
            .bytes()
            .fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
        let valid =
            (1..=LONGEST).contains(&text.len()) && (is_plain || !text.contains(char::is_control));
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidOrderId)
        }
    }

    /// The id's text, for as long as what it was taken from lives.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl Deref for OrderId<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for OrderId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_is_1_to_128_bytes_without_control_characters() {
        let longest = "é".repeat(64);
        for text in ["17", " ", "a b", "é", "\u{200b}", longest.as_str()] {
            assert_eq!(OrderId::new(text).map(OrderId::as_str), Ok(text));
        }
        let too_long = longest + "x";
        for text in [
            "",
            "\n",
            "a\0",
            "a\u{7f}",
            "\u{85}",
            "é\t",
            too_long.as_str(),
        ] {
            assert_eq!(OrderId::new(text), Err(InvalidOrderId), "{text:?}");
        }
    }
}
