//! What a start of a named backfill does, depending on what is stored under its name: pure.
//!
//! | stored under the name | this start |
//! |---|---|
//! | nothing | begins run 1 |
//! | an interrupted run with the same settings | continues that run with its own range |
//! | the same, but a bound is relative to now (`-1d`) | begins the next run: the rest of the interrupted run, and the range of the bounds now |
//! | an interrupted run with other settings | is refused, because half of each would be done |
//! | a completed run with the same range and settings | has nothing to do |
//! | a completed run with another range or other settings | begins the next run |
//!
//! Two ranges are the same when they select the same records. `-1d` selects others at every start,
//! and `latest` does once the topic has grown.

use std::collections::BTreeMap;

use runtime::kafka::{Bound, RangeSettings, TopicRange};
use runtime::lifecycle::Failure;
use runtime::record::{Partition, Positions};

use super::offsets::StoredOffset;
use super::plan::{OffsetMetadata, Plan};

/// What a start does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It begins or continues a run.
    Run(Run),
    /// It has nothing to do: an earlier run did exactly the same.
    AlreadyDone {
        /// What that run read.
        range: TopicRange,
        /// When it ended, in milliseconds since the epoch; `None` for a run of the first released
        /// version.
        at: Option<i64>,
    },
}

/// A run and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The plan of the run.
    pub plan: Plan,
    /// The whole range of the run.
    pub range: TopicRange,
    /// The offsets before which everything is done.
    pub done: Positions,
    /// Whether an earlier start did a part of it.
    pub resumed: bool,
}

impl Run {
    /// Returns a run without progress.
    pub fn new(plan: Plan, range: TopicRange) -> Self {
        let spans = range.spans.iter();
        Self {
            plan,
            done: spans.map(|(at, span)| (*at, span.from)).collect(),
            range,
            resumed: false,
        }
    }
}

impl Start {
    /// Decides what a start with `plan` does. `bounds` are the bounds as they were given, `asked`
    /// is the range that they stand for now.
    ///
    /// # Errors
    /// Exit code 2 when the name has offsets that no backfill committed, or an interrupted run with
    /// other settings.
    pub fn of(
        plan: &Plan,
        bounds: &RangeSettings,
        asked: &TopicRange,
        stored: &BTreeMap<Partition, StoredOffset>,
    ) -> Result<Self, Failure> {
        let Some(last) = LastRun::of(&asked.topic, stored)? else {
            return Ok(Self::Run(Run::new(plan.clone(), asked.clone())));
        };
        let next = |range| {
            let run = last.plan.run + 1;
            Self::Run(Run::new(
                Plan {
                    run,
                    ..plan.clone()
                },
                range,
            ))
        };
        if !last.is_done() {
            let differences = plan.differences(&last.plan);
            if !differences.is_empty() {
                return Err(Failure::bad_setting(format!(
                    "a backfill of this name was interrupted, and had other settings: {}; repeat \
                     them, or choose another --name",
                    differences.join(", ")
                )));
            }
            if is_relative(bounds) {
                return Ok(next(last.rest_and(asked)));
            }
            return Ok(Self::Run(Run {
                plan: last.plan,
                range: last.range,
                done: last.done,
                resumed: true,
            }));
        }
        let differs = !plan.differences_in_effect(&last.plan).is_empty();
        if differs || !selects_the_same(bounds, &last, asked) {
            return Ok(next(asked.clone()));
        }
        Ok(Self::AlreadyDone {
            range: last.range,
            at: last.at,
        })
    }
}

/// The newest run of a name.
struct LastRun {
    plan: Plan,
    range: TopicRange,
    done: Positions,
    /// When the last of its offsets was committed, in milliseconds since the epoch.
    at: Option<i64>,
}

impl LastRun {
    /// Finds the run with the highest number. A run stores the offsets of all of its partitions at
    /// once when it begins. Partitions that it does not read may have offsets of earlier runs.
    fn of(
        topic: &str,
        stored: &BTreeMap<Partition, StoredOffset>,
    ) -> Result<Option<Self>, Failure> {
        let mut last: Option<Self> = None;
        for (partition, stored) in stored {
            let Some(OffsetMetadata {
                plan,
                span,
                times,
                committed_at,
            }) = &stored.metadata
            else {
                return Err(Failure::bad_setting(
                    "this name has offsets that no backfill of this version committed; choose another \
                     --name",
                ));
            };
            if last.as_ref().is_none_or(|last| last.plan.run < plan.run) {
                last = Some(Self {
                    plan: plan.clone(),
                    range: TopicRange {
                        topic: topic.to_owned(),
                        spans: BTreeMap::new(),
                        times: *times,
                    },
                    done: Positions::new(),
                    at: None,
                });
            }
            if let Some(last) = &mut last
                && last.plan.run == plan.run
            {
                last.range.spans.insert(*partition, *span);
                last.done.insert(*partition, stored.next);
                last.at = last.at.max(*committed_at);
            }
        }
        Ok(last)
    }

