//! Offsets of durable work, committed together with those of later work.
//!
//! A commit is a round trip during which records wait, so one commit serves many batches. After a
//! crash the records of uncommitted offsets are processed again; that is idempotent, or consumers
//! ignore the repetition.

use std::time::Duration;

use crate::record::{Partition, Positions};

/// How long offsets wait when no later work follows. Long enough that batches which follow each other
/// share a commit; short enough that the lag of an idle group soon shows 0.
const DELAY: Duration = Duration::from_millis(200);

/// How long offsets wait at most. Bounds how many records are processed again after a crash, and how late
/// a backfill notices that it delays the group. A commit takes one to two milliseconds, so it costs a
/// busy task less than a hundredth of its time.
const MAX_DELAY: Duration = Duration::from_millis(250);

/// Offsets to be committed, and when.
#[derive(Debug, Default)]
pub struct DeferredOffsets {
    positions: Positions,
    due: Duration,
    latest: Duration,
}

impl DeferredOffsets {
    /// Adds the offsets of work that is durable at `now`.
    pub fn add(&mut self, positions: &Positions, now: Duration) {
        if self.positions.is_empty() {
            self.latest = now + MAX_DELAY;
        }
        self.due = self.latest.min(now + DELAY);
        self.positions.extend(positions);
    }

    /// Returns the offsets to be committed.
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Returns whether there are no offsets to be committed.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Returns how long the commit may still wait; `None` when there is nothing to commit.
    pub fn time_left(&self, now: Duration) -> Option<Duration> {
        (!self.is_empty()).then(|| self.due.saturating_sub(now))
    }

    /// Returns whether the commit is due.
    pub fn are_due(&self, now: Duration) -> bool {
        self.time_left(now).is_some_and(|left| left.is_zero())
    }

    /// Takes the offsets out, because they are committed.
    pub fn take(&mut self) -> Positions {
        std::mem::take(&mut self.positions)
    }

    /// Drops the offset of a revoked partition.
    pub fn forget(&mut self, partition: Partition) {
        self.positions.remove(&partition);
    }

    /// Drops all offsets: their records will be processed again.
    pub fn clear(&mut self) {
        self.positions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(150);

    #[test]
    fn a_commit_that_no_work_follows_waits_a_little() {
        let mut deferred = DeferredOffsets::default();
        assert_eq!(deferred.time_left(STEP), None);
        deferred.add(&Positions::from([(0, 1)]), STEP);
        assert_eq!(deferred.time_left(STEP), Some(DELAY));
        assert!(!deferred.are_due(STEP));
        assert!(deferred.are_due(STEP + DELAY));
        assert_eq!(deferred.take(), Positions::from([(0, 1)]));
        assert!(!deferred.are_due(STEP + DELAY));
    }

    #[test]
    fn a_steady_flow_does_not_put_the_commit_off_for_ever() {
        let mut deferred = DeferredOffsets::default();
        let mut now = Duration::ZERO;
        let mut offset = 0;
        while !deferred.are_due(now) {
            offset += 1;
            deferred.add(&Positions::from([(0, offset)]), now);
            now += STEP;
        }
        assert_eq!(now, MAX_DELAY.div_duration_f64(STEP).ceil() as u32 * STEP);
        assert_eq!(deferred.positions(), &Positions::from([(0, offset)]));
    }

    #[test]
    fn a_revoked_partition_is_not_committed() {
        let mut deferred = DeferredOffsets::default();
        deferred.add(&Positions::from([(0, 1), (1, 1)]), STEP);
        deferred.forget(0);
        assert_eq!(deferred.positions(), &Positions::from([(1, 1)]));
        deferred.clear();
        assert!(deferred.is_empty());
    }
}
