//! How long it took from the writing of a record to its effect.
//!
//! Of each batch only the oldest and the newest record are looked at: between them lie all others, and
//! thousands of samples for one commit would cost more than they are worth.

use metrics::Histogram;

use crate::clock::{age_of, unix_millis};

/// The timestamps of the oldest and the newest of some records, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordTimes(Option<(i64, i64)>);

impl RecordTimes {
    /// Returns whether this timestamp lies between those of the oldest and the newest record, so that
    /// adding it changes nothing.
    pub fn contain(self, millis: i64) -> bool {
        self.0
            .is_some_and(|(oldest, newest)| (oldest..=newest).contains(&millis))
    }

    /// Adds a record of this timestamp.
    pub fn add(&mut self, millis: i64) {
        let (oldest, newest) = self.0.unwrap_or((millis, millis));
        self.0 = Some((oldest.min(millis), newest.max(millis)));
    }

    /// Adds the records of `others`.
    pub fn extend(&mut self, others: Self) {
        if let Some((oldest, newest)) = others.0 {
            self.add(oldest);
            self.add(newest);
        }
    }

    /// Returns the timestamps of the oldest and the newest record; `None` when there is no record.
    pub const fn range(self) -> Option<(i64, i64)> {
        self.0
    }
}

/// Adds to a histogram how long ago the oldest and the newest of these records were written: two
/// samples, or one where both were written at the same time.
pub fn record(histogram: &Histogram, times: RecordTimes) {
    let Some((oldest, newest)) = times.range() else {
        return;
    };
    let now = unix_millis();
    histogram.record(age_of(oldest, now));
    if newest != oldest {
        histogram.record(age_of(newest, now));
    }
}

#[cfg(test)]
mod tests {
    use metrics::histogram;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn times(millis: &[i64]) -> RecordTimes {
        let mut times = RecordTimes::default();
        for millis in millis {
            times.add(*millis);
        }
        times
    }

    #[test]
    fn times_are_those_of_the_oldest_and_the_newest_record_in_whatever_order_they_came() {
        assert_eq!(times(&[]).range(), None);
        assert_eq!(times(&[5]).range(), Some((5, 5)));
        let mut some = times(&[5, 3, 9, 4]);
        assert_eq!(some.range(), Some((3, 9)));
        assert!(some.contain(3) && some.contain(9) && !some.contain(2) && !some.contain(10));
        some.extend(times(&[]));
        some.extend(times(&[1, 4]));
        assert_eq!(some.range(), Some((1, 9)));
    }

    #[test]
    fn a_batch_is_two_samples_and_a_record_alone_is_one() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let histogram = histogram!("t_seconds");
            let batches = [vec![], vec![7], vec![7, 8, 9], vec![7, 7]];
            for (batch, samples) in batches.iter().zip([0, 1, 3, 4]) {
                record(&histogram, times(batch));
                let shown = metrics.render();
                let line = format!("t_seconds_count {samples}\n");
                assert!(shown.contains(&line), "{line} in {shown}");
            }
        });
    }
}
