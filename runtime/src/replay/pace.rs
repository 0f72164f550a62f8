//! Bounds the records per second, so that a replay leaves room for the live flow.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bursts per second of a rate that a person has set. Records are read in bursts, because each becomes
/// one transaction.
const BURSTS: u32 = 10;

/// Bursts per second of a replay that gives way. The sink writes the vouchers of a burst before the
/// live ones that come after it, so bursts are small; each costs a transaction, so not smaller.
const SMALL_BURSTS: u32 = 50;

/// The number of small bursts that may be taken at once when threads were busy with their transactions
/// meanwhile.
const MAX_LATE_BURSTS: u32 = 5;

/// Stands for no limit.
const UNLIMITED: u32 = 0;

/// The pace of a replay, shared by all of its threads.
#[derive(Debug)]
pub struct Pace {
    per_second: AtomicU32,
    /// Bursts per second.
    bursts: u32,
    /// How many bursts may be taken at once when they are due.
    max_due: u32,
    /// The records that are left of the current burst.
    left: AtomicU32,
    /// When the current burst began; none before the first one.
    began: Mutex<Option<Instant>>,
    /// The records of all bursts so far.
    allowed: AtomicU64,
    /// The records that were written so far.
    written: AtomicU64,
}

impl Pace {
    /// Allows `per_second` records per second; none: as many as possible.
    pub fn new(per_second: Option<u32>) -> Self {
        Self::with_bursts(per_second, BURSTS, 1)
    }

    /// Allows as many records as possible until a limit is [set](Self::set).
    pub(super) fn in_small_bursts() -> Self {
        Self::with_bursts(None, SMALL_BURSTS, MAX_LATE_BURSTS)
    }

    fn with_bursts(per_second: Option<u32>, bursts: u32, max_due: u32) -> Self {
        Self {
            per_second: AtomicU32::new(per_second.unwrap_or(UNLIMITED)),
            bursts,
            max_due,
            left: AtomicU32::new(0),
            began: Mutex::new(None),
            allowed: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// Changes the limit, from the next burst on.
    pub(super) fn set(&self, per_second: Option<u32>) {
        let per_second = per_second.map_or(UNLIMITED, |rate| rate.max(1));
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Notes that the replay writes a record: a voucher, or a dead letter.
    pub(super) fn note_written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many records could be read under a limit so far, and how many were written.
    pub(super) fn counts(&self) -> (u64, u64) {
        let [allowed, written] =
            [&self.allowed, &self.written].map(|count| count.load(Ordering::Relaxed));
        (allowed, written)
    }

    /// Takes one record from the current burst.
    ///
    /// # Errors
    /// How long to wait until the next burst.
    pub fn take(&self) -> Result<(), Duration> {
        match self.per_second.load(Ordering::Relaxed) {
            UNLIMITED => Ok(()),
            per_second => self.take_at(Instant::now(), per_second),
        }
    }

    fn take_at(&self, now: Instant, per_second: u32) -> Result<(), Duration> {
        if self.take_from_burst() {
            return Ok(());
        }
        // Below one record a burst, a burst is one record, and takes longer.
        let size = (per_second / self.bursts).max(1);
        let length = Duration::from_secs(1) * size / per_second;
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have begun the next burst meanwhile.
        if self.take_from_burst() {
            return Ok(());
        }
        let mut due = 1;
        let mut begins = now;
        if let Some(began) = *began {
            let age = now.saturating_duration_since(began);
            if age < length {
                return Err(length.saturating_sub(age));
            }
            let missed = age.as_nanos() / length.as_nanos().max(1);
            due = u32::try_from(missed)
                .unwrap_or(u32::MAX)
                .clamp(1, self.max_due);
            if due < self.max_due {
                // What is left of the time counts for the next burst.
                begins = began + length * due;
            }
        }
        *began = Some(begins);
        let size = size.saturating_mul(due);
        self.left.store(size - 1, Ordering::Relaxed);
        self.allowed.fetch_add(size.into(), Ordering::Relaxed);
        Ok(())
    }

    fn take_from_burst(&self) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many records are taken within `time` from `start`.
    fn taken(pace: &Pace, rate: u32, start: Instant, time: Duration) -> u32 {
        let (mut now, mut taken) = (start, 0);
        while now < start + time {
            match pace.take_at(now, rate) {
                Ok(()) => taken += 1,
                Err(wait) => now += wait,
            }
        }
        taken
    }

    #[test]
    fn a_second_has_at_most_its_rate_and_one_burst() {
        for (bursts, max_due) in [(BURSTS, 1), (SMALL_BURSTS, MAX_LATE_BURSTS)] {
            for rate in [1, 7, 10, 25, 1000] {
                let pace = Pace::with_bursts(Some(rate), bursts, max_due);
                let taken = taken(&pace, rate, Instant::now(), Duration::from_secs(3));
                assert!(
                    taken >= rate * 2 && taken <= rate * 3 + rate / bursts + 1,
                    "{rate}: {taken}"
                );
                assert_eq!(pace.counts().0, u64::from(taken));
            }
        }
        assert!(Pace::new(None).take().is_ok());
    }

    #[test]
    fn another_limit_holds_from_the_next_burst_on() {
        let (pace, start) = (Pace::in_small_bursts(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(pace.take().is_ok(), "there is no limit yet");
        let slow = taken(&pace, 100, start, second);
        let fast = taken(&pace, 10_000, start + second, second);
        assert!((100..=102).contains(&slow), "{slow}");
        assert!((9_800..=10_400).contains(&fast), "{fast}");
        pace.set(Some(0));
        assert_ne!(pace.per_second.load(Ordering::Relaxed), UNLIMITED);
    }

    #[test]
    fn small_bursts_that_are_late_are_taken_at_once_but_not_many() {
        let (start, rate) = (Instant::now(), 1_000);
        let burst = |pace: &Pace, at: u64| {
            let now = start + Duration::from_millis(at);
            (0..1_000)
                .filter(|_| pace.take_at(now, rate).is_ok())
                .count()
        };
        let small = Pace::in_small_bursts();
        assert_eq!(burst(&small, 0), 20);
        assert_eq!(burst(&small, 50), 40, "two bursts are due");
        assert_eq!(burst(&small, 60), 20, "the third is not late");
        assert_eq!(burst(&small, 5_000), 100, "five at most");
        let fixed = Pace::new(Some(rate));
        assert_eq!(burst(&fixed, 0), 100);
        assert_eq!(
            burst(&fixed, 5_000),
            100,
            "a rate that was set does not catch up"
        );
    }
}
