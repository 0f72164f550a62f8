//! What a backfill of one name does: kept beside its offsets, so that a later start under the same
//! name goes on with the same, or is refused.

use std::collections::BTreeMap;

use runtime::kafka::{RangeSettings, Span, Times};
use runtime::record::Partition;
use schemas::Currency;
use sha2::{Digest, Sha256};

use super::ledger::Kept;
use super::settings::BackfillSettings;
use crate::evaluate::Evaluator;
use crate::rule::Rule;

/// The first word of a kept note; another layout gets another.
const LAYOUT: &str = "backfill/2";

/// That of the first released version: its ranges had no times of their own, and a name had one run.
const FIRST_LAYOUT: &str = "backfill/1";

/// See the module. All but the numbers is a digest: a note is at most 4 KiB, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which run of its name, from 1.
    pub run: u64,
    /// Of the range as it was asked for, not as it was resolved: `-7d` is the same tomorrow.
    pub range: String,
    /// Of the whole rule and the topics.
    pub rule: String,
    /// Of the signing keys' ids. None in a dry run without a key, which is as any.
    pub keys: Option<String>,
    /// Threads share the partitions, and a partition must stay with its transactional id.
    pub threads: u16,
    /// Whether dead letters are written.
    pub dead_letters: bool,
}

/// What is kept with the offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What the run does.
    pub plan: Plan,
    /// All of the partition's offsets that the run reads.
    pub span: Span,
    /// Which records of them are meant.
    pub times: Times,
    /// When the offset was committed, in milliseconds since the epoch. None: by the first released
    /// version.
    pub at: Option<i64>,
}

impl Plan {
    /// The plan that the settings describe; the first run's until a name has had one.
    pub fn of(settings: &BackfillSettings, evaluator: &Evaluator, has_key: bool) -> Self {
        let topics = &settings.topics;
        Self {
            run: 1,
            range: digest(&range_text(&settings.range)),
            rule: digest(&format!(
                "{} {} {}",
                rule_text(evaluator.rule(), settings.rule.order_default_currency),
                topics.order_status_topic,
                topics.vouchers_topic
            )),
            keys: has_key.then(|| digest(&evaluator.keys().fingerprint())),
            threads: settings.backfill.threads,
            dead_letters: settings.backfill.dead_letters,
        }
    }

    /// What of this plan is not as `kept` has it, in a person's words. With other threads the same is
    /// done, but an interrupted run can't go on with them.
    pub fn differences(&self, kept: &Self) -> Vec<String> {
        let mut differences = self.differences_in_what_is_done(kept);
        if self.threads != kept.threads {
            differences.push(format!("--threads (it was {})", kept.threads));
        }
        differences
    }

    /// The same without the threads.
    pub fn differences_in_what_is_done(&self, kept: &Self) -> Vec<String> {
        let named = [
            (
                self.range == kept.range,
                "the range (--from, --to, --partitions)",
            ),
            (self.rule == kept.rule, "the rule, or a topic"),
            (
                self.keys.is_none() || self.keys == kept.keys,
                "the signing keys",
            ),
            (self.dead_letters == kept.dead_letters, "--dead-letters"),
        ];
        let differing = named.iter().filter(|(same, _)| !same);
        differing.map(|(_, what)| (*what).to_owned()).collect()
    }

    /// A run that is not this one and has offsets of this one's partitions: a process that was
    /// paused for long finds a later run when it wakes.
    pub fn another_run(&self, kept: &BTreeMap<Partition, Kept>) -> Option<u64> {
        let notes = kept.values().filter_map(|kept| kept.note.as_ref());
        let mut runs = notes.map(|note| note.plan.run);
        runs.find(|run| *run != self.run)
    }
}

impl Note {
    /// As it is kept.
    pub fn write(&self) -> String {
        let Self {
            plan:
                Plan {
                    run,
                    range,
                    rule,
                    keys,
                    threads,
                    dead_letters,
                },
            span: Span { from, to },
            times,
            at,
        } = self;
        let keys = keys.as_deref().unwrap_or(NONE);
        let [since, until, at] = [times.from, times.to, *at].map(number);
        format!(
            "{LAYOUT} {from} {to} {range} {rule} {keys} {threads} {dead_letters} {run} {since} \
             {until} {at}"
        )
    }

