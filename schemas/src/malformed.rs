//! Why a record is a dead letter: a reason for machines, a sentence for people.

use std::fmt;

use crate::printable::push_printable;

/// The maximum number of bytes of a message, which is sent in a header of the dead letter.
const MAX_MESSAGE: usize = 1024;

/// The maximum number of characters that are shown of a text that was found.
const MAX_QUOTE: usize = 64;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The kind of fault. Its name, [`as_str`](Reason::as_str), is the header `dlq.reason` and the
        /// label of a metric, so it is never changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, for metrics that start at zero.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name, in `snake_case`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// The value has no bytes. It is no tombstone, which is a null value.
    EmptyValue = "empty_value",
    /// The id of the value's schema is cut off, or a header has it in another form.
    InvalidFraming = "invalid_framing",
    /// The value is no JSON (RFC 8259, UTF-8, at most 128 levels deep).
    InvalidJson = "invalid_json",
    /// The bytes do not follow the writer's Avro schema.
    InvalidAvro = "invalid_avro",
    /// The value goes on after the record's end.
    TrailingBytes = "trailing_bytes",
    /// The value is well formed, but no object (JSON) or record (Avro).
    NotAnObject = "not_an_object",
    /// The order is inside of another record: a change event, or a schema and a payload.
    WrappedRecord = "wrapped_record",
    /// The value has a known field twice.
    RepeatedField = "repeated_field",
    /// The registry does not know the schema id.
    UnknownSchema = "unknown_schema",
    /// The writer's schema cannot be read, or is not that of a record.
    UnsupportedSchema = "unsupported_schema",
    /// The value has a schema and no registry is set.
    RegistryNotConfigured = "registry_not_configured",
    /// The order id is absent, of a wrong type, too long, or has control characters.
    InvalidOrderId = "invalid_order_id",
    /// `order_id` and `id` differ.
    ConflictingOrderIds = "conflicting_order_ids",
    /// The record has no key.
    MissingKey = "missing_key",
    /// The key says another id than the value, in whatever form ([`KeyForm`](crate::KeyForm)).
    KeyMismatch = "key_mismatch",
    /// The status is absent or no text.
    InvalidStatus = "invalid_status",
    /// The status is a text that names no status.
    UnknownStatus = "unknown_status",
    /// The total is absent or no decimal number.
    InvalidTotal = "invalid_total",
    /// The total is negative, or 10^15 or more.
    TotalOutOfRange = "total_out_of_range",
    /// The total has more than 28 significant digits, or more than 28 decimals.
    TotalTooPrecise = "total_too_precise",
    /// The currency is not three ASCII letters.
    InvalidCurrency = "invalid_currency",
    /// The version is no integer of 64 bits.
    InvalidVersion = "invalid_version",
    /// A required time is absent, or a time cannot be read.
    InvalidTimestamp = "invalid_timestamp",
    /// A time is before 2000 or after 2099.
    TimestampOutOfRange = "timestamp_out_of_range",
    /// A sent order's record has no time at all, not even Kafka's.
    MissingTimestamp = "missing_timestamp",
    /// The campaign's name is absent or not `[a-z0-9-]{1,64}`.
    InvalidCampaign = "invalid_campaign",
    /// The voucher's code is absent or not 1 to 64 printable characters.
    InvalidCode = "invalid_code",
    /// The voucher's amount is absent, not above zero, 10^15 or more, or too precise.
    InvalidAmount = "invalid_amount",
    /// Another voucher has the code.
    CodeTaken = "code_taken",
    /// The database refuses this row because of its data.
    RejectedByDatabase = "rejected_by_database",
    /// Processing failed on this record again and again, for an unexpected reason.
    ProcessingFailed = "processing_failed",
}

impl Reason {
    /// Returns whether the value could not be parsed, so that it may have another framing than its first
    /// bytes suggest. With every other reason the value is known to be a record in its format.
    #[must_use]
    pub const fn is_unparsable(self) -> bool {
        matches!(
            self,
            Self::EmptyValue
                | Self::InvalidFraming
                | Self::InvalidJson
                | Self::InvalidAvro
                | Self::TrailingBytes
                | Self::NotAnObject
                | Self::UnknownSchema
                | Self::UnsupportedSchema
                | Self::RegistryNotConfigured
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault in a record's data, which makes the record a dead letter.
///
/// Displays as the sentence for a person: at most 1 KiB, printable (see [`is_unprintable`]), and
/// without any voucher's code.
///
/// [`is_unprintable`]: crate::is_unprintable
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    reason: Reason,
    message: String,
}

impl Malformed {
    /// Returns a fault. Unprintable characters of the message are escaped, and what goes beyond 1 KiB is
    /// cut.
    #[must_use]
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        Self {
            reason,
            message: shortened(message.as_ref(), MAX_MESSAGE),
        }
    }

    /// Returns the kind of fault.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the sentence for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}

/// Returns the start of `text` in quotes, for a message.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("\"{}...\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

/// Returns `text` with unprintable characters escaped, cut to `longest` bytes.
fn shortened(text: &str, longest: usize) -> String {
    const CUT: &str = "...";
    let mut shown = String::with_capacity(text.len().min(longest));
    // Where the text can be cut so that the mark fits behind it.
    let mut cut_at = 0;
    for character in text.chars() {
        if shown.len() + CUT.len() <= longest {
            cut_at = shown.len();
        }
        push_printable(character, &mut shown);
        if shown.len() > longest {
            shown.truncate(cut_at);
            shown.push_str(CUT);
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_name_in_snake_case() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            let name = reason.as_str();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(Reason::ALL[..at].iter().all(|other| other.as_str() != name));
        }
    }

    #[test]
    fn a_message_is_one_printable_line_of_at_most_1_kib() {
        let message = |text: String| Malformed::new(Reason::InvalidJson, text).to_string();
        assert_eq!(message("a\nb\u{0}\u{85}".into()), "a\\nb\\u{0}\\u{85}");
        assert_eq!(message("\u{202e}\u{2028}".into()), "\\u{202e}\\u{2028}");
        assert_eq!(message("x".repeat(1024)), "x".repeat(1024));
        for long in ["x", "é", "漢", "\n", "\u{85}", "😀"] {
            for offset in 0..8 {
                let shown = message("x".repeat(offset) + &long.repeat(2000));
                assert!(shown.len() <= 1024 && shown.len() > 1000, "{}", shown.len());
                assert!(shown.ends_with("..."));
                assert!(!shown.contains(char::is_control));
            }
        }
    }

    #[test]
    fn a_quote_is_shortened_between_characters() {
        assert_eq!(quoted("short"), "\"short\"");
        assert_eq!(quoted(&"é".repeat(64)), format!("\"{}\"", "é".repeat(64)));
        assert_eq!(
            quoted(&"é".repeat(65)),
            format!("\"{}...\"", "é".repeat(64))
        );
    }
}
