//! What a preview finds by day, in bounded memory: pure.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use runtime::replay::RowCounts;
use schemas::Timestamp;

use crate::batch::Tally;

/// The maximum number of days that are counted apart: more than five years, in about a megabyte.
const MAX_DAYS: usize = 2_000;

/// The maximum number of lines of a report. Days that make more are reported by month, and months
/// that make more by year.
const MAX_LINES: usize = 31;

/// What a preview counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records by outcome. Its vouchers are the eligible records, echoes included.
    pub records: Tally,
    /// Vouchers to issue: distinct eligible orders.
    pub vouchers: u64,
    /// How the vouchers compare with the rows of the table; zeros without a database.
    pub rows: RowCounts,
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.records.add(&other.records);
        self.vouchers += other.vouchers;
        self.rows.add(other.rows);
    }

    fn some(&self) -> Option<&Self> {
        (*self != Self::default()).then_some(self)
    }
}

/// The counts of each day, in UTC. Only the newest days are counted apart, so that the memory is
/// bounded whatever the times of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    days: BTreeMap<NaiveDate, Counts>,
    max_days: usize,
    earlier: Counts,
    undated: Counts,
}

impl Default for Days {
    fn default() -> Self {
        Self::holding(MAX_DAYS)
    }
}

impl Days {
    /// Counts the newest `max_days` days apart, at least one, and all earlier days together.
    pub fn holding(max_days: usize) -> Self {
        Self {
            days: BTreeMap::new(),
            max_days,
            earlier: Counts::default(),
            undated: Counts::default(),
        }
    }

    /// Returns the counts to which an event at `time` is added. Events without a time, or with one that
    /// is out of range, are counted as undated.
    pub fn at(&mut self, time: Option<Timestamp>) -> &mut Counts {
        match time.filter(|time| time.is_in_range()) {
            Some(time) => self.of(DateTime::<Utc>::from(time).date_naive()),
            None => &mut self.undated,
        }
    }

    /// Returns the counts of a day. A day that is among the newest of all parts is among the newest of
    /// its own part, so the result does not depend on the order in which parts are added.
    fn of(&mut self, day: NaiveDate) -> &mut Counts {
        if !self.days.contains_key(&day) && self.days.len() >= self.max_days {
            match self.days.first_entry() {
                Some(oldest) if *oldest.key() < day => self.earlier.add(&oldest.remove()),
                _ => return &mut self.earlier,
            }
        }
        self.days.entry(day).or_default()
    }

    /// Adds the counts of another part of the range.
    pub fn add(&mut self, other: Self) {
        for (day, counts) in other.days {
            self.of(day).add(&counts);
        }
        self.earlier.add(&other.earlier);
        self.undated.add(&other.undated);
    }

