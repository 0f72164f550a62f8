//! Which letters a person means: by reason, time, place and key.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use schemas::{KeyForm, Timestamp};

use super::id::number;
use super::{DeadLetter, DeadLetterId, InvalidIdentity, Origin, RecordDigest, State};
use crate::kafka::Bound;
use crate::record::{Offset, Partition};

/// All conditions must hold; of one that is given more than once, any.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which letters")]
pub struct LetterFilter {
    /// Only letters whose (newest) reason is this word, such as invalid_total.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub reason: Vec<String>,

    /// Only letters written from this moment on: RFC 3339, or so long ago: -7d, -12h, -30m.
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub from: Option<Timestamp>,

    /// Only letters written before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub to: Option<Timestamp>,

    /// Only the dead letter of the record that was read here: [TOPIC/]PARTITION/OFFSET, and @DIGEST where
    /// a list shows one.
    #[arg(long, value_name = "PLACE", value_delimiter = ',')]
    pub letter: Vec<Place>,

    /// Only letters of this order, in whatever form its id is the key.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
}

/// The place of an original; the topic may be left out. Where a topic was made anew, several records
/// may have been read at one place, which the digest tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    topic: Option<String>,
    partition: Partition,
    offset: Offset,
    digest: Option<RecordDigest>,
}

impl FromStr for Place {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let (text, digest) = match text.split_once('@') {
            Some((place, digest)) => (place, Some(digest.parse()?)),
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

impl fmt::Display for Place {
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

impl Place {
    fn is(&self, identity: &DeadLetterId) -> bool {
        let DeadLetterId { origin, digest } = identity;
        self.partition == origin.partition
            && self.offset == origin.offset
            && self
                .topic
                .as_ref()
                .is_none_or(|topic| *topic == origin.topic)
            && self.digest.is_none_or(|wanted| wanted == *digest)
    }
}

impl LetterFilter {
    /// Whether it means every letter.
    pub const fn is_all(&self) -> bool {
        self.reason.is_empty()
            && self.from.is_none()
            && self.to.is_none()
            && self.letter.is_empty()
            && self.key.is_empty()
    }

    /// Whether it means this letter; `state` is its newest.
    pub fn means(&self, letter: &DeadLetter, state: Option<&State>) -> bool {
        let reason = letter.reason_now(state);
        let written = letter.written_millis.map(Timestamp::from_millis);
        let key = letter.original.key.as_deref();
        any(&self.reason, |word| word == reason)
            && self.from.is_none_or(|from| written >= Some(from))
            && self.to.is_none_or(|to| written < Some(to))
            && any(&self.letter, |place| place.is(&letter.identity))
            && any(&self.key, |wanted| {
                key.is_some_and(|key| KeyForm::of(key, wanted).is_some())
            })
    }
}

/// No condition holds for everything.
fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// As a range's bound is written, where it is a time.
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
    use crate::record::OwnedRecord;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn letter() -> DeadLetter {
        DeadLetter {
            omitted: None,
            identity: "order-status/3/41@00112233445566ff".parse().unwrap(),
            reason: "invalid_total".to_owned(),
            message: String::new(),
            service: "processor".to_owned(),
            group: None,
            attempts: 1,
            place: (0, 7),
            written_millis: Some(at("2026-11-23T09:30:00Z").as_millis()),
            original: OwnedRecord {
                partition: 3,
                offset: 41,
                key: Some(b"17".to_vec()),
                ..OwnedRecord::default()
            },
        }
    }

    fn means(change: impl FnOnce(&mut LetterFilter)) -> bool {
        let mut filter = LetterFilter::default();
        change(&mut filter);
        assert!(!filter.is_all());
        filter.means(&letter(), None)
    }

    #[test]
    fn no_condition_means_every_letter() {
        assert!(LetterFilter::default().is_all());
        assert!(LetterFilter::default().means(&letter(), None));
    }

    #[test]
    fn each_condition_chooses_and_any_of_its_values_does() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert!(means(|f| f.reason = words(&["x", "invalid_total"])));
        assert!(!means(|f| f.reason = words(&["x"])));
        assert!(means(|f| f.key = words(&["16", "17"])));
        assert!(!means(|f| f.key = words(&["170"])));
        let mut quoted = letter();
        quoted.original.key = Some(b"\"17\"".to_vec());
        let filter = LetterFilter {
            key: words(&["17"]),
            ..LetterFilter::default()
        };
        assert!(filter.means(&quoted, None));
        assert!(means(|f| f.letter = vec!["3/41".parse().unwrap()]));
        assert!(means(
            |f| f.letter = vec!["order-status/3/41".parse().unwrap()]
        ));
        assert!(!means(|f| f.letter = vec!["vouchers/3/41".parse().unwrap()]));
        assert!(!means(|f| f.letter = vec!["3/4".parse().unwrap()]));
    }

    #[test]
    fn times_are_half_open() {
        let written = "2026-11-23T09:30:00Z";
        assert!(means(|f| f.from = Some(at(written))));
        assert!(!means(|f| f.to = Some(at(written))));
        assert!(means(|f| f.to = Some(at("2026-11-23T09:30:00.001Z"))));
        assert!(!means(|f| f.from = Some(at("2026-11-23T09:30:00.001Z"))));
    }

    #[test]
    fn all_conditions_must_hold() {
        assert!(!means(|f| {
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
        let state = State::now(failed, 2, "redrive");
        let filter = |word: &str| LetterFilter {
            reason: vec![word.to_owned()],
            ..LetterFilter::default()
        };
        assert!(filter("unknown_status").means(&letter(), Some(&state)));
        assert!(!filter("invalid_total").means(&letter(), Some(&state)));
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
