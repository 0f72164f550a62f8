//! A text that was found in a record.

use std::fmt;

use crate::swar;

/// A text whose UTF-8 the reader of its format has checked. It is kept as bytes, because most checks
/// of a field need no more, and a `str` can be made of bytes only by checking them once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Takes bytes that are UTF-8.
    #[inline(always)]
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        (swar::is_ascii(bytes) || is_utf8(bytes)).then_some(Self(bytes))
    }

    /// Takes a part of a value whose UTF-8 is checked as a whole, before any text of it is used.
    pub(crate) const fn part_of_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).expect("a text was checked when it was found")
    }
}

#[cold]
#[inline(never)]
fn is_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
