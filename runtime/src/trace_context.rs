//! W3C Trace Context: the `traceparent` that is passed from the HTTP request through Kafka headers to
//! the voucher row. <https://www.w3.org/TR/trace-context/>

use std::fmt;

use rand::Rng;

/// The name of the header, in HTTP and in Kafka.
pub const TRACEPARENT: &str = "traceparent";

/// The flag that says that spans of the trace are recorded.
const SAMPLED: u8 = 1;

/// Where the last digit of the flags is in the text of a header. Its lowest bit is [`SAMPLED`].
const LAST_FLAG_DIGIT: usize = 54;

/// A valid `traceparent`, version 00: trace id, the parent's span id, flags.
///
/// An invalid header is ignored, as the specification requires, so that no control character and no
/// overlong foreign text reaches a header, a log line or a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// Returns a new trace, for a request without one. It is not marked as sampled: whether its spans are
    /// recorded is decided by [`Tracer::admit`](crate::traces::Tracer::admit).
    pub fn random() -> Self {
        let mut rng = rand::rng();
        Self {
            trace: rng.random_range(1..=u128::MAX),
            span: rng.random_range(1..=u64::MAX),
            flags: 0,
        }
    }

    /// Parses the value of a header; `None` when it is invalid or an id is zero.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower_hex = |part: &str, digits: usize| {
            part.len() == digits
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let well_formed = lower_hex(version, 2)
            && version != "ff"
            // A later version may append parts; version 00 has exactly four.
            && (version != "00" || parts.next().is_none())
            && lower_hex(trace, 32)
            && lower_hex(span, 16)
            && lower_hex(flags, 2);
        if !well_formed {
            return None;
        }
        let parsed = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parsed.trace != 0 && parsed.span != 0).then_some(parsed)
    }

    /// Returns whether a header says that spans of its trace are recorded. Compares one byte, because most
    /// headers say no and are not worth parsing. Does not check that the header is valid.
    pub fn may_be_sampled(header: &[u8]) -> bool {
        matches!(
            header.get(LAST_FLAG_DIGIT),
            Some(b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f')
        )
    }

    /// Returns whether spans of the trace are recorded.
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }

    /// Returns the same trace and span, with this decision whether spans are recorded.
    #[must_use]
    pub const fn with_sampled(self, is_sampled: bool) -> Self {
        let others = self.flags & !SAMPLED;
        Self {
            flags: if is_sampled { others | SAMPLED } else { others },
            ..self
        }
    }

    /// Returns the ids of the trace and of the span. Neither is zero.
    pub(crate) const fn ids(self) -> (u128, u64) {
        (self.trace, self.span)
    }

    /// Returns the id of the trace, 32 hex digits, which viewers of traces search by.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Returns the same trace with a new span. For a span that is recorded: a service that records none
    /// passes on what it received, because a span id that nobody recorded is a parent that no viewer finds.
    pub fn child(self) -> Self {
        Self {
            span: rand::rng().random_range(1..=u64::MAX),
            ..self
        }
    }
}

/// Returns the id of the trace that a header names, for a log line about one record; `None` for an
/// invalid header.
pub fn trace_id(header: &str) -> Option<String> {
    TraceParent::parse(header.as_bytes()).map(TraceParent::trace_id)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.span, self.flags
        )
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_header_survives_the_round_trip() {
        let parsed = TraceParent::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), EXAMPLE);
        assert_eq!(parsed.trace_id(), EXAMPLE[3..35]);
        let child = parsed.child().to_string();
        assert_eq!(child[..36], EXAMPLE[..36], "the trace id stays");
        assert_ne!(child, EXAMPLE, "the span is new");
    }

    #[test]
    fn a_callers_flags_are_kept_and_a_new_trace_is_not_sampled() {
        for flags in ["00", "01", "02", "03"] {
            let header = format!("{}{flags}", &EXAMPLE[..53]);
            let passed_on = TraceParent::parse(header.as_bytes()).unwrap().child();
            assert_eq!(&passed_on.to_string()[52..], format!("-{flags}"));
        }
        assert_eq!(&TraceParent::random().child().to_string()[52..], "-00");
    }

    #[test]
    fn the_sampled_flag_is_found_in_the_text_and_changes_no_other_flag() {
        for flags in 0..=u8::MAX {
            let header = format!("{}{flags:02x}", &EXAMPLE[..53]);
            let parsed = TraceParent::parse(header.as_bytes()).unwrap();
            assert_eq!(parsed.is_sampled(), flags % 2 == 1);
            assert_eq!(
                TraceParent::may_be_sampled(header.as_bytes()),
                parsed.is_sampled()
            );
            for is_sampled in [false, true] {
                let changed = parsed.with_sampled(is_sampled).to_string();
                let expected = (flags & !SAMPLED) | u8::from(is_sampled);
                assert_eq!(changed, format!("{}{expected:02x}", &EXAMPLE[..53]));
            }
        }
        assert!(!TraceParent::may_be_sampled(b""));
    }

    #[test]
    fn an_invalid_header_is_ignored() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
