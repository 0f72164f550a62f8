//! The bounds of the histograms' buckets.
//!
//! A quantile is known to be somewhere in one bucket, so the ratio of a bucket's bounds is the greatest
//! error of a quantile. The latencies that are promised to people are of two orders of magnitude:
//! milliseconds while everything is well, and seconds behind a backlog or an outage. In these two decades
//! the steps are small, and smallest around 5 ms and 5 s, where a p99 is wrong by 15 % at most. In the
//! other decades a bound is at most 1.4 times the one before. The same steps everywhere would take 80
//! buckets, and each is a series for each route and method.

/// Upper bounds in seconds.
pub(super) const SECONDS: &[f64] = &[
    0.001, 0.0013, 0.0017, 0.0022, 0.0028, 0.0036, 0.0044, 0.005, 0.0057, 0.0065, 0.008, // ms
    0.01, 0.013, 0.018, 0.024, 0.032, 0.042, 0.056, 0.075, // tens of ms
    0.1, 0.13, 0.18, 0.24, 0.32, 0.42, 0.56, 0.75, // hundreds of ms
    1.0, 1.3, 1.7, 2.2, 2.8, 3.6, 4.4, 5.0, 5.7, 6.5, 8.0, // s
    10.0, 13.0, 18.0, 24.0, 32.0, 44.0, 60.0, // tens of s
];

/// Upper bounds of numbers of records: a batch has at most some thousands.
pub(super) const RECORDS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
];

#[cfg(test)]
#[allow(
    clippy::float_arithmetic,
    reason = "these are bounds of buckets and no money"
)]
mod tests {
    use super::*;

    /// Returns the greatest relative error of a quantile at this value, from the bounds of the buckets
    /// around it.
    fn greatest_error_at(seconds: f64) -> f64 {
        let around = SECONDS
            .windows(2)
            .filter(|bounds| (bounds[0]..=bounds[1]).contains(&seconds));
        around.fold(0.0, |error, bounds| {
            f64::max(error, bounds[1] / bounds[0] - 1.0)
        })
    }

    #[test]
    fn a_p99_of_5_ms_and_one_of_5_s_are_wrong_by_15_percent_at_most() {
        for seconds in [0.0047, 0.005, 0.0053, 4.7, 5.0, 5.3] {
            let error = greatest_error_at(seconds);
            assert!(error > 0.0 && error < 0.15, "{error} at {seconds} s");
        }
    }

    #[test]
    fn bounds_go_from_1_ms_to_60_s_and_none_is_more_than_1_4_times_the_one_before() {
        assert_eq!(SECONDS.first(), Some(&0.001));
        assert_eq!(SECONDS.last(), Some(&60.0));
        for bounds in SECONDS.windows(2) {
            let ratio = bounds[1] / bounds[0];
            assert!(ratio > 1.0 && ratio < 1.4, "{bounds:?}");
        }
        assert!(RECORDS.windows(2).all(|bounds| bounds[0] < bounds[1]));
    }
}
