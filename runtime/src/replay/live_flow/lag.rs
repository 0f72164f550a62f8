//! How far a group is behind in time, from its committed offsets and the ends of its logs alone: no
//! record is read. Pure.
//!
//! The lag is the age of the oldest record that the group leaves uncommitted when it commits. A record of
//! an open transaction counts, because nobody can read a live record behind it before that transaction
//! ends. Between two commits the age of an uncommitted record says nothing, because offsets of durable
//! work are committed late (ADR 0039). But a commit includes everything that is durable by then: a record
//! that it leaves uncommitted waits in the group's queue, and has waited there for as long as it is old.
//! So the lag of a group that keeps up is near 0, however late it commits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::record::{Offset, Partition, Positions};

/// Offsets before the end of a log that are not taken for records. Transactions leave markers there,
/// one for each producer at most, and a busy group commits the offsets past them only together with
/// the next record.
const MAX_TRAILING_MARKERS: Offset = 4;

/// A group that has committed nothing for this long has records that it cannot finish: more than twice
/// the time for which offsets are deferred at most.
const MAX_COMMIT_INTERVAL: Duration = Duration::from_millis(600);

/// The maximum number of ends that are kept of a partition. Later ends count as old as the last of these:
/// a group that has not committed for that long is far behind in any case.
const MAX_ENDS: usize = 1024;

/// The lag of a group, from one observation to the next. Times are since some fixed moment.
#[derive(Debug, Default)]
pub(super) struct CommitLag {
    partitions: BTreeMap<Partition, PartitionLag>,
    last_commit: Option<Duration>,
}

impl CommitLag {
    /// Notes the committed offsets and the ends of the logs as of `now`. Returns the lag of the partition
    /// that is furthest behind; `None` when nothing can be said until the next commit. Partitions without
    /// a committed offset are left out.
    pub(super) fn note(
        &mut self,
        now: Duration,
        committed: &Positions,
        ends: &Positions,
    ) -> Option<Duration> {
        let mut most = None;
        for (partition, end) in ends {
            if let Some(committed) = committed.get(partition) {
                let partition = self.partitions.entry(*partition).or_default();
                let has_moved = partition.note(now, *committed, *end);
                if has_moved {
                    self.last_commit = Some(now);
                }
                most = most.max(partition.lag(now, has_moved));
            }
        }
        most
    }

    /// Returns when the group was last seen to have committed.
    pub(super) const fn last_commit(&self) -> Option<Duration> {
        self.last_commit
    }
}

#[derive(Debug, Default)]
struct PartitionLag {
    committed: Option<Offset>,
    /// When the committed offset was first seen.
    since: Duration,
    /// Ends of the log past the committed offset, each with the time when it was first seen.
    ends: VecDeque<(Duration, Offset)>,
}

impl PartitionLag {
    /// Returns whether the group has committed since the last call.
    fn note(&mut self, now: Duration, committed: Offset, end: Offset) -> bool {
        let before = self.committed.replace(committed);
        if before != Some(committed) {
            self.since = now;
        }
        while self.ends.front().is_some_and(|(_, end)| *end <= committed) {
            self.ends.pop_front();
        }
        let last = self.ends.back().map_or(committed, |(_, end)| *end);
        if end > last {
            let is_full = self.ends.len() >= MAX_ENDS;
            match self.ends.back_mut() {
                Some(last) if is_full => last.1 = end,
                _ => self.ends.push_back((now, end)),
            }
        }
        before.is_some_and(|before| before != committed)
    }

