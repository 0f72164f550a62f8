//! A currency: three letters, as in ISO 4217. Whether such a currency exists is not checked.

use std::fmt;
use std::str::FromStr;

/// A currency: three upper-case ASCII letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// The text is not three ASCII letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three letters, such as EUR")]
pub struct InvalidCurrency;

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// Takes letters of any case.
    #[inline(always)]
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let letters = <[u8; 3]>::try_from(text).ok()?;
        letters
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// Returns the three letters, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency holds ASCII letters only")
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    /// Takes letters of any case.
    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        Self::of(text.as_bytes()).ok_or(InvalidCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_letters_of_any_case_are_a_currency() {
        for text in ["EUR", "eur", "eUr"] {
            assert_eq!(text.parse(), Ok(Currency::EUR));
        }
        for text in ["", "EU", "EURO", "E1R", "E R", "€", "ÄUR", "eu\u{131}"] {
            assert_eq!(text.parse::<Currency>(), Err(InvalidCurrency), "{text:?}");
        }
    }
}
