//! Offsets of work that is durable, and whose commit waits for those of later work.
//!
//! Who reads such records again does again what is known to be done, to no effect or to one that
//! consumers ignore; while a commit is a round trip that all records wait for that come meanwhile.

use std::time::Duration;

use crate::record::{Partition, Positions};

/// How long they wait when nothing follows.
const LATE: Duration = Duration::from_millis(200);

/// How long they wait at most.
const LATEST: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub struct DeferredOffsets {
    positions: Positions,
    due: Duration,
    latest: Duration,
}

impl DeferredOffsets {
    /// Takes the offsets of what was done at `now`.
    pub fn add(&mut self, positions: &Positions, now: Duration) {
        if self.positions.is_empty() {
            self.latest = now + LATEST;
        }
        self.due = self.latest.min(now + LATE);
        self.positions.extend(positions);
    }

    /// What is to be committed.
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Whether there is nothing to be committed.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// How long it may still wait; without anything, nobody waits.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        (!self.is_empty()).then(|| self.due.saturating_sub(now))
    }

    /// Whether it has waited long enough.
    pub fn are_due(&self, now: Duration) -> bool {
        self.left(now).is_some_and(|left| left.is_zero())
    }

    /// They are committed.
    pub fn take(&mut self) -> Positions {
        std::mem::take(&mut self.positions)
    }

    /// Another's now.
    pub fn forget(&mut self, partition: Partition) {
        self.positions.remove(&partition);
    }

    /// They will not be committed.
    pub fn clear(&mut self) {
        self.positions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(150);

    #[test]
    fn what_nothing_follows_waits_a_little() {
        let mut late = DeferredOffsets::default();
        assert_eq!(late.left(STEP), None);
        late.add(&Positions::from([(0, 1)]), STEP);
        assert_eq!(late.left(STEP), Some(LATE));
        assert!(!late.are_due(STEP));
        assert!(late.are_due(STEP + LATE));
        assert_eq!(late.take(), Positions::from([(0, 1)]));
        assert!(!late.are_due(STEP + LATE));
    }

    #[test]
    fn a_steady_flow_does_not_put_the_commit_off_for_ever() {
        let mut late = DeferredOffsets::default();
        let mut now = Duration::ZERO;
        let mut offset = 0;
        while !late.are_due(now) {
            offset += 1;
            late.add(&Positions::from([(0, offset)]), now);
            now += STEP;
        }
        assert_eq!(now, LATEST.div_duration_f64(STEP).ceil() as u32 * STEP);
        assert_eq!(late.positions(), &Positions::from([(0, offset)]));
    }

    #[test]
    fn a_partition_that_is_anothers_is_not_committed() {
        let mut late = DeferredOffsets::default();
        late.add(&Positions::from([(0, 1), (1, 1)]), STEP);
        late.forget(0);
        assert_eq!(late.positions(), &Positions::from([(1, 1)]));
        late.clear();
        assert!(late.is_empty());
    }
}
