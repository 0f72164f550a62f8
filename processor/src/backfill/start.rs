//! What a start comes to, by what is kept under its name: pure.
//!
//! | under the name | this start |
//! |---|---|
//! | nothing | begins run 1 |
//! | a run that was interrupted, of the same settings | goes on with that run's own range |
//! | the same, and a bound has moved (`-1d`) | begins the next run: what was left, and what the bounds mean now |
//! | a run that was interrupted, of other settings | is refused: half of each is nobody's intention |
//! | a run that is done, of the same range and settings | has nothing to do |
//! | a run that is done, of another range or other settings | begins the next run |
//!
//! A range is the same when it names the same records. `-1d` names others at every start, and `latest`
//! does once the topic has grown.

use std::collections::BTreeMap;

use runtime::kafka::{Bound, RangeSettings, TopicRange};
use runtime::lifecycle::Failure;
use runtime::record::{Partition, Positions};

use super::ledger::Kept;
use super::plan::{Note, Plan};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Begins a run.
    New {
        /// The run's plan.
        plan: Plan,
        /// All that the run reads.
        range: TopicRange,
    },
    /// Goes on with what is left of an interrupted run.
    Resumed {
        /// The run's plan.
        plan: Plan,
        /// All that the run reads.
        range: TopicRange,
        /// What of it is done.
        done: Positions,
    },
    /// A run did exactly this.
    AlreadyDone {
        /// What it read.
        range: TopicRange,
        /// When it ended, in milliseconds since the epoch; unknown of the first released version's.
        at: Option<i64>,
    },
}