    fn is_done(&self) -> bool {
        self.range.after(&self.done).offsets() == 0
    }

    /// Returns the rest of this run together with `asked`. Offsets that are done are not read again,
    /// unless this run left out records that were written after the end of its range of times.
    fn rest_and(&self, asked: &TopicRange) -> TopicRange {
        let mut all = asked.clone();
        let left_out_later = self.range.times.to != asked.times.to && self.range.times.to.is_some();
        for (partition, before) in &self.range.spans {
            let done = self.done.get(partition).copied().unwrap_or(before.from);
            let span = all.spans.entry(*partition).or_insert(*before);
            let continues = done < before.to || span.from <= done;
            if continues && span.from >= before.from && !left_out_later {
                span.from = done;
            } else if done < before.to {
                span.from = span.from.min(done);
            }
            span.to = span.to.max(before.to);
        }
        all.times = self.range.times.spanning(asked.times);
        all
    }
}

/// Returns whether a bound selects other records at each start.
fn is_relative(bounds: &RangeSettings) -> bool {
    [&bounds.from, &bounds.to]
        .iter()
        .any(|bound| matches!(bound, Bound::Ago(_)))
}

/// Returns whether the bounds, which are written as those of `last`, select the same records as
/// `last`, which is done.
fn selects_the_same(bounds: &RangeSettings, last: &LastRun, now: &TopicRange) -> bool {
    let before = &last.range;
    let ends = |range: &TopicRange| -> Positions {
        let spans = range.spans.iter();
        spans.map(|(at, span)| (*at, span.to)).collect()
    };
    let has_grown = ends(before) != ends(now);
    let ended_early = match &bounds.to {
        Bound::Latest => true,
        // The partition ended before the bound.
        Bound::Offsets(to) => to
            .iter()
            .any(|(at, to)| before.spans.get(at).is_some_and(|span| span.to < *to)),
        Bound::Time(to) => last.at.is_none_or(|at| at < *to),
        Bound::Earliest | Bound::Ago(_) => false,
    };
    // The first released version resolved times to offsets.
    let same_times = before.times == now.times;
    !is_relative(bounds) && same_times && !(has_grown && ended_early)
}

#[cfg(test)]
mod tests {
    use runtime::kafka::{Span, Times};

    use super::super::plan::tests::plan;
    use super::*;

    const DONE_AT: i64 = 1_780_000_000_000;

    fn bounds(from: &str, to: &str) -> RangeSettings {
        RangeSettings {
            from: Bound::parse(from).unwrap(),
            to: Bound::parse(to).unwrap(),
            partitions: None,
        }
    }

    fn whole() -> RangeSettings {
        bounds("earliest", "latest")
    }

    fn range(to: i64) -> TopicRange {
        TopicRange {
            topic: "order-status".to_owned(),
            spans: BTreeMap::from([(0, Span { from: 0, to }), (1, Span { from: 5, to: 5 })]),
            times: Times::default(),
        }
    }

    fn stored(plan: &Plan, range: &TopicRange, next: i64) -> BTreeMap<Partition, StoredOffset> {
        let of = |span: Span| StoredOffset {
            next: next.clamp(span.from, span.to),
            metadata: Some(OffsetMetadata {
                plan: plan.clone(),
                span,
                times: range.times,
                committed_at: Some(DONE_AT),
            }),
        };
        range
            .spans
            .iter()
            .map(|(at, span)| (*at, of(*span)))
            .collect()
    }

    fn new(plan: Plan, range: TopicRange) -> Start {
        Start::Run(Run::new(plan, range))
    }

    fn run(number: u64) -> Plan {
        Plan {
            run: number,
            ..plan()
        }
    }

    #[test]
    fn a_name_without_offsets_begins_its_first_run() {
        let start = Start::of(&plan(), &whole(), &range(10), &BTreeMap::new());
        assert_eq!(start.unwrap(), new(run(1), range(10)));
    }

    #[test]
    fn an_interrupted_run_continues_with_its_own_range_and_the_same_settings_only() {
        let before = TopicRange {
            times: Times {
                from: Some(7),
                to: None,
            },
            ..range(10)
        };
        let stored = stored(&run(3), &before, 4);
        // The topic has grown.
        let start = Start::of(&plan(), &whole(), &range(99), &stored).unwrap();
        let expected = Run {
            plan: run(3),
            range: before,
            done: Positions::from([(0, 4), (1, 5)]),
            resumed: true,
        };
        assert_eq!(start, Start::Run(expected));
        let other = Plan {
            threads: 7,
            ..plan()
        };
        let refused = Start::of(&other, &whole(), &range(99), &stored).unwrap_err();
        assert!(refused.to_string().contains("it was 2"), "{refused}");
    }