    fn lag(&self, now: Duration, has_moved: bool) -> Option<Duration> {
        let committed = self.committed? + MAX_TRAILING_MARKERS;
        let Some((seen, _)) = self.ends.iter().find(|(_, end)| *end > committed) else {
            return Some(Duration::ZERO);
        };
        let uncommitted_for = now.saturating_sub(self.since.max(*seen));
        let is_known = has_moved || uncommitted_for > MAX_COMMIT_INTERVAL;
        is_known.then(|| now.saturating_sub(*seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Notes one partition.
    fn note(lag: &mut CommitLag, at: u64, committed: Offset, end: Offset) -> Option<Duration> {
        let [committed, ends] = [committed, end].map(|offset| Positions::from([(0, offset)]));
        lag.note(ms(at), &committed, &ends)
    }

    #[test]
    fn a_group_that_commits_late_but_everything_has_no_lag() {
        let mut lag = CommitLag::default();
        assert_eq!(note(&mut lag, 0, 100, 100), Some(ms(0)));
        assert_eq!(lag.last_commit(), None);
        for at in (20..240).step_by(20) {
            let end = 100 + i64::try_from(at).unwrap();
            assert_eq!(note(&mut lag, at, 100, end), None, "not known at {at}");
        }
        assert_eq!(note(&mut lag, 240, 339, 340), Some(ms(0)));
        assert_eq!(lag.last_commit(), Some(ms(240)));
    }

    #[test]
    fn what_a_commit_leaves_is_as_old_as_it_was_seen() {
        let mut lag = CommitLag::default();
        note(&mut lag, 0, 100, 100);
        note(&mut lag, 20, 100, 200);
        note(&mut lag, 40, 100, 300);
        assert_eq!(note(&mut lag, 100, 200, 300), Some(ms(60)), "up to 300");
        assert_eq!(note(&mut lag, 120, 250, 300), Some(ms(80)), "half of it");
        assert_eq!(note(&mut lag, 140, 300, 300), Some(ms(0)));
    }

    #[test]
    fn a_group_that_commits_nothing_any_more_falls_behind() {
        let mut lag = CommitLag::default();
        note(&mut lag, 0, 100, 100);
        note(&mut lag, 20, 100, 200);
        assert_eq!(note(&mut lag, 600, 100, 300), None);
        assert_eq!(note(&mut lag, 640, 100, 300), Some(ms(620)));
        assert_eq!(note(&mut lag, 5_000, 100, 300), Some(ms(4_980)));
    }

    #[test]
    fn markers_at_the_end_of_the_log_are_no_lag() {
        let mut lag = CommitLag::default();
        note(&mut lag, 0, 100, 104);
        assert_eq!(note(&mut lag, 9_000, 100, 104), Some(ms(0)));
        // The first records after a long silence are not as old as the markers before them.
        assert_eq!(note(&mut lag, 9_020, 100, 150), None);
        assert_eq!(note(&mut lag, 9_040, 120, 150), Some(ms(20)));
    }

    #[test]
    fn the_partition_that_is_furthest_behind_counts() {
        let mut lag = CommitLag::default();
        let positions = |at: [Offset; 2]| Positions::from([(0, at[0]), (1, at[1])]);
        let mut note = |at: u64, committed: [Offset; 2], ends: [Offset; 2]| {
            lag.note(ms(at), &positions(committed), &positions(ends))
        };
        note(0, [0, 0], [0, 0]);
        note(20, [0, 0], [50, 50]);
        assert_eq!(note(50, [50, 10], [50, 50]), Some(ms(30)));
        assert_eq!(note(70, [50, 50], [50, 50]), Some(ms(0)));
    }

    #[test]
    fn a_partition_that_was_never_committed_is_left_out() {
        let mut lag = CommitLag::default();
        let ends = Positions::from([(0, 50)]);
        assert_eq!(lag.note(ms(0), &Positions::new(), &ends), None);
        assert_eq!(lag.note(ms(5_000), &Positions::new(), &ends), None);
    }

    #[test]
    fn a_group_that_stands_for_long_takes_bounded_memory() {
        let mut lag = CommitLag::default();
        for at in 0..3_000 {
            note(&mut lag, at, 0, i64::try_from(at).unwrap());
        }
        assert_eq!(lag.partitions[&0].ends.len(), MAX_ENDS);
        assert_eq!(note(&mut lag, 3_000, 2_999, 2_999), Some(ms(0)));
        assert_eq!(lag.partitions[&0].ends.len(), 0);
    }
}
