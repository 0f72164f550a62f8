//! The id of an order.

use std::borrow::Cow;
use std::fmt;

use crate::swar;

/// The maximum length of an order id in bytes.
const MAX_BYTES: usize = 128;

/// A valid order id: 1 to 128 bytes of UTF-8 without control characters.
///
/// It is kept as bytes, because for nearly every record the id in the key is only compared with the one in
/// the value. It borrows from the key if the key is the id's own bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId<'a>(Cow<'a, [u8]>);

/// The text cannot be an order id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order id is 1 to {MAX_BYTES} bytes of UTF-8 without control characters")]
pub struct InvalidOrderId;

impl<'a> OrderId<'a> {
    /// Takes a text that may be an order id.
    ///
    /// # Errors
    /// Empty, longer than 128 bytes, or with control characters (Unicode's category Cc).
    pub fn new(text: &'a str) -> Result<Self, InvalidOrderId> {
        if (1..=MAX_BYTES).contains(&text.len()) && !text.contains(char::is_control) {
            Ok(Self(Cow::Borrowed(text.as_bytes())))
        } else {
            Err(InvalidOrderId)
        }
    }

    /// The fast path: takes an id that is both the key and the value's text, and printable ASCII.
    #[inline(always)]
    pub(crate) fn of_both(key: &'a [u8], text: &[u8]) -> Option<Self> {
        ((1..=MAX_BYTES).contains(&text.len()) && swar::are_same_plain(key, text))
            .then_some(Self(Cow::Borrowed(key)))
    }

    /// Returns the same id, borrowed from a key of the same bytes.
    pub(crate) fn within<'k>(&self, key: &'k [u8]) -> Option<OrderId<'k>> {
        (*key == *self.0).then_some(OrderId(Cow::Borrowed(key)))
    }

    /// Returns the same id with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> OrderId<'static> {
        OrderId(Cow::Owned(self.0.into_owned()))
    }

    /// Returns the id's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the id's text. Checks its UTF-8 once more.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an order id is UTF-8")
    }

    /// Returns the id's text, which lives as long as the bytes that it borrows. Checks its UTF-8 once more.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        const VALID: &str = "an order id is UTF-8";
        match self.0 {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).expect(VALID).into(),
            Cow::Owned(bytes) => String::from_utf8(bytes).expect(VALID).into(),
        }
    }
}

impl fmt::Display for OrderId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for OrderId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_is_1_to_128_bytes_without_control_characters() {
        let longest = "é".repeat(64);
        for text in ["17", " ", "a b", "é", "\u{200b}", longest.as_str()] {
            assert_eq!(OrderId::new(text).unwrap().as_str(), text);
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

    #[test]
    fn the_fast_path_takes_printable_ascii_that_is_the_keys() {
        let longest = "a".repeat(MAX_BYTES);
        for text in ["1", " ", "a b~", "12345678", &longest] {
            let id = OrderId::new(text).unwrap();
            assert_eq!(OrderId::of_both(text.as_bytes(), text.as_bytes()), Some(id));
        }
        let too_long = "a".repeat(MAX_BYTES + 1);
        for text in ["", "é", "1234567é", "a\n", "12345678\u{7f}", &too_long] {
            assert_eq!(OrderId::of_both(text.as_bytes(), text.as_bytes()), None);
        }
        assert_eq!(OrderId::of_both(b"17", b"18"), None);
        assert_eq!(OrderId::of_both(b"17", b"170"), None);
    }
}
