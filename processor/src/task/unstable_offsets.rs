//! Offsets that the group does not return, because an open transaction makes them unstable.

use std::time::Duration;

use crate::limits::{HANGING_SEARCH_INTERVAL, MAX_HANGING_SEARCH_INTERVAL};

/// Tracks for how long the group has not returned the offsets of this task's partitions.
///
/// A transaction that keeps offsets unstable for longer than its timeout is hanging. Taking over the
/// transactional ids again ends a hanging transaction of this task, but not one of another producer,
/// so the searches become rare.
#[derive(Debug)]
pub(super) struct UnstableOffsets {
    since: Option<Duration>,
    search_after: Duration,
}

impl Default for UnstableOffsets {
    fn default() -> Self {
        Self {
            since: None,
            search_after: HANGING_SEARCH_INTERVAL,
        }
    }
}

impl UnstableOffsets {
    /// Notes that the group did not return the offsets. Returns whether to search for hanging
    /// transactions.
    pub(super) fn note_unstable(&mut self, now: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < self.search_after {
            return false;
        }
        self.since = None;
        self.search_after = (self.search_after * 2).min(MAX_HANGING_SEARCH_INTERVAL);
        true
    }

    /// Notes that the group returned all offsets.
    pub(super) fn note_stable(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_begin_after_a_transactions_timeout_and_become_rare() {
        let mut offsets = UnstableOffsets::default();
        let searches: Vec<_> = (0..100)
            .filter(|second| offsets.note_unstable(Duration::from_secs(*second)))
            .collect();
        assert_eq!(searches, [10, 31, 72]);
        offsets.note_stable();
        assert!(!offsets.note_unstable(Duration::from_secs(100)));
        assert!(offsets.note_unstable(Duration::from_secs(110)));
    }
}
