//! What a backfill of one name does: kept beside its offsets, so that a later start under the same
//! name goes on with the same, or is refused.

use runtime::kafka::{RangeSettings, Span};
use schemas::Currency;
use sha2::{Digest, Sha256};

use super::settings::BackfillSettings;
use crate::evaluate::Evaluator;
use crate::rule::Rule;

/// The first word of a kept note; another layout gets another.
const LAYOUT: &str = "backfill/1";

/// See the module. Everything but the number of threads is a digest: a note is at most 4 KiB, and
/// holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Of the range as it was asked for, not as it was resolved: `-7d` is the same tomorrow.
    pub range: String,
    /// Of the whole rule and the topics.
    pub rule: String,
    /// Of the signing keys' ids.
    pub keys: String,
    /// Threads share the partitions, and a partition must stay with its transactional id.
    pub threads: u16,
    /// Whether dead letters are written.
    pub dead_letters: bool,
}

impl Plan {
    /// The plan that the settings describe.
    pub fn of(settings: &BackfillSettings, evaluator: &Evaluator) -> Self {
        let topics = &settings.topics;
        Self {
            range: digest(&range_text(&settings.range)),
            rule: digest(&format!(
                "{} {} {}",
                rule_text(evaluator.rule(), settings.rule.order_default_currency),
                topics.order_status_topic,
                topics.vouchers_topic
            )),
            keys: digest(&evaluator.keys().fingerprint()),
            threads: settings.backfill.threads,
            dead_letters: settings.backfill.dead_letters,
        }
    }

    /// What is kept with the offset of a partition whose span is `span`.
    pub fn note(&self, span: Span) -> String {
        let Self {
            range,
            rule,
            keys,
            threads,
            dead_letters,
        } = self;
        let Span { from, to } = span;
        format!("{LAYOUT} {from} {to} {range} {rule} {keys} {threads} {dead_letters}")
    }

    /// Reads a note; `None` when it is none of ours.
    pub fn read(note: &str) -> Option<(Self, Span)> {
        let words: Vec<_> = note.split(' ').collect();
        let [LAYOUT, from, to, range, rule, keys, threads, dead_letters] = words[..] else {
            return None;
        };
        let plan = Self {
            range: range.to_owned(),
            rule: rule.to_owned(),
            keys: keys.to_owned(),
            threads: threads.parse().ok()?,
            dead_letters: dead_letters.parse().ok()?,
        };
        let span = Span {
            from: from.parse().ok()?,
            to: to.parse().ok()?,
        };
        Some((plan, span))
    }

    /// What of this plan is not as `kept` has it, in a person's words.
    pub fn differences(&self, kept: &Self) -> Vec<String> {
        let named = [
            (
                self.range == kept.range,
                "the range (--from, --to, --partitions)",
            ),
            (self.rule == kept.rule, "the rule, or a topic"),
            (self.keys == kept.keys, "the signing keys"),
            (self.dead_letters == kept.dead_letters, "--dead-letters"),
        ];
        let mut differences: Vec<String> = named
            .iter()
            .filter(|(same, _)| !same)
            .map(|(_, what)| (*what).to_owned())
            .collect();
        if self.threads != kept.threads {
            differences.push(format!("--threads (it was {})", kept.threads));
        }
        differences
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
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            range: digest("range"),
            rule: digest("rule"),
            keys: digest("keys"),
            threads: 2,
            dead_letters: false,
        }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let span = Span { from: 3, to: 900 };
        assert_eq!(Plan::read(&plan().note(span)), Some((plan(), span)));
        for other in [
            "",
            "backfill/2 0 1 a b c 1 true",
            "backfill/1 0 x a b c 1 true",
        ] {
            assert_eq!(Plan::read(other), None, "{other}");
        }
    }

    #[test]
    fn every_difference_is_named() {
        assert!(plan().differences(&plan()).is_empty());
        let other = Plan {
            range: digest("other"),
            keys: digest("other"),
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
    }
}
