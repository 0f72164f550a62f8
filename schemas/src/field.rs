//! How the content of a field is interpreted: one set of rules for both formats.

use std::fmt::{self, Write};

use rust_decimal::Decimal;

use crate::currency::Currency;
use crate::decimal::{self, DecimalError};
use crate::key;
use crate::malformed::{Malformed, Reason};
use crate::order_id::OrderId;
use crate::raw_field::RawField;
use crate::text::Text;
use crate::timestamp::{InvalidTimestamp, Timestamp};

/// A known field and its content.
#[derive(Clone, Copy)]
pub(crate) struct Field<'s, 'a> {
    name: &'static str,
    raw: &'s RawField<'a>,
    is_confidential: bool,
}

impl<'s, 'a> Field<'s, 'a> {
    /// Returns a field whose content may be shown in a message.
    pub(crate) fn new(name: &'static str, raw: &'s RawField<'a>) -> Self {
        Self {
            name,
            raw,
            is_confidential: false,
        }
    }

    /// Returns a field of a record that holds a secret, maybe in the wrong field. Messages show the
    /// type of its content only.
    pub(crate) fn confidential(name: &'static str, raw: &'s RawField<'a>) -> Self {
        Self {
            name,
            raw,
            is_confidential: true,
        }
    }

    /// Returns the fault that the field does not hold what is expected.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(self, reason: Reason, expected: impl fmt::Display) -> Malformed {
        let found = if self.is_confidential {
            self.raw.kind().into()
        } else {
            self.raw.shown()
        };
        Malformed::new(
            reason,
            format!("{}: expected {expected}, found {found}", self.name),
        )
    }

    /// Returns the fault that the record's key says another id than this field.
    #[cold]
    #[inline(never)]
    fn refuse_key(self, key: &[u8]) -> Malformed {
        let key = key::Mismatch {
            key,
            is_confidential: self.is_confidential,
        };
        let malformed = self.refuse(Reason::KeyMismatch, "the id that the record's key says");
        Malformed::new(Reason::KeyMismatch, format!("{malformed}; {key}"))
    }

    /// Returns a string, or an Avro enum's symbol.
    #[inline(always)]
    pub(crate) fn text(self) -> Option<Text<'a>> {
        match self.raw {
            RawField::Text(text) => Some(*text),
            _ => None,
        }
    }

    /// Returns the [`text`](Self::text) as a `str`, which costs a check of its UTF-8.
    pub(crate) fn str(self) -> Option<&'a str> {
        self.text().map(Text::as_str)
    }

    /// Returns a number of any exact type, or the number that a string holds.
    #[inline(always)]
    pub(crate) fn decimal(self) -> Result<Decimal, DecimalError> {
        match self.raw {
            RawField::Text(text) | RawField::Number(text) => decimal::parse_bytes(text.as_bytes()),
            RawField::Integer(value) => decimal::from_unscaled(&value.to_be_bytes(), 0),
            RawField::Decimal { unscaled, scale } => decimal::from_unscaled(unscaled, *scale),
            _ => Err(DecimalError::NotANumber),
        }
    }

    /// Returns the [`currency`](Self::currency), or the default if the field is missing.
    #[inline(always)]
    pub(crate) fn currency_or(self, default: Currency) -> Result<Currency, Malformed> {
        if self.raw.is_missing() {
            Ok(default)
        } else {
            self.currency()
        }
    }

    /// Returns a currency: three letters of any case.
    #[inline(always)]
    pub(crate) fn currency(self) -> Result<Currency, Malformed> {
        self.text()
            .and_then(|text| Currency::of(text.as_bytes()))
            .ok_or_else(|| self.refuse(Reason::InvalidCurrency, "three letters such as EUR"))
    }

    /// Returns an integer of 64 bits, `None` if the field is missing.
    #[inline(always)]
    pub(crate) fn version(self) -> Result<Option<i64>, Malformed> {
        let version = match self.raw {
            RawField::Absent | RawField::Null => return Ok(None),
            RawField::Integer(value) => Some(*value),
            RawField::Number(token) => integer(*token),
            _ => None,
        };
        match version {
            Some(version) => Ok(Some(version)),
            None => Err(self.refuse(Reason::InvalidVersion, "an integer of 64 bits")),
        }
    }

    /// Returns a time within the years 2000 to 2099, `None` if the field is missing.
    #[inline(always)]
    pub(crate) fn timestamp(self) -> Result<Option<Timestamp>, Malformed> {
        let time = match self.raw {
            RawField::Absent | RawField::Null => return Ok(None),
            RawField::Text(text) => Timestamp::parse(text.as_bytes()),
            RawField::Number(token) if is_integer(*token) => {
                // A number beyond 64 bits is a time as well, far out of range.
                Some(Timestamp::from_millis(integer(*token).unwrap_or(i64::MAX)))
            }
            RawField::Integer(millis) | RawField::TimestampMillis(millis) => {
                Some(Timestamp::from_millis(*millis))
            }
            RawField::TimestampMicros(micros) => Some(Timestamp::from_micros(*micros)),
            _ => None,
        };
        match time {
            Some(time) if time.is_in_range() => Ok(Some(time)),
            Some(_) => Err(self.refuse(
                Reason::TimestampOutOfRange,
                "a time of the years 2000 to 2099",
            )),
            None => Err(self.refuse(
                Reason::InvalidTimestamp,
                format_args!("{InvalidTimestamp}, or epoch milliseconds"),
            )),
        }
    }

    /// Returns a string or an integer's decimal digits that may name an order, `None` if the field is
    /// missing.
    fn order_id(self) -> Result<Option<IdText<'a>>, Malformed> {
        let id = match *self.raw {
            RawField::Absent | RawField::Null => return Ok(None),
            RawField::Text(text) => Some(IdText::Borrowed(text.as_str())),
            RawField::Number(token) if token.as_bytes() == b"-0" => Some(IdText::Borrowed("0")),
            RawField::Number(token) if is_integer(token) => Some(IdText::Borrowed(token.as_str())),
            RawField::Integer(value) => Some(IdText::Integer(Digits::of(value))),
            _ => None,
        };
        match id {
            Some(id) if OrderId::new(id.as_str()).is_ok() => Ok(Some(id)),
            _ => Err(self.refuse(Reason::InvalidOrderId, EXPECTED_ORDER_ID)),
        }
    }
}

