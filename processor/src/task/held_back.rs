//! Offsets of the group that are asked for in vain.

use std::time::Duration;

use runtime::kafka::TRANSACTION_TIMEOUT;

/// The longest time between two searches for hanging transactions.
const MAX_PATIENCE: Duration = Duration::from_secs(600);

/// How long the group has not told offsets of ours.
///
/// A live transaction holds offsets back for its timeout at most. What is held back for longer hangs,
/// and only taking over the transactional ids again ends a hanging transaction of our own. Another's
/// stays, so the searches become rare.
#[derive(Debug)]
pub(super) struct HeldBack {
    since: Option<Duration>,
    patience: Duration,
}

impl Default for HeldBack {
    fn default() -> Self {
        Self {
            since: None,
            patience: TRANSACTION_TIMEOUT,
        }
    }
}

impl HeldBack {
    /// Notes that offsets were not told. Returns whether it is time to search.
    pub(super) fn note(&mut self, now: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < self.patience {
            return false;
        }
        self.since = None;
        self.patience = (self.patience * 2).min(MAX_PATIENCE);
        true
    }

    /// Notes that all offsets were told.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_to_search_after_a_transactions_timeout_and_then_ever_more_rarely() {
        let mut held_back = HeldBack::default();
        let searches: Vec<_> = (0..100)
            .filter(|second| held_back.note(Duration::from_secs(*second)))
            .collect();
        assert_eq!(searches, [10, 31, 72]);
        held_back.over();
        assert!(!held_back.note(Duration::from_secs(100)));
        assert!(held_back.note(Duration::from_secs(110)));
    }
}
