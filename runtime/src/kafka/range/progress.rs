//! How far a range was read. The range ends at its offset, whatever end a broker tells.
//!
//! A follower that is chosen by `client.rack`, or a leader that was elected a moment ago, may know of
//! fewer records than the leader that was asked for the end at the start. So an end before the range's
//! own is no end: it is waited for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::record::{Offset, Partition};

/// A person who waits is told so often what is waited for.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How long an earlier end is waited for. Longer than a transaction may stay open by default, with
/// the time that a broker takes to abort it.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The end of every partition that is not read to it yet.
    ends: BTreeMap<Partition, Offset>,
    /// Partitions that ended and were not told yet.
    ended: Vec<Partition>,
    /// Partitions that were read to an end before their own.
    early: BTreeMap<Partition, Early>,
}

/// An end that is not the range's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Early {
    told: Offset,
    since: Instant,
    line_at: Instant,
}

/// A partition that is read to an end before its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) partition: Partition,
    /// Where a broker says that it ends.
    pub(super) told: Offset,
    /// Where it ended when the range was resolved.
    pub(super) end: Offset,
}

/// What a record is to the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// A part of it.
    Within,
    /// The first behind it: whatever lies before is a gap, and the partition is done.
    Behind,
    /// Was under way when its partition was done.
    Stray,
}

impl Progress {
    /// A partition that is to be read up to `end`.
    pub(super) fn expect(&mut self, partition: Partition, end: Offset) {
        self.ends.insert(partition, end);
    }

    /// A partition of which nothing is to be read, or nothing more. Returns its end, if it was
    /// expected.
    pub(super) fn finish(&mut self, partition: Partition) -> Option<Offset> {
        self.early.remove(&partition);
        self.ended.push(partition);
        self.ends.remove(&partition)
    }

    /// The next partition that ended.
    pub(super) fn take_ended(&mut self) -> Option<Partition> {
        self.ended.pop()
    }

    /// Whether all partitions are read.
    pub(super) fn is_done(&self) -> bool {
        self.ends.is_empty() && self.ended.is_empty()
    }

    /// A record came.
    pub(super) fn record(&mut self, partition: Partition, offset: Offset) -> Passed {
        if !self.early.is_empty() {
            self.early.remove(&partition);
        }
        match self.ends.get(&partition) {
            Some(end) if offset < *end => Passed::Within,
            Some(_) => Passed::Behind,
            None => Passed::Stray,
        }
    }

    /// A broker says that the partition ends at `told`. Whether the range does.
    pub(super) fn end(&mut self, partition: Partition, told: Offset, now: Instant) -> bool {
        let Some(end) = self.ends.get(&partition) else {
            return false;
        };
        if told >= *end {
            return true;
        }
        let early = self.early.entry(partition).or_insert(Early {
            told,
            since: now,
            line_at: now + LINE_EVERY,
        });
        if early.told != told {
            (early.told, early.since) = (told, now);
        }
        false
    }

    /// Whether a partition is waited for whose end a broker told too early.
    pub(super) fn is_waiting(&self) -> bool {
        !self.early.is_empty()
    }

    /// The partitions that it is time to say a line about.
    pub(super) fn lines(&mut self, now: Instant) -> Vec<Behind> {
        let ends = &self.ends;
        let due = self
            .early
            .iter_mut()
            .filter(|(_, early)| early.line_at <= now);
        due.filter_map(|(partition, early)| {
            early.line_at = now + LINE_EVERY;
            behind(ends, *partition, early)
        })
        .collect()
    }

    /// A partition that has been waited for too long. `quiet_since`: when the last record of any
    /// partition came, because nobody waits while others are read.
    pub(super) fn overdue(&self, now: Instant, quiet_since: Instant) -> Option<Behind> {
        self.early.iter().find_map(|(partition, early)| {
            let since = early.since.max(quiet_since);
            let waited = now.saturating_duration_since(since);
            (waited >= PATIENCE).then(|| behind(&self.ends, *partition, early))?
        })
    }
}

fn behind(
    ends: &BTreeMap<Partition, Offset>,
    partition: Partition,
    early: &Early,
) -> Option<Behind> {
    ends.get(&partition).map(|end| Behind {
        partition,
        told: early.told,
        end: *end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn up_to(end: Offset) -> Progress {
        let mut progress = Progress::default();
        progress.expect(0, end);
        progress
    }

    #[test]
    fn a_partition_ends_at_the_ranges_offset_and_not_before() {
        let now = Instant::now();
        let mut progress = up_to(10);
        for told in [0, 4, 9] {
            assert!(!progress.end(0, told, now), "{told}");
            assert!(!progress.is_done());
        }
        assert!(progress.is_waiting());
        // Past the end: markers of transactions, or records that came since.
        for told in [10, 11] {
            assert!(progress.end(0, told, now), "{told}");
        }
        progress.finish(0);
        assert!(!progress.is_waiting() && !progress.is_done());
        assert_eq!(progress.take_ended(), Some(0));
        assert!(progress.is_done());
        assert!(!progress.end(0, 99, now), "it ended already");
    }

    #[test]
    fn the_first_record_behind_the_range_ends_it_too() {
        let mut progress = up_to(10);
        assert_eq!(progress.record(0, 9), Passed::Within);
        assert_eq!(progress.record(0, 12), Passed::Behind);
        progress.finish(0);
        assert_eq!(progress.record(0, 13), Passed::Stray);
    }

    #[test]
    fn an_early_end_is_told_now_and_then_and_given_up_in_the_end() {
        let start = Instant::now();
        let expected = Behind {
            partition: 0,
            told: 4,
            end: 10,
        };
        let mut progress = up_to(10);
        progress.end(0, 4, start);
        assert_eq!(progress.lines(start + 9 * SECOND), []);
        assert_eq!(progress.lines(start + 10 * SECOND), [expected]);
        assert_eq!(progress.lines(start + 19 * SECOND), []);
        assert_eq!(progress.lines(start + 20 * SECOND), [expected]);
        assert_eq!(progress.overdue(start + 59 * SECOND, start), None);
        assert_eq!(progress.overdue(start + 60 * SECOND, start), Some(expected));
        // Other partitions were read until a moment ago.
        let lately = start + 30 * SECOND;
        assert_eq!(progress.overdue(start + 60 * SECOND, lately), None);
    }

    #[test]
    fn whatever_comes_of_a_partition_begins_the_wait_anew() {
        let start = Instant::now();
        let minute = start + 60 * SECOND;
        let mut progress = up_to(10);
        progress.end(0, 4, start);
        progress.end(0, 6, minute);
        assert_eq!(progress.overdue(minute, start), None);
        progress.record(0, 6);
        assert!(!progress.is_waiting());
        assert_eq!(progress.overdue(minute + 60 * SECOND, start), None);
    }
}