    /// Returns the counts of all days together.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in self.days.values().chain([&self.earlier, &self.undated]) {
            total.add(counts);
        }
        total
    }

    /// Returns the days that are counted apart, the earliest first.
    pub const fn days(&self) -> &BTreeMap<NaiveDate, Counts> {
        &self.days
    }

    /// Returns the first day that is counted apart, and the counts of all days before it, if there
    /// are any.
    pub fn earlier(&self) -> Option<(NaiveDate, &Counts)> {
        Some((*self.days.keys().next()?, self.earlier.some()?))
    }

    /// Returns the counts of undated events, if there are any.
    pub fn undated(&self) -> Option<&Counts> {
        self.undated.some()
    }

    /// Returns the counts by day, or by month or year where the days would be too many lines,
    /// with the name of the period. Undated and [earlier](Self::earlier) events are not included.
    pub fn lines(&self) -> (&'static str, BTreeMap<String, Counts>) {
        for (period, pattern) in [("day", "%Y-%m-%d"), ("month", "%Y-%m")] {
            let lines = self.by(pattern);
            if lines.len() <= MAX_LINES {
                return (period, lines);
            }
        }
        ("year", self.by("%Y"))
    }

    fn by(&self, pattern: &str) -> BTreeMap<String, Counts> {
        let mut lines: BTreeMap<String, Counts> = BTreeMap::new();
        for (day, counts) in &self.days {
            let line = day.format(pattern).to_string();
            lines.entry(line).or_default().add(counts);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLIS_PER_DAY: i64 = 86_400_000;

    fn noon_of(day: i64) -> Option<Timestamp> {
        // 2026-01-01T12:00:00Z and days after it.
        Some(Timestamp::from_millis(
            1_767_268_800_000 + day * MILLIS_PER_DAY,
        ))
    }

    fn days_of(numbers: impl IntoIterator<Item = i64>, max_days: usize) -> Days {
        let mut days = Days::holding(max_days);
        for number in numbers {
            days.at(noon_of(number)).vouchers += 1;
        }
        days
    }

    #[test]
    fn a_day_begins_and_ends_at_midnight_in_utc() {
        let mut days = Days::default();
        for time in [
            "2026-05-01T01:59:59.999999+02:00",
            "2026-05-01T02:00:00+02:00",
            "2026-05-01T23:59:59.999999Z",
            "2026-05-02T00:00:00Z",
        ] {
            days.at(Some(time.parse().unwrap())).vouchers += 1;
        }
        let (period, lines) = days.lines();
        let lines: Vec<_> = lines
            .iter()
            .map(|(line, counts)| (line.as_str(), counts.vouchers))
            .collect();
        assert_eq!(period, "day");
        assert_eq!(
            lines,
            [("2026-04-30", 1), ("2026-05-01", 2), ("2026-05-02", 1)]
        );
    }

    #[test]
    fn what_has_no_usable_time_has_no_day() {
        let mut days = Days::default();
        assert_eq!(days.undated(), None);
        for time in [
            None,
            Some(Timestamp::from_millis(0)),
            Some(Timestamp::from_millis(i64::MAX)),
        ] {
            days.at(time).vouchers += 1;
        }
        assert_eq!(days.undated().map(|counts| counts.vouchers), Some(3));
        assert!(days.days().is_empty());
        assert_eq!(days.total().vouchers, 3);
    }

    #[test]
    fn many_days_are_lines_of_months_and_many_months_of_years() {
        let lines_of = |count| {
            let (period, lines) = days_of(0..count, MAX_DAYS).lines();
            let total: u64 = lines.values().map(|counts| counts.vouchers).sum();
            assert_eq!(total, u64::try_from(count).unwrap());
            let first = lines.into_keys().next().unwrap();
            (period, first)
        };
        assert_eq!(lines_of(31), ("day", "2026-01-01".to_owned()));
        assert_eq!(lines_of(32), ("month", "2026-01".to_owned()));
        // 2026, 2027 and the first seven months of 2028.
        assert_eq!(lines_of(730 + 213), ("month", "2026-01".to_owned()));
        assert_eq!(lines_of(730 + 214), ("year", "2026".to_owned()));
    }

    #[test]
    fn days_before_the_newest_are_counted_together() {
        let days = days_of([5, 1, 3, 1, 2, 4], 3);
        let kept: Vec<_> = days.days().keys().map(NaiveDate::to_string).collect();
        assert_eq!(kept, ["2026-01-04", "2026-01-05", "2026-01-06"]);
        let (first, earlier) = days.earlier().unwrap();
        assert_eq!((first.to_string(), earlier.vouchers), (kept[0].clone(), 3));
        assert_eq!(days_of(0..3, 3).earlier(), None);
    }

    proptest! {
        #[test]
        fn parts_in_any_order_give_the_days_of_the_whole(
            numbers in prop::collection::vec(0_i64..20, 0..60),
            cut in any::<prop::sample::Index>(),
            max_days in 1_usize..8,
        ) {
            let whole = days_of(numbers.clone(), max_days);
            prop_assert!(whole.days().len() <= max_days);
            prop_assert_eq!(whole.total().vouchers, numbers.len() as u64);

            let (first, last) = numbers.split_at(cut.index(numbers.len() + 1));
            let mut together = days_of(last.iter().copied(), max_days);
            together.add(days_of(first.iter().copied(), max_days));
            prop_assert_eq!(together, whole);
        }
    }
}
