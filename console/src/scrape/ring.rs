//! The last 15 minutes of the numbers that charts show.

use std::collections::{BTreeMap, VecDeque};

use chrono::DateTime;

use crate::flow::{ChartValues, History, series_names};

/// How many seconds are kept. An entry is 104 bytes, so the ring takes 94 KB however many instances
/// there are.
const CAPACITY: usize = 900;

/// How many seconds a sample may deviate from the second after the last one and still be stored there,
/// so that a round that begins slightly before or after the full second causes no gap.
const MAX_JITTER: i64 = 1;

/// If the last sample is at most this many seconds old, the history ends with it. If it is older, no
/// page is watching, and the history ends with a gap.
const MAX_AGE: i64 = 3;

/// One value of each series for each second, bounded.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Seconds since the Unix epoch; greater than those of the entry before.
    second: i64,
    values: ChartValues,
}

impl Ring {
    /// Adds the values of a round at `second`, in seconds since the Unix epoch.
    pub(super) fn push(&mut self, second: i64, values: ChartValues) {
        let second = match self.entries.back().map(|last| last.second) {
            Some(last) if (second - (last + 1)).abs() <= MAX_JITTER => last + 1,
            // The clock was set back, so earlier entries no longer fit on this time axis.
            Some(last) if second <= last => {
                self.entries.clear();
                second
            }
            _ => second,
        };
        self.entries.push_back(Entry { second, values });
        let since = second - CAPACITY as i64;
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.second <= since)
        {
            self.entries.pop_front();
        }
    }

    /// Returns the history until `now`, in seconds since the Unix epoch. Seconds without a sample are
    /// gaps.
    pub(super) fn history(&self, now: i64) -> History {
        let last = self.entries.back().map(|entry| entry.second);
        let until = last.filter(|last| now - last <= MAX_AGE).unwrap_or(now);
        let since = until - CAPACITY as i64;
        let entries = || {
            self.entries
                .iter()
                .filter(move |entry| entry.second > since && entry.second <= until)
        };
        let length = entries().next().map_or(0, |first| until - first.second + 1);
        let length = usize::try_from(length).unwrap_or_default();
        let mut series = series_names().map(|_| vec![None; length]);
        for entry in entries() {
            let from_end = usize::try_from(until - entry.second).unwrap_or_default();
            for (series, value) in series.iter_mut().zip(entry.values) {
                if let Some(place) = series.iter_mut().nth_back(from_end) {
                    *place = value;
                }
            }
        }
        History {
            step_seconds: 1,
            until: DateTime::from_timestamp(until, 0).unwrap_or_default(),
            series: series_names()
                .into_iter()
                .zip(series)
                .collect::<BTreeMap<_, _>>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn values(value: f32) -> ChartValues {
        series_names().map(|_| Some(value))
    }

    fn ring(entries: impl IntoIterator<Item = (i64, f32)>) -> Ring {
        let mut ring = Ring::default();
        for (second, value) in entries {
            ring.push(second, values(value));
        }
        ring
    }

    fn first_series(history: &History) -> &[Option<f32>] {
        &history.series[series_names()[0]]
    }

    #[test]
    fn a_history_without_samples_is_empty_and_ends_now() {
        let history = ring([]).history(NOW);
        assert_eq!(history.until.timestamp(), NOW);
        assert_eq!(history.series.len(), series_names().len());
        assert!(first_series(&history).is_empty());
    }

    #[test]
    fn a_time_when_nobody_watched_is_a_gap() {
        let history = ring([(NOW - 5, 1.0), (NOW - 4, 2.0), (NOW, 3.0)]).history(NOW + 1);
        assert_eq!(history.until.timestamp(), NOW);
        let expected = [Some(1.0), Some(2.0), None, None, None, Some(3.0)];
        assert_eq!(first_series(&history), expected);
    }

    #[test]
    fn a_history_that_nobody_continued_ends_with_a_gap() {
        let history = ring([(NOW - 5, 1.0)]).history(NOW);
        assert_eq!(history.until.timestamp(), NOW);
        let expected = [Some(1.0), None, None, None, None, None];
        assert_eq!(first_series(&history), expected);
        let much_later = ring([(NOW - 5000, 1.0)]).history(NOW);
        assert!(first_series(&much_later).is_empty());
    }

    #[test]
    fn a_round_at_the_edge_of_a_second_makes_neither_a_gap_nor_a_second_value() {
        let history = ring([(NOW, 1.0), (NOW, 2.0), (NOW + 2, 3.0), (NOW + 3, 4.0)]);
        let history = history.history(NOW + 3);
        let expected = [Some(1.0), Some(2.0), Some(3.0), Some(4.0)];
        assert_eq!(first_series(&history), expected);
    }

    #[test]
    fn a_clock_that_was_set_back_begins_a_new_history() {
        let ring = ring([(NOW, 1.0), (NOW - 3600, 2.0)]);
        let history = ring.history(NOW - 3600);
        assert_eq!(first_series(&history), [Some(2.0)]);
    }

    #[test]
    fn fifteen_minutes_are_kept() {
        let ring = ring((0..5000).map(|second| (NOW + second, 1.0)));
        assert_eq!(ring.entries.len(), CAPACITY);
        let history = ring.history(NOW + 4999);
        assert_eq!(first_series(&history).len(), CAPACITY);
    }
}
