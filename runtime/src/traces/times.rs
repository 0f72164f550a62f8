//! Moments of a loop's clock as times of day.

use std::time::{Duration, SystemTime};

use crate::clock::Clock;

/// Translates moments of a monotonic clock. All moments of one translator have the distances that the
/// clock measured, whatever happens to the time of day meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    now: Duration,
    time_of_day: SystemTime,
}

impl Moments {
    /// Returns a translator for moments of `clock` up to now.
    pub fn of(clock: &impl Clock) -> Self {
        Self {
            now: clock.now(),
            time_of_day: SystemTime::now(),
        }
    }

    /// Returns the time of day of a moment.
    pub fn at(self, moment: Duration) -> SystemTime {
        let ago = self.now.saturating_sub(moment);
        self.time_of_day
            .checked_sub(ago)
            .unwrap_or(self.time_of_day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0)
        }
    }

    #[test]
    fn distances_are_kept() {
        let moments = Moments::of(&At(10));
        let at = |second| moments.at(Duration::from_secs(second));
        let distance = at(9).duration_since(at(2)).unwrap();
        assert_eq!(distance, Duration::from_secs(7));
        assert!(at(10) <= SystemTime::now());
    }
}
