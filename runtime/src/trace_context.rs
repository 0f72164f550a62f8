//! W3C Trace Context: the `traceparent` that is passed from the HTTP request through Kafka headers to
//! the voucher row. <https://www.w3.org/TR/trace-context/>

use std::fmt;

use rand::Rng;

/// The name of the header, in HTTP and in Kafka.
pub const TRACEPARENT: &str = "traceparent";

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
    /// Returns a new trace, for a request without one. It is not marked as sampled: the flag says that
    /// the caller may have recorded spans, and these services record none. A caller's flags are passed on
    /// unchanged.
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

    /// Returns the id of the trace, 32 hex digits, which viewers of traces search by.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Returns the same trace with a new span, which a service passes on.
    pub fn child(self) -> Self {
        Self {
            span: rand::rng().random_range(1..=u64::MAX),
            ..self
        }
    }
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
