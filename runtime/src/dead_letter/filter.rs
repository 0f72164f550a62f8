//! Selects dead letters by reason, time, origin and key.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use schemas::{KeyForm, Timestamp};

use super::id::number;
use super::{DeadLetter, DeadLetterId, DeadLetterState, InvalidDeadLetterId, Origin, RecordDigest};
use crate::kafka::Bound;
use crate::record::{Offset, Partition};

/// Conditions that a dead letter must meet: all of them, and any of the values of each.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which dead letters")]
pub struct DeadLetterFilter {
    /// Only dead letters whose newest reason is this one, such as invalid_total.
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    pub reason: Vec<String>,

    /// Only dead letters written at or after this time: RFC 3339, or relative to now (-7d, -12h,
    /// -30m).
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub from: Option<Timestamp>,

    /// Only dead letters written before this time.
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub to: Option<Timestamp>,

    /// Only the dead letter whose original was read at this origin: [TOPIC/]PARTITION/OFFSET, with
    /// @DIGEST where the list shows one.
    #[arg(long = "letter", value_name = "ORIGIN", value_delimiter = ',')]
    pub origin: Vec<OriginFilter>,

    /// Only dead letters of this order, whatever form its id has as the key.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
}

/// The origin of a dead letter; the topic is optional. Several records may have had one origin when
/// a topic was deleted and created again: the digest distinguishes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginFilter {
    topic: Option<String>,
    partition: Partition,
    offset: Offset,
    digest: Option<RecordDigest>,
}

impl FromStr for OriginFilter {
    type Err = InvalidDeadLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        let (text, digest) = match text.split_once('@') {
            Some((origin, digest)) => (origin, Some(digest.parse()?)),
            None => (text, None),
        };
        if let Some((partition, offset)) = text.split_once('/')
            && !offset.contains('/')
        {
            return Ok(Self {
                topic: None,
                partition: number(partition)?,
                offset: number(offset)?,
                digest,
            });
        }
        let origin: Origin = text.parse()?;
        Ok(Self {
            topic: Some(origin.topic),
            partition: origin.partition,
            offset: origin.offset,
            digest,
        })
    }
}

impl fmt::Display for OriginFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = &self.topic {
            write!(f, "{topic}/")?;
        }
        write!(f, "{}/{}", self.partition, self.offset)?;
        match self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl OriginFilter {
    fn matches(&self, id: &DeadLetterId) -> bool {
        let DeadLetterId { origin, digest } = id;
        self.partition == origin.partition
            && self.offset == origin.offset
            && self
                .topic
                .as_ref()
                .is_none_or(|topic| *topic == origin.topic)
            && self.digest.is_none_or(|wanted| wanted == *digest)
    }
}

impl DeadLetterFilter {
    /// Returns whether every dead letter is selected.
    pub const fn is_all(&self) -> bool {
        self.reason.is_empty()
            && self.from.is_none()
            && self.to.is_none()
            && self.origin.is_empty()
            && self.key.is_empty()
    }

    /// Returns whether this dead letter with its newest state is selected.
    pub fn selects(&self, dead_letter: &DeadLetter, state: Option<&DeadLetterState>) -> bool {
        let reason = dead_letter.reason_now(state);
        let written = dead_letter.written_millis.map(Timestamp::from_millis);
        let key = dead_letter.original.key.as_deref();
        any(&self.reason, |wanted| wanted == reason)
            && self.from.is_none_or(|from| written >= Some(from))
            && self.to.is_none_or(|to| written < Some(to))
            && any(&self.origin, |origin| origin.matches(&dead_letter.id))
            && any(&self.key, |wanted| {
                key.is_some_and(|key| KeyForm::of(key, wanted).is_some())
            })
    }
}

/// Returns whether any of the values matches, or none was given.
fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// Parses a time as it is written for the bound of a range.
fn moment(text: &str) -> Result<Timestamp, String> {
    match Bound::parse(text).map(|bound| bound.at_this_moment()) {
        Ok(Bound::Time(millis)) => Ok(Timestamp::from_millis(millis)),
        _ => Err(
            "write a time with its zone (2026-12-01T00:00:00Z), or how long ago (-7d, -12h, -30m)"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::Outcome;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn dead_letter() -> DeadLetter {
        let id = "order-status/3/41@00112233445566ff".parse().unwrap();
        let mut dead_letter = DeadLetter::sample(id);
        dead_letter.written_millis = Some(at("2026-11-23T09:30:00Z").as_millis());
        dead_letter.original.key = Some(b"17".to_vec());
        dead_letter
    }

    fn selects(change: impl FnOnce(&mut DeadLetterFilter)) -> bool {
        let mut filter = DeadLetterFilter::default();
        change(&mut filter);
        assert!(!filter.is_all());
        filter.selects(&dead_letter(), None)
    }

    #[test]
    fn no_condition_selects_every_dead_letter() {
        assert!(DeadLetterFilter::default().is_all());
        assert!(DeadLetterFilter::default().selects(&dead_letter(), None));
    }

    #[test]
    fn a_condition_matches_any_of_its_values() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert!(selects(|f| f.reason = words(&["x", "invalid_total"])));
        assert!(!selects(|f| f.reason = words(&["x"])));
        assert!(selects(|f| f.key = words(&["16", "17"])));
        assert!(!selects(|f| f.key = words(&["170"])));
        let mut quoted = dead_letter();
        quoted.original.key = Some(b"\"17\"".to_vec());
        let filter = DeadLetterFilter {
            key: words(&["17"]),
            ..DeadLetterFilter::default()
        };
        assert!(filter.selects(&quoted, None));
        assert!(selects(|f| f.origin = vec!["3/41".parse().unwrap()]));
        assert!(selects(
            |f| f.origin = vec!["order-status/3/41".parse().unwrap()]
        ));
        assert!(!selects(
            |f| f.origin = vec!["vouchers/3/41".parse().unwrap()]
        ));
        assert!(!selects(|f| f.origin = vec!["3/4".parse().unwrap()]));
    }

    #[test]
    fn times_are_half_open() {
        let written = "2026-11-23T09:30:00Z";
        assert!(selects(|f| f.from = Some(at(written))));
        assert!(!selects(|f| f.to = Some(at(written))));
        assert!(selects(|f| f.to = Some(at("2026-11-23T09:30:00.001Z"))));
        assert!(!selects(|f| f.from = Some(at("2026-11-23T09:30:00.001Z"))));
    }

    #[test]
    fn all_conditions_must_hold() {
        assert!(!selects(|f| {
            f.reason = vec!["invalid_total".to_owned()];
            f.key = vec!["18".to_owned()];
        }));
    }

    #[test]
    fn the_newest_reason_counts() {
        let failed = Outcome::Failed {
            reason: "unknown_status".to_owned(),
            message: String::new(),
        };
        let state = DeadLetterState::now(failed, 2, "redrive");
        let filter = |word: &str| DeadLetterFilter {
            reason: vec![word.to_owned()],
            ..DeadLetterFilter::default()
        };
        assert!(filter("unknown_status").selects(&dead_letter(), Some(&state)));
        assert!(!filter("invalid_total").selects(&dead_letter(), Some(&state)));
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let time = "2026-01-01T00:00:00Z";
        assert_eq!(moment(time), Ok(at(time)));
        let week = 7 * 86_400_000;
        let now = chrono::Utc::now().timestamp_millis();
        let ago = moment("-7d").unwrap().as_millis();
        assert!((now - week..now - week + 60_000).contains(&ago));
        for text in ["", "7d", "earliest", "latest", "0:100", "yesterday"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
