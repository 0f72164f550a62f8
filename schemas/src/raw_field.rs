//! What was found in a known field, before it is interpreted.

use std::borrow::Cow;

use crate::malformed::quoted;
use crate::text::Text;

/// The content of one known field, whatever the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawField<'a> {
    /// The record has no such field.
    Absent,
    /// JSON or Avro null.
    Null,
    /// A string, or an Avro enum's symbol.
    Text(Text<'a>),
    /// A JSON number, as it is written. Its grammar has been checked.
    Number(Text<'a>),
    /// An Avro int or long.
    Integer(i64),
    /// An Avro decimal: `unscaled * 10^-scale`.
    Decimal {
        /// Big-endian two's complement, as the writer encoded it.
        unscaled: &'a [u8],
        /// The writer's scale.
        scale: u32,
    },
    /// Avro timestamp-millis, since the epoch.
    TimestampMillis(i64),
    /// Avro timestamp-micros, since the epoch.
    TimestampMicros(i64),
    /// A type that no field may have, by its name with its article.
    Other(&'static str),
}

impl RawField<'_> {
    /// Returns whether the field is absent, or null, which counts as absent.
    #[inline(always)]
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// Returns the type with its article, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Integer(_) => "an integer",
            Self::Decimal { .. } => "a decimal",
            Self::TimestampMillis(_) | Self::TimestampMicros(_) => "a timestamp",
            Self::Other(kind) => kind,
        }
    }

    /// Returns the content, shortened, for a message, or the type if the content says nothing.
    pub(crate) fn shown(&self) -> Cow<'static, str> {
        match self {
            Self::Text(text) | Self::Number(text) => quoted(text.as_str()).into(),
            Self::Integer(value) => value.to_string().into(),
            _ => self.kind().into(),
        }
    }
}
