//! Time as the loops see it: the system's, or a simulator's. The time of day is only for metrics, which
//! compare it with the timestamps of records; no decision depends on it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since some fixed moment; never goes back.
pub trait Clock {
    /// Returns the time that has passed since that moment.
    fn now(&self) -> Duration;
}

/// The operating system's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    /// Starts at zero.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Returns the time of day in milliseconds since the epoch, as records have it.
pub fn unix_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock that shows a time before 1970 was never set.
    let millis = since_epoch.unwrap_or_default().as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Returns how long before `now` something was that has this timestamp. Zero for a timestamp in the
/// future: the clocks of two machines differ.
pub fn age_of(timestamp_millis: i64, now_millis: i64) -> Duration {
    let age = now_millis.saturating_sub(timestamp_millis);
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_negative() {
        assert_eq!(age_of(1_000, 3_500), Duration::from_millis(2_500));
        assert_eq!(age_of(3_500, 1_000), Duration::ZERO);
        assert!(age_of(i64::MIN, i64::MAX) > Duration::ZERO);
    }
}
