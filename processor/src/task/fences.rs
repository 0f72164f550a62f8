//! Telling one lost race from two processes with one name.

use std::collections::VecDeque;
use std::time::Duration;

/// So many fences within [`WINDOW`] are two processes that fight over one transactional id.
const MOST: usize = 3;
const WINDOW: Duration = Duration::from_secs(120);

/// When this task was fenced. A single fence is an instance that was replaced while it slept, or a
/// transaction that outlived its timeout: it goes on.
#[derive(Debug, Default)]
pub(super) struct Fences {
    times: VecDeque<Duration>,
}

impl Fences {
    /// Notes a fence; true when somebody else keeps taking the name.
    pub(super) fn note(&mut self, now: Duration) -> bool {
        self.times.push_back(now);
        while self
            .times
            .front()
            .is_some_and(|first| now.saturating_sub(*first) > WINDOW)
        {
            self.times.pop_front();
        }
        self.times.len() >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_fences_in_two_minutes_are_a_fight_and_scattered_ones_are_not() {
        let mut fences = Fences::default();
        assert!(!fences.note(Duration::from_secs(0)));
        assert!(!fences.note(Duration::from_secs(130)));
        assert!(!fences.note(Duration::from_secs(140)));
        assert!(fences.note(Duration::from_secs(150)));
    }
}
