//! Sets of offsets, of one partition and of several. Pure.

use std::collections::BTreeMap;

use runtime::kafka::Span;
use runtime::record::Partition;

/// The spans of each partition that are to be read.
pub(super) type Parts = BTreeMap<Partition, Vec<Span>>;

/// Offsets of one partition: spans in order, none empty, with gaps between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Adds the offsets of a span.
    pub(super) fn insert(&mut self, span: Span) {
        if span.offsets() == 0 {
            return;
        }
        let mut all = std::mem::take(&mut self.0);
        all.push(span);
        all.sort_unstable_by_key(|span| span.from);
        for span in all {
            match self.0.last_mut() {
                Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
                _ => self.0.push(span),
            }
        }
    }

    /// Returns the spans in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    /// Returns the number of offsets.
    pub(super) fn offsets(&self) -> u64 {
        self.iter().map(Span::offsets).sum()
    }

    /// Returns the parts of `whole` that are not in here, in order.
    pub(super) fn missing_in(&self, whole: Span) -> Vec<Span> {
        let mut missing = Vec::new();
        let mut from = whole.from;
        for span in &self.0 {
            let gap = Span {
                from,
                to: span.from.min(whole.to),
            };
            if gap.offsets() > 0 {
                missing.push(gap);
            }
            from = from.max(span.to);
        }
        let rest = Span { from, to: whole.to };
        if rest.offsets() > 0 {
            missing.push(rest);
        }
        missing
    }
}

/// Returns ranges with one span of each partition, which a reader can read at once: the first spans
/// of all partitions, then the second ones, and so on.
pub(super) fn passes(parts: &Parts) -> Vec<BTreeMap<Partition, Span>> {
    let most = parts.values().map(Vec::len).max().unwrap_or_default();
    let pass = |number: usize| {
        let spans = parts.iter();
        spans
            .filter_map(|(partition, spans)| Some((*partition, *spans.get(number)?)))
            .collect()
    };
    (0..most).map(pass).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from, to }
    }

    fn spans(all: &[(i64, i64)]) -> Spans {
        let mut spans = Spans::default();
        for (from, to) in all {
            spans.insert(span(*from, *to));
        }
        spans
    }

    #[test]
    fn spans_that_touch_become_one() {
        for (inserted, expected) in [
            (&[(5, 5)][..], &[][..]),
            (&[(5, 9), (0, 2)], &[(0, 2), (5, 9)]),
            (&[(5, 9), (0, 5)], &[(0, 9)]),
            (&[(0, 3), (6, 9), (2, 7)], &[(0, 9)]),
            (&[(0, 9), (2, 3)], &[(0, 9)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(from, to)| span(*from, *to)).collect();
            assert_eq!(spans(inserted).iter().collect::<Vec<_>>(), expected);
        }
        assert_eq!(spans(&[(0, 3), (6, 9)]).offsets(), 6);
    }

    #[test]
    fn what_is_missing_lies_between_and_around_the_spans() {
        let read = spans(&[(2, 4), (6, 8)]);
        for (whole, expected) in [
            ((0, 10), &[(0, 2), (4, 6), (8, 10)][..]),
            ((2, 8), &[(4, 6)]),
            ((3, 7), &[(4, 6)]),
            ((2, 4), &[]),
            ((8, 12), &[(8, 12)]),
            ((0, 1), &[(0, 1)]),
            ((5, 5), &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(from, to)| span(*from, *to)).collect();
            let missing = read.missing_in(span(whole.0, whole.1));
            assert_eq!(missing, expected, "{whole:?}");
        }
        assert_eq!(Spans::default().missing_in(span(0, 3)), [span(0, 3)]);
    }

    #[test]
    fn a_pass_has_at_most_one_span_of_each_partition() {
        let parts = Parts::from([(0, vec![span(0, 1), span(5, 6)]), (1, vec![span(2, 3)])]);
        assert_eq!(
            passes(&parts),
            [
                BTreeMap::from([(0, span(0, 1)), (1, span(2, 3))]),
                BTreeMap::from([(0, span(5, 6))])
            ]
        );
        assert!(passes(&Parts::new()).is_empty());
    }
}
