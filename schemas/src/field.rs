//! How the content of a field is understood: one set of rules for both formats.

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

/// A known field and what was found in it.
#[derive(Clone, Copy)]
pub(crate) struct Field<'s, 'a> {
    name: &'static str,
    slot: &'s RawField<'a>,
    is_confidential: bool,
}

impl<'s, 'a> Field<'s, 'a> {
    /// A field whose content may be shown in a message.
    pub(crate) fn new(name: &'static str, slot: &'s RawField<'a>) -> Self {
        Self {
            name,
            slot,
            is_confidential: false,
        }
    }

    /// A field of a record that holds a secret, maybe in the wrong field: of its content, messages
    /// tell the type.
    pub(crate) fn confidential(name: &'static str, slot: &'s RawField<'a>) -> Self {
        Self {
            name,
            slot,
            is_confidential: true,
        }
    }

    /// The fault that the field is not what it should be.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(self, reason: Reason, expected: impl fmt::Display) -> Malformed {
        let found = if self.is_confidential {
            self.slot.kind().into()
        } else {
            self.slot.shown()
        };
        Malformed::new(
            reason,
            format!("{}: expected {expected}, found {found}", self.name),
        )
    }

    /// The fault that the record's key says another id than this field.
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

    /// A string, or an Avro enum's symbol.
    #[inline(always)]
    pub(crate) fn text(self) -> Option<Text<'a>> {
        match self.slot {
            RawField::Text(text) => Some(*text),
            _ => None,
        }
    }

    /// The same as a `str`, which costs a check of its UTF-8.
    pub(crate) fn str(self) -> Option<&'a str> {
        self.text().map(Text::as_str)
    }

    /// A number of any exact type, or a string that holds one.
    #[inline(always)]
    pub(crate) fn decimal(self) -> Result<Decimal, DecimalError> {
        match self.slot {
            RawField::Text(text) | RawField::Number(text) => decimal::parse_bytes(text.as_bytes()),
            RawField::Integer(value) => decimal::from_unscaled(&value.to_be_bytes(), 0),
            RawField::Decimal { unscaled, scale } => decimal::from_unscaled(unscaled, *scale),
            _ => Err(DecimalError::NotANumber),
        }
    }

    /// Three letters of any case; missing: the default.
    #[inline(always)]
    pub(crate) fn currency_or(self, default: Currency) -> Result<Currency, Malformed> {
        if self.slot.is_missing() {
            Ok(default)
        } else {
            self.currency()
        }
    }

    /// Three letters of any case.
    #[inline(always)]
    pub(crate) fn currency(self) -> Result<Currency, Malformed> {
        self.text()
            .and_then(|text| Currency::of(text.as_bytes()))
            .ok_or_else(|| self.refuse(Reason::InvalidCurrency, "three letters such as EUR"))
    }

    /// An integer of 64 bits, or missing.
    #[inline(always)]
    pub(crate) fn version(self) -> Result<Option<i64>, Malformed> {
        let version = match self.slot {
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

    /// A time within the range of records, or missing.
    #[inline(always)]
    pub(crate) fn timestamp(self) -> Result<Option<Timestamp>, Malformed> {
        let time = match self.slot {
            RawField::Absent | RawField::Null => return Ok(None),
            RawField::Text(text) => Timestamp::parse(text.as_bytes()),
            RawField::Number(token) if is_integer(*token) => {
                // Beyond 64 bits it is a time all the same, far out of range.
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

    /// A string, or an integer's decimal digits, that may name an order; missing: none.
    fn order_id(self) -> Result<Option<IdText<'a>>, Malformed> {
        let id = match *self.slot {
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

/// The order's id, as the record's key has it. `fields` are those that may hold it, and all that do
/// must agree.
#[inline(always)]
pub(crate) fn order_id<'k, const F: usize>(
    key: Option<&'k [u8]>,
    fields: [Field<'_, '_>; F],
) -> Result<OrderId<'k>, Malformed> {
    // Nearly always one field has it, a text of printable ASCII that is the key's.
    let [first, others @ ..] = &fields[..] else {
        unreachable!("some field holds the id");
    };
    if let (RawField::Text(id), Some(key)) = (first.slot, key)
        && others.iter().all(|other| other.slot.is_missing())
        && let Some(id) = OrderId::of_both(key, id.as_bytes())
    {
        return Ok(id);
    }
    any_order_id(key, fields)
}

/// The same of any fields.
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

/// Whether a JSON number's text is an integer as it stands: `17`, neither `17.0` nor `1e2`.
fn is_integer(token: Text<'_>) -> bool {
    !token
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// A JSON number's value, if it is an integer of 64 bits as it stands.
#[inline(always)]
fn integer(token: Text<'_>) -> Option<i64> {
    match token.as_bytes() {
        // Most versions.
        [digit @ b'0'..=b'9'] => Some((digit - b'0').into()),
        _ => token.as_str().parse().ok(),
    }
}

/// The text of an id, without an allocation for a binary integer's digits.
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

/// The most bytes that an integer of 64 bits is written with: `i64::MIN`, with its sign.
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
