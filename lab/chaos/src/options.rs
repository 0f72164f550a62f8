//! What to run.

use std::time::Duration;

/// How long faults are injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Until this many faults were injected.
    Faults(u32),
    /// For this time.
    For(Duration),
}

impl Length {
    /// Divides a fixed number among the lanes, so that the faults of a seed are always the same.
    pub(crate) fn shares(self, lanes: u32) -> impl Iterator<Item = Self> {
        (0..lanes).map(move |lane| match self {
            Self::Faults(count) => Self::Faults((count + lanes - 1 - lane) / lanes),
            Self::For(time) => Self::For(time),
        })
    }
}

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long faults are injected.
    pub length: Length,
    /// The number of brokers: 1, or 3. With 3 only brokers are faulted.
    pub brokers: u8,
    /// Determines the faults and the load.
    pub seed: u64,
}

impl Options {
    /// Returns the command that repeats the run.
    #[must_use]
    pub fn command(&self) -> String {
        let length = match self.length {
            Length::Faults(faults) => format!("--faults {faults}"),
            Length::For(time) => format!("--minutes {}", time.as_secs() / 60),
        };
        let brokers = match self.brokers {
            1 => String::new(),
            several => format!("--brokers {several} "),
        };
        format!(
            "cargo run --release --bin chaos -- {brokers}{length} --seed {}",
            self.seed
        )
    }
}
