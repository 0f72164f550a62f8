//! Bounds the records per second, so that a replay leaves room for the live flow.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bursts per second. Records are read in bursts, because each becomes one transaction.
const BURSTS: u32 = 10;

/// The pace of a replay, shared by all of its threads.
#[derive(Debug)]
pub struct Pace {
    per_second: Option<u32>,
    burst: Mutex<(Instant, u32)>,
}

impl Pace {
    /// Allows `per_second` records per second; none: as many as possible.
    pub fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            burst: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Takes one record from the current burst.
    ///
    /// # Errors
    /// How long to wait until the next burst.
    pub fn take(&self) -> Result<(), Duration> {
        self.per_second
            .map_or(Ok(()), |rate| self.take_at(Instant::now(), rate))
    }

    fn take_at(&self, now: Instant, per_second: u32) -> Result<(), Duration> {
        // Below ten records per second a burst is one record, and takes longer.
        let size = (per_second / BURSTS).max(1);
        let length = Duration::from_secs(1) * size / per_second;
        let mut burst = self.burst.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, taken) = &mut *burst;
        let age = now.saturating_duration_since(*began);
        if age >= length {
            (*began, *taken) = (now, 0);
        }
        if *taken >= size {
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
    fn a_second_has_at_most_its_rate_and_one_burst() {
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
