//! Whether another producer uses the transactional ids of this outbox without having its lock.

use std::time::Duration;

use crate::relay::limits::{MIN_RIVAL_FENCES, RIVAL_MEMORY};

/// Counts how often this relay was fenced while it had the lock.
#[derive(Debug, Default)]
pub(super) struct Rival {
    fences: u32,
    last: Duration,
}

impl Rival {
    /// Notes that this relay was fenced although its lock's session lives. Returns whether a rival is
    /// certain from now on.
    pub(super) fn note_fence(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.last) >= RIVAL_MEMORY {
            self.fences = 0;
        }
        self.last = now;
        self.fences += 1;
        self.fences == MIN_RIVAL_FENCES
    }

    /// Returns whether there is a rival.
    pub(super) fn is_there(&self, now: Duration) -> bool {
        self.fences >= MIN_RIVAL_FENCES && now.saturating_sub(self.last) < RIVAL_MEMORY
    }

    /// Returns what a rival means, and what to do.
    pub(super) fn sentence(topic: &str) -> String {
        format!(
            "another producer keeps taking over the transactional ids of this outbox although this \
             instance has the outbox's lock: the outbox of another database is published to {topic} \
             under the same name. Give each of them a name of its own with OUTBOX_NAME"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_fences_again_within_minutes() {
        let at = Duration::from_secs;
        let mut rival = Rival::default();
        assert!(!rival.note_fence(at(1000)));
        assert!(!rival.is_there(at(1001)));
        assert!(!rival.note_fence(at(1400)), "the first was long ago");
        assert!(rival.note_fence(at(1402)));
        assert!(!rival.note_fence(at(1404)), "that is known");
        assert!(rival.is_there(at(1700)));
        assert!(!rival.is_there(at(1705)));
    }
}
