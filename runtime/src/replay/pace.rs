//! No more records a second than a live system can spare.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Records come in bursts of a tenth of a second's worth: each is one transaction.
const BURSTS: u32 = 10;

/// Shared by all threads.
#[derive(Debug)]
pub struct Pace {
    per_second: Option<u32>,
    burst: Mutex<(Instant, u32)>,
}

impl Pace {
    /// At most so many a second; none: as fast as it goes.
    pub fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            burst: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Whether one more record may be taken now; if not, after how long to ask again.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self) -> Result<(), Duration> {
        self.per_second
            .map_or(Ok(()), |rate| self.take_at(Instant::now(), rate))
    }

    fn take_at(&self, now: Instant, per_second: u32) -> Result<(), Duration> {
        // A rate below ten a second: one record a burst, and longer bursts.
        let most = (per_second / BURSTS).max(1);
        let length = Duration::from_secs(1) * most / per_second;
        let mut burst = self.burst.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, taken) = &mut *burst;
        let age = now.saturating_duration_since(*began);
        if age >= length {
            (*began, *taken) = (now, 0);
        }
        if *taken >= most {
            return Err(length.saturating_sub(age));
        }
        *taken += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_no_more_than_its_rate_and_a_burst() {
        for rate in [1, 7, 10, 25, 1000] {
            let pace = Pace::new(Some(rate));
            let mut now = Instant::now();
            let end = now + Duration::from_secs(3);
            let mut taken = 0;
            while now < end {
                match pace.take_at(now, rate) {
                    Ok(()) => taken += 1,
                    Err(wait) => now += wait,
                }
            }
            assert!(
                taken >= rate * 2 && taken <= rate * 3 + rate / BURSTS + 1,
                "{rate}: {taken}"
            );
        }
        assert!(Pace::new(None).take().is_ok());
    }
}