impl Start {
    /// What a start with `plan` comes to. `bounds` are the range as it was asked for, `asked` as it
    /// is now.
    ///
    /// # Errors
    /// Exit code 2: the name has offsets that no backfill wrote, or an interrupted run of other
    /// settings.
    pub fn of(
        plan: &Plan,
        bounds: &RangeSettings,
        asked: &TopicRange,
        kept: &BTreeMap<Partition, Kept>,
    ) -> Result<Self, Failure> {
        let Some(last) = LastRun::of(&asked.topic, kept)? else {
            return Ok(Self::New {
                plan: plan.clone(),
                range: asked.clone(),
            });
        };
        let next = |range| Self::New {
            plan: Plan {
                run: last.plan.run + 1,
                ..plan.clone()
            },
            range,
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
            if moves(bounds) {
                return Ok(next(last.rest_and(asked)));
            }
            return Ok(Self::Resumed {
                plan: last.plan,
                range: last.range,
                done: last.done,
            });
        }
        let differs = !plan.differences_in_what_is_done(&last.plan).is_empty();
        if differs || !names_the_same(bounds, &last, asked) {
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
    /// When the last of its offsets was committed.
    at: Option<i64>,
}

impl LastRun {
    /// A run that begins writes all of its partitions at once, so that those of the highest number
    /// are all of the newest run's. Partitions that it does not read may have earlier runs' notes.
    fn of(topic: &str, kept: &BTreeMap<Partition, Kept>) -> Result<Option<Self>, Failure> {
        let mut last: Option<Self> = None;
        for (partition, kept) in kept {
            let Some(Note {
                plan,
                span,
                times,
                at,
            }) = &kept.note
            else {
                return Err(Failure::bad_setting(
                    "this name has offsets that no backfill of this version wrote; choose another \
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
                last.done.insert(*partition, kept.next);
                last.at = last.at.max(*at);
            }
        }
        Ok(last)
    }

    fn is_done(&self) -> bool {
        self.range.after(&self.done).offsets() == 0
    }

    /// What is left of this run together with `asked`. What is done is not read again, unless it was
    /// left out for being later than this run's range.
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

/// Whether a bound names other records at each start.
fn moves(bounds: &RangeSettings) -> bool {
    [&bounds.from, &bounds.to]
        .iter()
        .any(|bound| matches!(bound, Bound::Ago(_)))
}

/// Whether bounds that were written the same name the same records as those of `last`, which is done.
fn names_the_same(bounds: &RangeSettings, last: &LastRun, now: &TopicRange) -> bool {
    let before = &last.range;
    let ends = |range: &TopicRange| -> Positions {
        let spans = range.spans.iter();
        spans.map(|(at, span)| (*at, span.to)).collect()
    };
    let has_grown = ends(before) != ends(now);
    let ended_early = match &bounds.to {
        Bound::Latest => true,
        // The log ended before these.
        Bound::Offsets(to) => to
            .iter()
            .any(|(at, to)| before.spans.get(at).is_some_and(|span| span.to < *to)),
        Bound::Time(to) => last.at.is_none_or(|at| at < *to),
        Bound::Earliest | Bound::Ago(_) => false,
    };
    // The first released version read times as offsets.
    let reads_alike = before.times == now.times;
    !moves(bounds) && reads_alike && !(has_grown && ended_early)
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

    fn kept(plan: &Plan, range: &TopicRange, next: i64) -> BTreeMap<Partition, Kept> {
        let of = |span: Span| Kept {
            next: next.clamp(span.from, span.to),
            note: Some(Note {
                plan: plan.clone(),
                span,
                times: range.times,
                at: Some(DONE_AT),
            }),
        };
        range
            .spans
            .iter()
            .map(|(at, span)| (*at, of(*span)))
            .collect()
    }

    fn new(plan: Plan, range: TopicRange) -> Start {
        Start::New { plan, range }
    }

    fn run(number: u64) -> Plan {
        Plan {
            run: number,
            ..plan()
        }
    }

    #[test]
    fn a_name_that_nothing_is_kept_of_begins() {
        let start = Start::of(&plan(), &whole(), &range(10), &BTreeMap::new());
        assert_eq!(start.unwrap(), new(run(1), range(10)));
    }

    #[test]
    fn an_interrupted_run_goes_on_with_its_own_range_and_no_other_settings() {
        let before = TopicRange {
            times: Times {
                from: Some(7),
                to: None,
            },
            ..range(10)
        };
        let kept = kept(&run(3), &before, 4);
        // The topic has grown.
        let start = Start::of(&plan(), &whole(), &range(99), &kept).unwrap();
        let expected = Start::Resumed {
            plan: run(3),
            range: before,
            done: Positions::from([(0, 4), (1, 5)]),
        };
        assert_eq!(start, expected);
        let other = Plan {
            threads: 7,
            ..plan()
        };
        let refused = Start::of(&other, &whole(), &range(99), &kept).unwrap_err();
        assert!(refused.to_string().contains("it was 2"), "{refused}");
    }

    #[test]
    fn an_interrupted_run_of_a_moving_range_is_taken_up_by_the_next() {
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
        // The first night stopped at 4 of partition 0, and was through with partition 1.
        let first = day(7, [(0, 10), (5, 8)]);
        let kept = kept(&run(3), &first, 4);
        let mut kept = kept;
        kept.get_mut(&1).unwrap().next = 8;
        let second = day(31, [(12, 20), (7, 9)]);
        let start = Start::of(&plan(), &bounds("-1d", "latest"), &second, &kept).unwrap();
        assert_eq!(start, new(run(4), day(7, [(4, 20), (8, 9)])));

        // Records of partition 1 that were later than the first range may be meant now.
        let until = |to, range: TopicRange| TopicRange {
            times: Times {
                to: Some(to),
                ..range.times
            },
            ..range
        };
        for kept in kept.values_mut() {
            kept.note.as_mut().unwrap().times.to = Some(20);
        }
        let second = until(44, second);
        let start = Start::of(&plan(), &bounds("-1d", "-1h"), &second, &kept).unwrap();
        let expected = until(44, day(7, [(4, 20), (7, 9)]));
        assert_eq!(start, new(run(4), expected));
    }

    #[test]
    fn a_run_that_is_done_is_not_done_again_while_the_range_names_the_same() {
        let done = kept(&run(3), &range(10), 10);
        let expected = Start::AlreadyDone {
            range: range(10),
            at: Some(DONE_AT),
        };
        for (bounds, now) in [
            (whole(), range(10)),
            (bounds("0:0,1:0", "0:10,1:5"), range(10)),
            // What was written since is not asked for.
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
    fn a_run_that_is_done_is_followed_by_the_next_when_something_else_is_asked_for() {
        let done = kept(&run(3), &range(10), 10);
        for (bounds, now) in [
            (bounds("-1d", "latest"), range(10)),
            (bounds("earliest", "-1h"), range(10)),
            (whole(), range(11)),
            // The log ended before them.
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
        let mut kept = kept(&run(1), &range(10), 10);
        let span = Span { from: 0, to: 20 };
        let later = TopicRange {
            spans: BTreeMap::from([(0, span)]),
            ..range(20)
        };
        kept.extend(super::tests::kept(&run(2), &later, 12));
        let start = Start::of(&plan(), &whole(), &range(99), &kept).unwrap();
        let Start::Resumed { range, done, .. } = start else {
            panic!("{start:?}");
        };
        assert_eq!((range, done), (later, Positions::from([(0, 12)])));
    }

    #[test]
    fn offsets_of_something_else_are_left_alone() {
        let kept = BTreeMap::from([(
            0,
            Kept {
                next: 3,
                note: None,
            },
        )]);
        let refused = Start::of(&plan(), &whole(), &range(10), &kept).unwrap_err();
        assert!(refused.to_string().contains("--name"), "{refused}");
    }
}
