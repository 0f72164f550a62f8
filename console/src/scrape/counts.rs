//! Counters in buckets and by label, and their increase since an earlier time.

use std::collections::BTreeMap;

/// Bounds how many label values of one metric are kept. There are about thirty reasons of dead letters;
/// clients of the ingress beyond the bound are counted together.
const MAX_LABELS: usize = 100;

/// Bounds how many buckets of one histogram are kept. The services have 46.
const MAX_BUCKETS: usize = 64;

/// The label value under which those beyond [`MAX_LABELS`] are counted.
const OTHERS: &str = "others";

/// The buckets of a histogram: upper bounds in seconds, ascending, and how many observations are at or
/// below each.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    /// Adds to a bucket the count of a further series: another route, task or instance.
    pub(crate) fn add(&mut self, bound: f64, count: u64) {
        match self
            .0
            .binary_search_by(|(known, _)| known.total_cmp(&bound))
        {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
            Err(at) if self.0.len() < MAX_BUCKETS => self.0.insert(at, (bound, count)),
            Err(_) => {}
        }
    }

    /// Adds what came since `before`; everything when that is `None`.
    pub(crate) fn add_increase(&mut self, before: Option<&Self>, now: &Self) {
        for (bound, count) in &now.0 {
            let earlier = before.map_or(0, |before| before.at(*bound));
            self.add(*bound, count.saturating_sub(earlier));
        }
    }

    fn at(&self, bound: f64) -> u64 {
        self.0
            .binary_search_by(|(known, _)| known.total_cmp(&bound))
            .map_or(0, |at| self.0[at].1)
    }

    /// Returns the number of observations.
    pub(crate) fn total(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// Returns the upper bounds, ascending, and how many observations are at or below each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.0.iter().copied()
    }
}

/// Counts by the value of a label. Counts of 0 are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labelled(BTreeMap<String, u64>);

impl Labelled {
    /// Adds to the count of a label value.
    pub(crate) fn add(&mut self, value: &str, count: u64) {
        if count == 0 {
            return;
        }
        let is_full = self.0.len() >= MAX_LABELS && !self.0.contains_key(value);
        let value = if is_full { OTHERS } else { value };
        let known = self.0.entry(value.to_owned()).or_default();
        *known = known.saturating_add(count);
    }

    /// Adds what came since `before`; everything when that is `None`.
    pub(crate) fn add_increase(&mut self, before: Option<&Self>, now: &Self) {
        for (value, count) in &now.0 {
            let earlier = before.and_then(|before| before.0.get(value));
            self.add(
                value,
                count.saturating_sub(earlier.copied().unwrap_or_default()),
            );
        }
    }

    /// Returns the sum of all counts.
    pub(crate) fn total(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns values and counts, the largest count first.
    pub(crate) fn by_count(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(value, count)| (&**value, *count))
            .collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_taken_bucket_by_bucket() {
        let [mut before, mut now, mut increase] = [const { Buckets(Vec::new()) }; 3];
        for (bound, count) in [(0.01, 5), (f64::INFINITY, 6)] {
            before.add(bound, count);
        }
        for (bound, count) in [(f64::INFINITY, 9), (0.01, 5), (0.005, 0)] {
            now.add(bound, count);
        }
        increase.add_increase(Some(&before), &now);
        let buckets: Vec<_> = increase.iter().collect();
        assert_eq!(buckets, [(0.005, 0), (0.01, 0), (f64::INFINITY, 3)]);
        increase.add_increase(None, &now);
        assert_eq!(increase.total(), 12);
    }

    #[test]
    fn what_came_since_is_taken_label_by_label() {
        let [mut before, mut now, mut increase] = [const { Labelled(BTreeMap::new()) }; 3];
        before.add("invalid_json", 3);
        now.add("invalid_json", 3);
        now.add("rejected_by_database", 2);
        increase.add_increase(Some(&before), &now);
        assert_eq!(increase.by_count(), [("rejected_by_database", 2)]);
        increase.add_increase(None, &now);
        assert_eq!(increase.total(), 7);
    }

    #[test]
    fn label_values_and_buckets_are_bounded() {
        let (mut labelled, mut buckets) = (Labelled::default(), Buckets::default());
        for number in 0..1000_u32 {
            labelled.add(&number.to_string(), 1);
            buckets.add(f64::from(number), 1);
        }
        assert_eq!(labelled.total(), 1000);
        assert_eq!(labelled.by_count().len(), MAX_LABELS + 1);
        assert_eq!(buckets.iter().count(), MAX_BUCKETS);
    }
}
