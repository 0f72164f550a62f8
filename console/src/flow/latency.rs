//! Percentiles from the buckets of a histogram.

#![allow(
    clippy::float_arithmetic,
    reason = "durations are interpolated; no money is in them"
)]

use crate::scrape::Buckets;

/// Returns the duration in seconds below which a `share` of the observations is; `None` when there are
/// none. Observations are taken to be spread evenly within a bucket, as Prometheus's
/// `histogram_quantile` does. What is above the last bound counts as the last bound.
pub(super) fn percentile(buckets: &Buckets, share: f64) -> Option<f64> {
    let total = buckets.total();
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let (mut lower, mut below) = (0.0, 0);
    for (bound, count) in buckets.iter() {
        if count as f64 >= rank && count > below {
            if bound.is_infinite() {
                return Some(lower);
            }
            let part = (rank - below as f64) / (count - below) as f64;
            return Some(lower + (bound - lower) * part.clamp(0.0, 1.0));
        }
        (lower, below) = (bound, below.max(count));
    }
    Some(lower).filter(|bound| bound.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: &[(f64, u64)]) -> Buckets {
        let mut buckets = Buckets::default();
        for (bound, count) in counts {
            buckets.add(*bound, *count);
        }
        buckets
    }

    /// Returns a percentile in whole microseconds, so that no test compares floats.
    fn micros(counts: &[(f64, u64)], share: f64) -> Option<u64> {
        percentile(&buckets(counts), share).map(|seconds| (seconds * 1e6).round() as u64)
    }

    #[test]
    fn a_percentile_lies_within_its_bucket() {
        let counts = [(0.01, 50), (0.02, 90), (0.1, 100), (f64::INFINITY, 100)];
        assert_eq!(micros(&counts, 0.25), Some(5_000));
        assert_eq!(micros(&counts, 0.5), Some(10_000));
        assert_eq!(micros(&counts, 0.7), Some(15_000));
        assert_eq!(micros(&counts, 0.99), Some(92_000));
    }

    #[test]
    fn empty_buckets_before_it_are_skipped() {
        let counts = [(0.01, 0), (0.02, 0), (0.05, 4), (f64::INFINITY, 4)];
        assert_eq!(micros(&counts, 0.5), Some(35_000));
        assert_eq!(micros(&counts, 0.0), Some(20_000));
    }

    #[test]
    fn without_observations_there_is_none() {
        assert_eq!(micros(&[], 0.5), None);
        assert_eq!(micros(&[(0.01, 0), (f64::INFINITY, 0)], 0.5), None);
        assert_eq!(micros(&[(f64::INFINITY, 3)], 0.5), Some(0));
    }

    #[test]
    fn what_is_above_the_last_bound_counts_as_the_last_bound() {
        let counts = [(0.01, 1), (60.0, 2), (f64::INFINITY, 100)];
        assert_eq!(micros(&counts, 0.99), Some(60_000_000));
    }

    #[test]
    fn counts_that_fall_from_bucket_to_bucket_give_no_nonsense() {
        // Instances of two versions with other bounds are added up to this.
        let counts = [(0.01, 50), (0.015, 10), (0.02, 90), (f64::INFINITY, 100)];
        assert_eq!(micros(&counts, 0.5), Some(10_000));
        assert_eq!(micros(&counts, 0.7), Some(17_500));
    }
}
