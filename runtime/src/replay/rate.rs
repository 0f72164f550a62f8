//! How fast a replay may read, as a person writes it.

use std::fmt;

use crate::settings::whole;

/// The value of `--rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// At most this many records a second, all threads together.
    PerSecond(u32),
    /// As many as possible.
    Max,
}

impl Rate {
    /// Parses a number of records a second, or `max`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == Self::MAX {
            return Ok(Self::Max);
        }
        whole::<u32>(1..=u32::MAX.into(), "records")(text)
            .map(Self::PerSecond)
            .map_err(|why| format!("{why}, or {}", Self::MAX))
    }

    const MAX: &'static str = "max";
}

/// Formats the rate as it is parsed.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(records) => write!(f, "{records}"),
            Self::Max => f.write_str(Self::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        for (text, rate) in [("1", Rate::PerSecond(1)), ("max", Rate::Max)] {
            assert_eq!(Rate::parse(text), Ok(rate));
            assert_eq!(rate.to_string(), text);
        }
        for text in ["0", "-1", "1.5", "", "fast", "4294967296"] {
            let why = Rate::parse(text).unwrap_err();
            assert!(why.contains("records") && why.contains("max"), "{why}");
        }
    }
}
