//! What a run of a named backfill does. The plan is stored as the metadata of the run's offsets, so
//! that a later start under the same name continues the same plan, or is refused.

use std::collections::BTreeMap;
use std::fmt;

use runtime::kafka::{RangeSettings, Span, Times};
use runtime::record::Partition;
use schemas::Currency;
use sha2::{Digest, Sha256};

use super::offsets::StoredOffset;
use super::settings::BackfillSettings;
use crate::evaluate::Evaluator;
use crate::rule::Rule;

/// The first field of the metadata. Another layout has another value.
const LAYOUT: &str = "backfill/2";

/// The layout of the first released version, whose ranges had no times and whose names had one run.
const FIRST_LAYOUT: &str = "backfill/1";

/// The settings of a run. Texts are stored as digests, because the metadata of an offset is at most
/// 4 KiB and must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The number of the run under its name, from 1.
    pub run: u64,
    /// The digest of the bounds as they were given, not as they were resolved: `-7d` has the same
    /// digest tomorrow.
    pub range: String,
    /// The digest of the whole rule and the topics.
    pub rule: String,
    /// The digest of the ids of the signing keys; `None` in a preview without a key, which matches any
    /// keys.
    pub keys: Option<String>,
    /// The number of threads. Each partition must stay with its transactional id, which is that of
    /// a thread.
    pub threads: u16,
    /// Whether dead letters are written.
    pub dead_letters: bool,
}

/// What is stored with the offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetMetadata {
    /// The plan of the run.
    pub plan: Plan,
    /// The offsets of the partition that the run reads.
    pub span: Span,
    /// The times of the records that are selected.
    pub times: Times,
    /// When the offset was committed, in milliseconds since the epoch; `None` if the first released
    /// version committed it.
    pub committed_at: Option<i64>,
}

impl Plan {
    /// Returns the plan that the settings describe, as that of the first run.
    pub fn of(settings: &BackfillSettings, evaluator: &Evaluator, has_key: bool) -> Self {
        let topics = &settings.shared.topics;
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
            threads: settings.replay.threads,
            dead_letters: settings.replay.dead_letters,
        }
    }

    /// Names the settings in which this plan differs from `stored`, for a person. The number of
    /// threads does not change what is done, but an interrupted run cannot continue with another.
    pub fn differences(&self, stored: &Self) -> Vec<String> {
        let mut differences = self.differences_in_effect(stored);
        if self.threads != stored.threads {
            differences.push(format!("--threads (it was {})", stored.threads));
        }
        differences
    }

    /// Names the settings in which the effect of this plan differs: all but the number of threads.
    pub fn differences_in_effect(&self, stored: &Self) -> Vec<String> {
        let named = [
            (
                self.range == stored.range,
                "the range (--from, --to, --partitions)",
            ),
            (self.rule == stored.rule, "the rule, or a topic"),
            (
                self.keys.is_none() || self.keys == stored.keys,
                "the signing keys",
            ),
            (self.dead_letters == stored.dead_letters, "--dead-letters"),
        ];
        let differing = named.iter().filter(|(same, _)| !same);
        differing.map(|(_, what)| (*what).to_owned()).collect()
    }

    /// Returns another run that has committed offsets of the same partitions, if there is one. A
    /// process that was paused for a long time finds a later run when it resumes.
    pub fn another_run(&self, stored: &BTreeMap<Partition, StoredOffset>) -> Option<u64> {
        let metadata = stored
            .values()
            .filter_map(|stored| stored.metadata.as_ref());
        let mut runs = metadata.map(|metadata| metadata.plan.run);
        runs.find(|run| *run != self.run)
    }
}

/// Formats the metadata as it is stored.
impl fmt::Display for OffsetMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            committed_at,
        } = self;
        let keys = keys.as_deref().unwrap_or(NONE);
        let [since, until, at] = [times.from, times.to, *committed_at].map(number);
        write!(
            f,
            "{LAYOUT} {from} {to} {range} {rule} {keys} {threads} {dead_letters} {run} {since} \
             {until} {at}"
        )
    }
}

impl OffsetMetadata {
    /// Parses the metadata; `None` when no backfill wrote it.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split(' ').collect();
        let (first, rest) = fields.split_at_checked(8)?;
        let [layout, from, to, range, rule, keys, threads, dead_letters] = first else {
            return None;
        };
        let (run, times, committed_at) = match (*layout, rest) {
            (FIRST_LAYOUT, []) => (1, Times::default(), None),
            (LAYOUT, [run, since, until, at]) => {
                let times = Times {
                    from: parse_number(since)?,
                    to: parse_number(until)?,
                };
                (run.parse().ok()?, times, parse_number(at)?)
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
            committed_at,
        })
    }
}

/// Stands for a field without a value.
const NONE: &str = "-";

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| NONE.to_owned(), |number| number.to_string())
}

/// Parses an optional number; `None` when the field is neither a number nor [`NONE`].
fn parse_number(field: &str) -> Option<Option<i64>> {
    match field {
        NONE => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn range_text(range: &RangeSettings) -> String {
    format!("{} {} {:?}", range.from, range.to, range.chosen())
}

/// Returns the whole rule. Its fingerprint covers only what vouchers are worth, not who earns one.
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
    fn metadata_are_parsed_as_they_are_formatted() {
        let metadata = OffsetMetadata {
            plan: plan(),
            span: Span { from: 3, to: 900 },
            times: Times::default(),
            committed_at: None,
        };
        let bounded = OffsetMetadata {
            plan: Plan { run: 7, ..plan() },
            times: Times {
                from: Some(-1),
                to: Some(1_777_593_600_000),
            },
            committed_at: Some(1_780_000_000_000),
            ..metadata.clone()
        };
        for metadata in [metadata, bounded] {
            let text = metadata.to_string();
            assert_eq!(OffsetMetadata::parse(&text), Some(metadata));
        }
        for other in [
            "",
            "backfill/3 0 1 a b c 1 true 1 - - -",
            "backfill/2 0 1 a b c 1 true",
            "backfill/2 0 1 a b c 1 true 1 x - -",
            "backfill/1 0 x a b c 1 true",
            "backfill/1 0 1 a b c 1 true 1 - - -",
        ] {
            assert_eq!(OffsetMetadata::parse(other), None, "{other}");
        }
    }

    #[test]
    fn metadata_of_the_first_released_version_are_parsed() {
        let metadata = OffsetMetadata::parse("backfill/1 3 900 a b c 2 false").unwrap();
        assert_eq!(metadata.span, Span { from: 3, to: 900 });
        assert_eq!(
            (metadata.plan.run, metadata.times, metadata.committed_at),
            (1, Times::default(), None)
        );
        assert_eq!(metadata.plan.keys.as_deref(), Some("c"));
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