    /// Reads a note; `None` when it is none of ours.
    pub fn read(note: &str) -> Option<Self> {
        let words: Vec<_> = note.split(' ').collect();
        let (first, rest) = words.split_at_checked(8)?;
        let [layout, from, to, range, rule, keys, threads, dead_letters] = first else {
            return None;
        };
        let (run, times, at) = match (*layout, rest) {
            (FIRST_LAYOUT, []) => (1, Times::default(), None),
            (LAYOUT, [run, since, until, at]) => {
                let times = Times {
                    from: read_number(since)?,
                    to: read_number(until)?,
                };
                (run.parse().ok()?, times, read_number(at)?)
            }
            _ => return None,
        };
        Some(Self {
            plan: Plan {
                run,
                range: (*range).to_owned(),
                rule: (*rule).to_owned(),
                keys: (*keys != NONE).then(|| (*keys).to_owned()),
                threads: threads.parse().ok()?,
                dead_letters: dead_letters.parse().ok()?,
            },
            span: Span {
                from: from.parse().ok()?,
                to: to.parse().ok()?,
            },
            times,
            at,
        })
    }
}

/// In place of a word that there is none of.
const NONE: &str = "-";

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| NONE.to_owned(), |number| number.to_string())
}

/// The outer `None`: it is neither a number nor none.
fn read_number(word: &str) -> Option<Option<i64>> {
    match word {
        NONE => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn range_text(range: &RangeSettings) -> String {
    format!("{} {} {:?}", range.from, range.to, range.chosen())
}

/// Unlike the fingerprint of what vouchers are worth, this is of who earns one too.
fn rule_text(rule: &Rule, default_currency: Currency) -> String {
    let time = |time: Option<schemas::Timestamp>| time.map(schemas::Timestamp::as_micros);
    format!(
        "{} {} {:?} {:?} {}",
        rule.fingerprint(),
        rule.min_total.normalize(),
        time(rule.sent_from),
        time(rule.sent_until),
        default_currency.as_str()
    )
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::backfill) fn plan() -> Plan {
        Plan {
            run: 1,
            range: digest("range"),
            rule: digest("rule"),
            keys: Some(digest("keys")),
            threads: 2,
            dead_letters: false,
        }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = Note {
            plan: plan(),
            span: Span { from: 3, to: 900 },
            times: Times::default(),
            at: None,
        };
        let bounded = Note {
            plan: Plan { run: 7, ..plan() },
            times: Times {
                from: Some(-1),
                to: Some(1_777_593_600_000),
            },
            at: Some(1_780_000_000_000),
            ..note.clone()
        };
        for note in [note, bounded] {
            assert_eq!(Note::read(&note.write()), Some(note));
        }
        for other in [
            "",
            "backfill/3 0 1 a b c 1 true 1 - - -",
            "backfill/2 0 1 a b c 1 true",
            "backfill/2 0 1 a b c 1 true 1 x - -",
            "backfill/1 0 x a b c 1 true",
            "backfill/1 0 1 a b c 1 true 1 - - -",
        ] {
            assert_eq!(Note::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_note_of_the_first_released_version_is_read_on() {
        let note = Note::read("backfill/1 3 900 a b c 2 false").unwrap();
        assert_eq!(note.span, Span { from: 3, to: 900 });
        assert_eq!(
            (note.plan.run, note.times, note.at),
            (1, Times::default(), None)
        );
        assert_eq!(note.plan.keys.as_deref(), Some("c"));
    }

    #[test]
    fn every_difference_is_named() {
        assert!(plan().differences(&plan()).is_empty());
        let other = Plan {
            range: digest("other"),
            keys: Some(digest("other")),
            threads: 5,
            ..plan()
        };
        let named = plan().differences(&other).join("; ");
        for what in ["--from", "signing keys", "it was 5"] {
            assert!(named.contains(what), "{named}");
        }
        assert!(
            !named.contains("rule") && !named.contains("--dead"),
            "{named}"
        );
        let without_key = Plan {
            keys: None,
            ..plan()
        };
        assert!(without_key.differences(&plan()).is_empty());
    }
}
