//! Detects a producer that uses the transactional ids of this outbox without holding its lock.

use std::time::Duration;

use crate::relay::limits::{COMPETITOR_MEMORY, MIN_COMPETITOR_FENCES};

/// Counts how often this relay was fenced while it had the lock.
#[derive(Debug, Default)]
pub(super) struct CompetingProducer {
    fences: u32,
    last: Duration,
}

impl CompetingProducer {
    /// Notes that this relay was fenced although its lock's session lives. Returns whether this fence
    /// makes a competing producer certain.
    pub(super) fn note_fence(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.last) >= COMPETITOR_MEMORY {
            self.fences = 0;
        }
        self.last = now;
        self.fences += 1;
        self.fences == MIN_COMPETITOR_FENCES
    }

    /// Returns whether there is a competing producer.
    pub(super) fn is_there(&self, now: Duration) -> bool {
        self.fences >= MIN_COMPETITOR_FENCES && now.saturating_sub(self.last) < COMPETITOR_MEMORY
    }

    /// Returns a sentence that says what a competing producer means, and what to do.
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
    fn a_competing_producer_fences_again_within_minutes() {
        let at = Duration::from_secs;
        let mut competing_producer = CompetingProducer::default();
        assert!(!competing_producer.note_fence(at(1000)));
        assert!(!competing_producer.is_there(at(1001)));
        assert!(
            !competing_producer.note_fence(at(1400)),
            "the first was long ago"
        );
        assert!(competing_producer.note_fence(at(1402)));
        assert!(
            !competing_producer.note_fence(at(1404)),
            "it was reported before"
        );
        assert!(competing_producer.is_there(at(1700)));
        assert!(!competing_producer.is_there(at(1705)));
    }
}
