//! Counts fences: a single one is harmless, several in a row may mean two processes with one name.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{FENCE_WINDOW, MAX_FENCES};

/// The times at which this task was fenced, within [`FENCE_WINDOW`].
///
/// A single fence comes from an instance that was replaced while it slept, or from a join that the
/// client repeated and a slow coordinator answered twice. Even several may come from the latter, so
/// the count alone ends no process (see `Task::look_for_another`).
#[derive(Debug, Default)]
pub(super) struct Fences {
    times: VecDeque<Duration>,
}

impl Fences {
    /// Notes a fence. Returns whether there were so many that another process may have this task's name.
    pub(super) fn note(&mut self, now: Duration) -> bool {
        self.times.push_back(now);
        while self
            .times
            .front()
            .is_some_and(|first| now.saturating_sub(*first) > FENCE_WINDOW)
        {
            self.times.pop_front();
        }
        self.times.len() >= MAX_FENCES
    }

    /// Forgets all fences: no other process caused them.
    pub(super) fn forget(&mut self) {
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_fences_in_two_minutes_are_suspicious_and_scattered_ones_are_not() {
        let mut fences = Fences::default();
        assert!(!fences.note(Duration::from_secs(0)));
        assert!(!fences.note(Duration::from_secs(130)));
        assert!(!fences.note(Duration::from_secs(140)));
        assert!(fences.note(Duration::from_secs(150)));
        fences.forget();
        assert!(!fences.note(Duration::from_secs(151)));
    }
}
