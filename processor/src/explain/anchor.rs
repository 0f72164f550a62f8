//! The known positions of an order's records, and which offsets near them are read. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use runtime::kafka::Span;
use runtime::record::{Offset, Partition};

use super::spans::{Parts, Spans};

/// A known position of records of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Anchor {
    /// A record is at this offset. Others may be before and after it.
    At(Partition, Offset),
    /// Records are at this offset or after it.
    From(Partition, Offset),
}

/// Returns what to read near the anchors: about `offsets` offsets in all, and at least those of the
/// anchors themselves. An anchor that the topic does not hold is left out.
pub(super) fn near(
    held: &BTreeMap<Partition, Span>,
    anchors: &BTreeSet<Anchor>,
    offsets: u64,
) -> Parts {
    let count = u64::try_from(anchors.len()).unwrap_or(u64::MAX).max(1);
    let share = i64::try_from(offsets / count).unwrap_or(i64::MAX);
    let mut parts = BTreeMap::<Partition, Spans>::new();
    for anchor in anchors {
        let (partition, at, before, behind) = match *anchor {
            Anchor::At(partition, at) => (partition, at, share / 2, share - share / 2),
            Anchor::From(partition, at) => (partition, at, 0, share),
        };
        let Some(held) = held.get(&partition) else {
            continue;
        };
        if (held.from..held.to).contains(&at) {
            parts.entry(partition).or_default().insert(Span {
                from: at.saturating_sub(before).max(held.from),
                to: at.saturating_add(behind.max(1)).min(held.to),
            });
        }
    }
    let parts = parts.into_iter();
    parts
        .map(|(partition, spans)| (partition, spans.iter().collect()))
        .collect()
}

/// Returns the newest of these offsets: about `offsets` in all, the same number of each partition.
pub(super) fn newest(parts: Parts, offsets: u64) -> Parts {
    let count = u64::try_from(parts.len()).unwrap_or(u64::MAX).max(1);
    let share = offsets / count;
    let newest_of = |mut spans: Vec<Span>| {
        spans.sort_unstable_by_key(|span| Reverse(span.to));
        let mut left = share;
        spans.retain_mut(|span| {
            let taken = span.offsets().min(left);
            left -= taken;
            let back = i64::try_from(taken).unwrap_or(i64::MAX);
            span.from = span.from.max(span.to.saturating_sub(back));
            taken > 0
        });
        spans
    };
    let parts = parts.into_iter();
    parts
        .map(|(partition, spans)| (partition, newest_of(spans)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_near(anchors: &[Anchor], offsets: u64) -> Vec<(Partition, Offset, Offset)> {
        let held = BTreeMap::from([
            (
                0,
                Span {
                    from: 100,
                    to: 1000,
                },
            ),
            (1, Span { from: 0, to: 50 }),
        ]);
        let parts = near(&held, &anchors.iter().copied().collect(), offsets);
        let spans = parts.into_iter().flat_map(|(partition, spans)| {
            let spans = spans.into_iter();
            spans.map(move |span| (partition, span.from, span.to))
        });
        spans.collect()
    }

    #[test]
    fn a_record_is_read_with_its_neighbours_and_a_time_with_what_follows() {
        use Anchor::{At, From};
        for (anchors, offsets, expected) in [
            (&[At(0, 500)][..], 100, &[(0, 450, 550)][..]),
            (&[From(0, 500)], 100, &[(0, 500, 600)]),
            // Each anchor has its share; overlapping offsets are read once.
            (
                &[At(0, 500), From(0, 900)],
                100,
                &[(0, 475, 525), (0, 900, 950)],
            ),
            (&[From(0, 500), From(0, 510)], 100, &[(0, 500, 560)]),
            (&[At(0, 500), At(1, 20)], 20, &[(0, 495, 505), (1, 15, 25)]),
            // The record itself is always read.
            (
                &[At(0, 500), From(0, 700)],
                0,
                &[(0, 500, 501), (0, 700, 701)],
            ),
            (&[At(0, 500)], 1, &[(0, 500, 501)]),
            // Only offsets that the topic holds are read.
            (&[At(0, 101)], 100, &[(0, 100, 151)]),
            (&[From(0, 990)], 100, &[(0, 990, 1000)]),
            (&[At(0, 500)], u64::MAX, &[(0, 100, 1000)]),
        ] {
            assert_eq!(parts_near(anchors, offsets), expected, "{anchors:?}");
        }
    }

    #[test]
    fn of_a_long_topic_the_newest_offsets_are_read_and_of_a_short_one_all() {
        let span = |from, to| Span { from, to };
        let parts = || {
            Parts::from([
                (0, vec![span(0, 40), span(60, 100)]),
                (1, vec![span(90, 95)]),
            ])
        };
        for (offsets, of_first, of_second) in [
            (0, vec![], vec![]),
            (8, vec![span(96, 100)], vec![span(91, 95)]),
            (100, vec![span(60, 100), span(30, 40)], vec![span(90, 95)]),
            (
                u64::MAX,
                vec![span(60, 100), span(0, 40)],
                vec![span(90, 95)],
            ),
        ] {
            let expected = Parts::from([(0, of_first), (1, of_second)]);
            assert_eq!(newest(parts(), offsets), expected, "{offsets}");
        }
        assert_eq!(newest(Parts::new(), 100), Parts::new());
    }

    #[test]
    fn an_anchor_that_the_topic_does_not_hold_is_left_out() {
        use Anchor::{At, From};
        for anchor in [At(0, 99), At(0, 1000), At(2, 0), From(1, 50), At(0, -1)] {
            assert!(parts_near(&[anchor], 100).is_empty(), "{anchor:?}");
        }
    }
}
