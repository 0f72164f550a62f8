//! Whether somebody else uses the transactional ids of this outbox without having its lock.

use std::time::Duration;

/// So often it has to happen: once, a relay that slept between its lock and its fence may do it.
const REPEATED: u32 = 2;

/// A producer that has not fenced this relay for this long is gone.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Counts how often this relay was fenced while it had the lock.
#[derive(Debug, Default)]
pub(super) struct Rival {
    times: u32,
    last: Duration,
}

impl Rival {
    /// This relay was fenced, and its lock's session still lives. Returns whether it is known from
    /// now on that there is a rival.
    pub(super) fn fenced(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.last) >= REMEMBERED {
            self.times = 0;
        }
        self.last = now;
        self.times += 1;
        self.times == REPEATED
    }

    pub(super) fn is_there(&self, now: Duration) -> bool {
        self.times >= REPEATED && now.saturating_sub(self.last) < REMEMBERED
    }

    /// What it means, and what to do.
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
    fn a_rival_is_who_does_it_again_within_minutes() {
        let at = Duration::from_secs;
        let mut rival = Rival::default();
        assert!(!rival.fenced(at(1000)));
        assert!(!rival.is_there(at(1001)));
        assert!(!rival.fenced(at(1400)), "the first was long ago");
        assert!(rival.fenced(at(1402)));
        assert!(!rival.fenced(at(1404)), "that is known");
        assert!(rival.is_there(at(1700)));
        assert!(!rival.is_there(at(1705)));
    }
}