const EXPECTED_ORDER_ID: &str =
    "a string of 1 to 128 bytes without control characters, or an integer";

/// Returns the order's id as the record's key has it. `fields` are the fields that may hold an id. All of
/// them that hold one must agree.
#[inline(always)]
pub(crate) fn order_id<'k, const F: usize>(
    key: Option<&'k [u8]>,
    fields: [Field<'_, '_>; F],
) -> Result<OrderId<'k>, Malformed> {
    // The fast path: the first field alone has the id, and it is a text of printable ASCII whose bytes
    // are the key's.
    let [first, others @ ..] = &fields[..] else {
        unreachable!("some field holds the id");
    };
    if let (RawField::Text(id), Some(key)) = (first.raw, key)
        && others.iter().all(|other| other.raw.is_missing())
        && let Some(id) = OrderId::of_both(key, id.as_bytes())
    {
        return Ok(id);
    }
    any_order_id(key, fields)
}

/// The general path of [`order_id`].
#[inline(never)]
fn any_order_id<'k, const F: usize>(
    key: Option<&'k [u8]>,
    fields: [Field<'_, '_>; F],
) -> Result<OrderId<'k>, Malformed> {
    let mut found: Option<(Field<'_, '_>, IdText<'_>)> = None;
    for field in fields {
        let Some(id) = field.order_id()? else {
            continue;
        };
        match &found {
            None => found = Some((field, id)),
            Some((first, other)) if other.as_str() != id.as_str() => {
                let expected = format_args!("the same as {}", first.name);
                return Err(field.refuse(Reason::ConflictingOrderIds, expected));
            }
            Some(_) => {}
        }
    }
    let Some((field, id)) = found else {
        return Err(fields[0].refuse(Reason::InvalidOrderId, EXPECTED_ORDER_ID));
    };
    let Some(key) = key else {
        return Err(Malformed::new(
            Reason::MissingKey,
            "the record has no key; it must be the order id",
        ));
    };
    OrderId::new(id.as_str())
        .ok()
        .and_then(|id| id.within(key).or_else(|| key::order_id(key, id)))
        .ok_or_else(|| field.refuse_key(key))
}

/// Returns whether a JSON number is written as an integer: `17`, neither `17.0` nor `1e2`.
fn is_integer(token: Text<'_>) -> bool {
    !token
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Returns the value of a JSON number that is written as an integer of 64 bits.
#[inline(always)]
fn integer(token: Text<'_>) -> Option<i64> {
    match token.as_bytes() {
        // The fast path, for most versions.
        [digit @ b'0'..=b'9'] => Some((digit - b'0').into()),
        _ => token.as_str().parse().ok(),
    }
}

/// The text of an id. A binary integer's digits take no allocation.
enum IdText<'s> {
    Borrowed(&'s str),
    Integer(Digits),
}

impl IdText<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Integer(digits) => digits.as_str(),
        }
    }
}

/// The maximum number of bytes that an integer of 64 bits is written with: `i64::MIN`, with its sign.
const MAX_INTEGER: usize = 20;

/// An integer's decimal digits.
pub(crate) struct Digits {
    bytes: [u8; MAX_INTEGER],
    length: usize,
}

impl Digits {
    pub(crate) fn of(value: i64) -> Self {
        let mut digits = Self {
            bytes: [0; MAX_INTEGER],
            length: 0,
        };
        write!(digits, "{value}").expect("20 bytes hold every integer of 64 bits");
        digits
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("digits are ASCII")
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes
            .get_mut(self.length..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
