//! The one retry: exponential, with jitter, for ever. Whatever calls it decides what is worth retrying.

use std::cell::RefCell;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static JITTER: RefCell<StdRng> = RefCell::new(StdRng::from_os_rng());
}

/// From now on this thread's jitter is that of `seed`: a simulated run can be repeated.
pub fn repeat_jitter(seed: u64) {
    JITTER.set(StdRng::seed_from_u64(seed));
}

/// The pauses between tries: each about twice the last, from `first` up to `most`.
///
/// The jitter (a uniformly drawn half of the pause) keeps instances that failed together from
/// coming back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// Pauses from `first` to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            tries: 0,
        }
    }

    /// For a service outside (broker, registry, database): 50 ms to 2 s.
    pub const fn outside() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }

    /// How many pauses were asked for since the last [`Backoff::reset`].
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.tries.min(16));
        self.tries = self.tries.saturating_add(1);
        let full = doubled.min(self.most);
        let half = full / 2;
        let jitter = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        let drawn = JITTER.with_borrow_mut(|random| random.random_range(0..=jitter));
        half + Duration::from_micros(drawn)
    }

    /// After a success: the next failure starts again from the first pause.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_most_and_start_again_after_a_success() {
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
