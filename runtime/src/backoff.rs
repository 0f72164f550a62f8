//! The one retry policy: exponential, with jitter, without an end. The caller decides what is worth
//! retrying.

use std::cell::RefCell;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static JITTER: RefCell<StdRng> = RefCell::new(StdRng::from_os_rng());
}

/// Draws this thread's jitter from `seed` from now on, so that a simulated run can be repeated.
pub fn repeat_jitter(seed: u64) {
    JITTER.set(StdRng::seed_from_u64(seed));
}

/// The pauses between attempts: each about twice the last, from `first` up to `max`.
///
/// The jitter (a uniformly drawn half of the pause) keeps instances that failed together from
/// retrying together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses from `first` to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            attempts: 0,
        }
    }

    /// Returns the pauses for a service outside of the process (broker, registry, database): from 50 ms,
    /// so that a hiccup costs little, to 2 s, so that it is noticed soon when the service is back.
    pub const fn outside() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }

    /// Returns the pauses for a record that the broker refuses: from 0.5 s to 30 s. Only a person can
    /// remove the cause.
    pub const fn refused() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    /// Returns the number of pauses since the last [`Backoff::reset`].
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the next pause.
    pub fn next_pause(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.attempts.min(16));
        self.attempts = self.attempts.saturating_add(1);
        let full = doubled.min(self.max);
        let half = full / 2;
        let jitter = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        let drawn = JITTER.with_borrow_mut(|random| random.random_range(0..=jitter));
        half + Duration::from_micros(drawn)
    }

    /// Begins again with the first pause, after a success.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        let pauses: Vec<_> = (0..10).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] <= Duration::from_millis(10));
        assert!(
            pauses
                .iter()
                .all(|pause| *pause <= Duration::from_millis(100))
        );
        assert!(pauses[9] >= Duration::from_millis(50));
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(10));
    }
}