    #[test]
    fn the_rest_of_an_interrupted_run_with_relative_bounds_is_part_of_the_next() {
        let day = |from, spans: [(i64, i64); 2]| TopicRange {
            spans: (0..)
                .zip(spans.map(|(from, to)| Span { from, to }))
                .collect(),
            times: Times {
                from: Some(from),
                to: None,
            },
            ..range(0)
        };
        // The first run stopped at offset 4 of partition 0, and had finished partition 1.
        let first = day(7, [(0, 10), (5, 8)]);
        let mut stored = stored(&run(3), &first, 4);
        stored.get_mut(&1).unwrap().next = 8;
        let second = day(31, [(12, 20), (7, 9)]);
        let start = Start::of(&plan(), &bounds("-1d", "latest"), &second, &stored).unwrap();
        assert_eq!(start, new(run(4), day(7, [(4, 20), (8, 9)])));

        // Records of partition 1 that were later than the first range may be selected now.
        let until = |to, range: TopicRange| TopicRange {
            times: Times {
                to: Some(to),
                ..range.times
            },
            ..range
        };
        for stored in stored.values_mut() {
            stored.metadata.as_mut().unwrap().times.to = Some(20);
        }
        let second = until(44, second);
        let start = Start::of(&plan(), &bounds("-1d", "-1h"), &second, &stored).unwrap();
        let expected = until(44, day(7, [(4, 20), (7, 9)]));
        assert_eq!(start, new(run(4), expected));
    }

    #[test]
    fn a_completed_run_is_not_repeated_while_its_range_selects_the_same() {
        let done = stored(&run(3), &range(10), 10);
        let expected = Start::AlreadyDone {
            range: range(10),
            at: Some(DONE_AT),
        };
        for (bounds, now) in [
            (whole(), range(10)),
            (bounds("0:0,1:0", "0:10,1:5"), range(10)),
            // Records that were written since are not selected.
            (bounds("earliest", "2026-05-01T00:00:00Z"), range(99)),
        ] {
            let start = Start::of(&plan(), &bounds, &now, &done).unwrap();
            assert_eq!(start, expected, "{bounds:?}");
        }
        let more_threads = Plan {
            threads: 9,
            ..plan()
        };
        let start = Start::of(&more_threads, &whole(), &range(10), &done).unwrap();
        assert_eq!(start, expected);
    }

    #[test]
    fn a_completed_run_is_followed_by_the_next_when_something_else_is_selected() {
        let done = stored(&run(3), &range(10), 10);
        for (bounds, now) in [
            (bounds("-1d", "latest"), range(10)),
            (bounds("earliest", "-1h"), range(10)),
            (whole(), range(11)),
            // The partition ended before these bounds.
            (bounds("earliest", "2099-05-01T00:00:00Z"), range(11)),
            (bounds("0:0,1:0", "0:12,1:5"), range(11)),
        ] {
            let start = Start::of(&plan(), &bounds, &now, &done).unwrap();
            assert_eq!(start, new(run(4), now), "{bounds:?}");
        }
        // The first released version ended a range of times at the first later record.
        let timed = TopicRange {
            times: Times {
                from: None,
                to: Some(1),
            },
            ..range(10)
        };
        let until = bounds("earliest", "2026-05-01T00:00:00Z");
        let start = Start::of(&plan(), &until, &timed, &done).unwrap();
        assert_eq!(start, new(run(4), timed));
        let other_rule = Plan {
            rule: "other".to_owned(),
            ..plan()
        };
        let start = Start::of(&other_rule, &whole(), &range(10), &done).unwrap();
        let expected = Plan {
            run: 4,
            ..other_rule
        };
        assert_eq!(start, new(expected, range(10)));
    }

    #[test]
    fn partitions_that_a_later_run_did_not_read_do_not_count() {
        let mut stored = stored(&run(1), &range(10), 10);
        let span = Span { from: 0, to: 20 };
        let later = TopicRange {
            spans: BTreeMap::from([(0, span)]),
            ..range(20)
        };
        stored.extend(super::tests::stored(&run(2), &later, 12));
        let start = Start::of(&plan(), &whole(), &range(99), &stored).unwrap();
        let Start::Run(Run { range, done, .. }) = start else {
            panic!("{start:?}");
        };
        assert_eq!((range, done), (later, Positions::from([(0, 12)])));
    }

    #[test]
    fn offsets_of_something_else_are_refused() {
        let stored = BTreeMap::from([(
            0,
            StoredOffset {
                next: 3,
                metadata: None,
            },
        )]);
        let refused = Start::of(&plan(), &whole(), &range(10), &stored).unwrap_err();
        assert!(refused.to_string().contains("--name"), "{refused}");
    }
}
