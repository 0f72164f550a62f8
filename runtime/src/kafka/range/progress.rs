//! How far a range is read. A partition ends at the end of its span, whatever end a broker reports.
//!
//! A follower that is chosen by `client.rack`, or a leader that has just been elected, may know
//! fewer records than the leader that reported the end at the start. So when a broker reports an
//! end before the end of the span, the reader waits for the rest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::record::{Offset, Partition};

/// The interval between two log lines about the rest of a partition that has not come.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How long the rest of a partition is waited for. Longer than the default transaction timeout and
/// the time that a broker takes to abort the transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which partitions of a range are read to the end of their span.
#[derive(Debug, Default)]
pub(super) struct RangeProgress {
    /// The end of each partition that is not read to its end yet.
    ends: BTreeMap<Partition, Offset>,
    /// Partitions that have ended and were not returned yet.
    ended: Vec<Partition>,
    /// Partitions of which a broker reported an end before that of their span.
    early: BTreeMap<Partition, Waiting>,
}

/// Since when the rest of a partition is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    reported: Offset,
    since: Instant,
    next_line: Instant,
}

/// A partition of which a broker reports an end before that of its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EarlyEnd {
    pub(super) partition: Partition,
    /// The end that the broker reports.
    pub(super) reported: Offset,
    /// The end of the span: where the partition ended when the range was resolved.
    pub(super) end: Offset,
}

/// Where a record lies relative to the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// It is part of the range.
    Within,
    /// It has the last offset of its span, so the partition is read to its end.
    Last,
    /// It is the first record behind the range, so the partition is read to its end.
    Behind,
    /// It was fetched before its partition was finished.
    Late,
}

impl RangeProgress {
    /// Adds a partition that is to be read up to `end`.
    pub(super) fn expect(&mut self, partition: Partition, end: Offset) {
        self.ends.insert(partition, end);
    }

    /// Marks a partition as read. Returns its end, if it was expected.
    pub(super) fn finish(&mut self, partition: Partition) -> Option<Offset> {
        self.early.remove(&partition);
        self.ended.push(partition);
        self.ends.remove(&partition)
    }

    /// Takes the next partition that has ended.
    pub(super) fn take_ended(&mut self) -> Option<Partition> {
        self.ended.pop()
    }

    /// Returns whether all partitions are read.
    pub(super) fn is_done(&self) -> bool {
        self.ends.is_empty() && self.ended.is_empty()
    }

    /// Notes a record, and returns where it lies relative to the range.
    pub(super) fn record(&mut self, partition: Partition, offset: Offset) -> Passed {
        if !self.early.is_empty() {
            self.early.remove(&partition);
        }
        match self.ends.get(&partition) {
            Some(end) if offset + 1 < *end => Passed::Within,
            Some(end) if offset < *end => Passed::Last,
            Some(_) => Passed::Behind,
            None => Passed::Late,
        }
    }

    /// Notes that a broker reports this end of a partition. Returns whether the span ends there.
    pub(super) fn end(&mut self, partition: Partition, reported: Offset, now: Instant) -> bool {
        let Some(end) = self.ends.get(&partition) else {
            return false;
        };
        if reported >= *end {
            return true;
        }
        let waiting = self.early.entry(partition).or_insert(Waiting {
            reported,
            since: now,
            next_line: now + LINE_EVERY,
        });
        if waiting.reported != reported {
            (waiting.reported, waiting.since) = (reported, now);
        }
        false
    }

    /// Returns whether the rest of a partition is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.early.is_empty()
    }

    /// Returns the partitions about which a log line is due.
    pub(super) fn due_lines(&mut self, now: Instant) -> Vec<EarlyEnd> {
        let ends = &self.ends;
        let due = self
            .early
            .iter_mut()
            .filter(|(_, waiting)| waiting.next_line <= now);
        due.filter_map(|(partition, waiting)| {
            waiting.next_line = now + LINE_EVERY;
            early_end(ends, *partition, waiting)
        })
        .collect()
    }

    /// Returns a partition whose rest has not come for too long. `quiet_since` is when the last record of
    /// any partition came: the time while other partitions are read does not count.
    pub(super) fn overdue(&self, now: Instant, quiet_since: Instant) -> Option<EarlyEnd> {
        self.early.iter().find_map(|(partition, waiting)| {
            let since = waiting.since.max(quiet_since);
            let waited = now.saturating_duration_since(since);
            (waited >= PATIENCE).then(|| early_end(&self.ends, *partition, waiting))?
        })
    }
}

fn early_end(
    ends: &BTreeMap<Partition, Offset>,
    partition: Partition,
    waiting: &Waiting,
) -> Option<EarlyEnd> {
    ends.get(&partition).map(|end| EarlyEnd {
        partition,
        reported: waiting.reported,
        end: *end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn up_to(end: Offset) -> RangeProgress {
        let mut progress = RangeProgress::default();
        progress.expect(0, end);
        progress
    }

    #[test]
    fn a_partition_ends_at_the_end_of_its_span_and_not_before() {
        let now = Instant::now();
        let mut progress = up_to(10);
        for reported in [0, 4, 9] {
            assert!(!progress.end(0, reported, now), "{reported}");
            assert!(!progress.is_done());
        }
        assert!(progress.is_waiting());
        // Behind the end: transaction markers, or records that were written since.
        for reported in [10, 11] {
            assert!(progress.end(0, reported, now), "{reported}");
        }
        progress.finish(0);
        assert!(!progress.is_waiting() && !progress.is_done());
        assert_eq!(progress.take_ended(), Some(0));
        assert!(progress.is_done());
        assert!(!progress.end(0, 99, now), "it has ended");
    }

    #[test]
    fn the_last_record_of_the_range_or_the_first_behind_it_ends_it_too() {
        let mut progress = up_to(10);
        assert_eq!(progress.record(0, 8), Passed::Within);
        assert_eq!(progress.record(0, 9), Passed::Last);
        assert_eq!(progress.record(0, 12), Passed::Behind);
        progress.finish(0);
        assert_eq!(progress.record(0, 13), Passed::Late);
    }

    #[test]
    fn an_early_end_is_logged_repeatedly_and_given_up_in_the_end() {
        let start = Instant::now();
        let expected = EarlyEnd {
            partition: 0,
            reported: 4,
            end: 10,
        };
        let mut progress = up_to(10);
        progress.end(0, 4, start);
        assert_eq!(progress.due_lines(start + 9 * SECOND), []);
        assert_eq!(progress.due_lines(start + 10 * SECOND), [expected]);
        assert_eq!(progress.due_lines(start + 19 * SECOND), []);
        assert_eq!(progress.due_lines(start + 20 * SECOND), [expected]);
        assert_eq!(progress.overdue(start + 59 * SECOND, start), None);
        assert_eq!(progress.overdue(start + 60 * SECOND, start), Some(expected));
        // Other partitions were read until recently.
        let lately = start + 30 * SECOND;
        assert_eq!(progress.overdue(start + 60 * SECOND, lately), None);
    }

    #[test]
    fn any_progress_of_a_partition_restarts_the_wait() {
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
