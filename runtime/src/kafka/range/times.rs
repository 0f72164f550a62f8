//! Selects the records of a range by their timestamps.
//!
//! Producers choose timestamps, so those of a partition need not be in order. The broker's index
//! finds the first record that is not before a time, and all records in front of it are older.
//! Nothing finds the last record before a time. So a range that ends at a time is read to the end
//! of the log, and the timestamp of each record decides whether it is selected.

use crate::record::{Offset, Partition, Positions};

/// A half-open interval in milliseconds since the epoch. Without bounds it contains every record;
/// with one, it does not contain a record without a timestamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// The first timestamp.
    pub from: Option<i64>,
    /// The timestamp after the last.
    pub to: Option<i64>,
}

impl Times {
    /// Returns whether a record with this timestamp is selected.
    pub fn contain(self, timestamp_millis: Option<i64>) -> bool {
        match (self, timestamp_millis) {
            (
                Self {
                    from: None,
                    to: None,
                },
                _,
            ) => true,
            (_, None) => false,
            (Self { from, to }, Some(at)) => {
                from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
            }
        }
    }

    /// Returns the shortest interval that contains both.
    #[must_use]
    pub fn spanning(self, other: Self) -> Self {
        Self {
            from: self.from.zip(other.from).map(|(a, b)| a.min(b)),
            to: self.to.zip(other.to).map(|(a, b)| a.max(b)),
        }
    }
}

/// Counts records that were read but not selected. A record that is read again after an abort is
/// counted once.
#[derive(Debug, Clone, Default)]
pub(super) struct LeftOut {
    counted_to: Positions,
    records: u64,
}

impl LeftOut {
    pub(super) fn note(&mut self, partition: Partition, offset: Offset) {
        let counted_to = self.counted_to.entry(partition).or_default();
        if offset >= *counted_to {
            *counted_to = offset + 1;
            self.records += 1;
        }
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_half_open_and_a_record_without_one_is_in_no_bounds() {
        let all = Times::default();
        assert!(all.contain(None) && all.contain(Some(0)));
        let some = Times {
            from: Some(10),
            to: Some(20),
        };
        for (timestamp, expected) in [
            (Some(9), false),
            (Some(10), true),
            (Some(19), true),
            (Some(20), false),
            (None, false),
        ] {
            assert_eq!(some.contain(timestamp), expected, "{timestamp:?}");
        }
        let open = Times { from: None, ..some };
        assert!(open.contain(Some(-5)) && !open.contain(Some(20)) && !open.contain(None));
    }

    #[test]
    fn a_record_that_is_read_again_is_counted_once() {
        let mut left_out = LeftOut::default();
        for (partition, offset) in [(0, 3), (0, 5), (1, 0), (0, 3), (0, 5), (0, 6)] {
            left_out.note(partition, offset);
        }
        assert_eq!(left_out.records(), 4);
    }
}
