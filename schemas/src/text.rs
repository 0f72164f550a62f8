//! A text that a front end found.

use std::fmt;

use crate::swar;

/// UTF-8 that its front end has checked. Kept as bytes: most of what is asked of a text needs no
/// more, and a `str` is had by checking it once again only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The bytes as a text, if they are UTF-8.
    #[inline(always)]
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        (swar::is_ascii(bytes) || is_utf8(bytes)).then_some(Self(bytes))
    }

    /// A part of what its front end checks as a whole, before anybody asks for this text.
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
