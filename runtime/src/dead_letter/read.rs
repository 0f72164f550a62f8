//! A dead letter, taken apart: the original record as it was, and why it is here.

use std::str::FromStr;

use super::{
    ATTEMPTS, DeadLetterId, GROUP, MESSAGE, OFFSET, OMITTED, ORIGINAL_BYTES, ORIGINAL_SHA256,
    Omitted, Origin, PARTITION, REASON, RecordDigest, SERVICE, TIMESTAMP, TOPIC,
};
use crate::record::{Header, InputRecord, Offset, OwnedRecord, Partition};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the original was read, and which record it was.
    pub identity: DeadLetterId,
    /// Machine word of the cause.
    pub reason: String,
    /// A sentence for a person.
    pub message: String,
    /// Who could not use it.
    pub service: String,
    /// The consumer group whose letter it is; the first released version did not say.
    pub group: Option<String>,
    /// How often it had been tried when it was written.
    pub attempts: u32,
    /// Its own partition and offset in the dead letter topic.
    pub place: (Partition, Offset),
    /// When the letter was written, milliseconds since the epoch.
    pub written_millis: Option<i64>,
    /// The original: its key, value and headers, its place and its timestamp.
    pub original: OwnedRecord,
    /// What of the original is not here; see [`DeadLetterTopic::completed`](super::DeadLetterTopic::completed).
    pub omitted: Option<Omitted>,
}

/// A record of the dead letter topic that is no letter of its source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} is missing or unreadable")]
pub struct NotADeadLetter(&'static str);

impl NotADeadLetter {
    /// The original was of another topic, whose letters are elsewhere.
    pub(super) const fn of_another_topic() -> Self {
        Self(TOPIC)
    }
}

impl DeadLetter {
    /// Takes a record of the dead letter topic apart.
    ///
    /// # Errors
    /// When the headers do not tell where the original was read.
    pub fn of(record: &impl InputRecord) -> Result<Self, NotADeadLetter> {
        let mut original = Vec::new();
        record.each_header(&mut |name, value| {
            original.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        });
        // The original's own headers come first, and may be of these names as well: a letter of a
        // letter. Ours begin with the last reason.
        let first_of_ours = original
            .iter()
            .rposition(|(name, _)| name == REASON)
            .ok_or(NotADeadLetter(REASON))?;
        let added = original.split_off(first_of_ours);
        let (ours, others) = added.into_iter().partition(|(name, _)| is_ours(name));
        // What another tool has appended since is not ours to drop.
        original.extend::<Vec<Header>>(others);
        let ours = Ours(ours);
        let origin = Origin {
            topic: ours.text(TOPIC)?,
            partition: ours.number(PARTITION)?,
            offset: ours.number(OFFSET)?,
        };
        let original = OwnedRecord {
            partition: origin.partition,
            offset: origin.offset,
            timestamp_millis: ours.number(TIMESTAMP).ok(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: original,
        };
        let omitted = ours.omitted()?;
        // Of the original's value, carried or not: whole and shortened copies are one dead letter.
        let digest = match &omitted {
            Some(omitted) if omitted.has_value() => {
                let sha256 = omitted
                    .value_digest()
                    .ok_or(NotADeadLetter(ORIGINAL_SHA256))?;
                RecordDigest::of_parts(
                    original.timestamp_millis,
                    original.key.as_deref(),
                    Some(&sha256),
                )
            }
            _ => RecordDigest::of(&original),
        };
        Ok(Self {
            omitted,
            reason: ours.line(REASON)?,
            message: ours.line(MESSAGE).unwrap_or_default(),
            service: ours.line(SERVICE).unwrap_or_default(),
            group: ours.text(GROUP).ok(),
            attempts: ours.number(ATTEMPTS).unwrap_or(1),
            place: (record.partition(), record.offset()),
            written_millis: record.timestamp_millis(),
            identity: DeadLetterId { origin, digest },
            original,
        })
    }
}

fn is_ours(name: &str) -> bool {
    [
        REASON,
        MESSAGE,
        TOPIC,
        PARTITION,
        OFFSET,
        TIMESTAMP,
        SERVICE,
        ATTEMPTS,
        GROUP,
        OMITTED,
        ORIGINAL_BYTES,
        ORIGINAL_SHA256,
    ]
    .contains(&name)
}

/// The headers that were added to the original's.
struct Ours(Vec<Header>);

impl Ours {
    fn text(&self, name: &'static str) -> Result<String, NotADeadLetter> {
        self.0
            .iter()
            .find(|(header, _)| header == name)
            .and_then(|(_, value)| String::from_utf8(value.clone()?).ok())
            .ok_or(NotADeadLetter(name))
    }

    /// A text for a person: whoever may write to the topic chose it.
    fn line(&self, name: &'static str) -> Result<String, NotADeadLetter> {
        self.text(name)
            .map(|text| schemas::printable(&text).into_owned())
    }

    /// Without a size and a digest the original could not be told from another record.
    fn omitted(&self) -> Result<Option<Omitted>, NotADeadLetter> {
        let Ok(parts) = self.line(OMITTED) else {
            return Ok(None);
        };
        let (bytes, sha256) = (self.number(ORIGINAL_BYTES)?, self.line(ORIGINAL_SHA256)?);
        Ok(Some(Omitted::new(&parts, bytes, sha256)))
    }

    fn number<T: FromStr>(&self, name: &'static str) -> Result<T, NotADeadLetter> {
        self.text(name)?.parse().map_err(|_| NotADeadLetter(name))
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Malformed, Reason};

    use super::*;
    use crate::dead_letter::{Cause, Extent, OutgoingDeadLetter};

    fn original() -> OwnedRecord {
        OwnedRecord {
            partition: 3,
            offset: 41,
            timestamp_millis: Some(1_700_000_000_000),
            key: Some(vec![0xff]),
            value: Some(b"not json".to_vec()),
            headers: vec![("a".to_owned(), None), ("a".to_owned(), Some(vec![0, 1]))],
        }
    }

    fn buried(record: &OwnedRecord) -> OwnedRecord {
        buried_with(record, Extent::Whole)
    }

    fn buried_with(record: &OwnedRecord, extent: Extent) -> OwnedRecord {
        let malformed = Malformed::new(Reason::InvalidJson, "no JSON");
        let cause = Cause {
            topic: "order-status",
            service: "processor",
            malformed: &malformed,
            attempts: 1,
        };
        let dead_letter = OutgoingDeadLetter::of(record, &cause, extent);
        OwnedRecord {
            partition: 0,
            offset: 7,
            timestamp_millis: Some(1_800_000_000_000),
            key: dead_letter.key.map(<[u8]>::to_vec),
            value: dead_letter.value.map(<[u8]>::to_vec),
            headers: dead_letter.headers,
        }
    }

    #[test]
    fn a_letter_gives_the_original_back_as_it_was() {
        let letter = DeadLetter::of(&buried(&original())).unwrap();
        assert_eq!(letter.original, original());
        assert_eq!(letter.identity.origin.to_string(), "order-status/3/41");
        assert_eq!(letter.identity.digest, RecordDigest::of(&original()));
        assert_eq!(letter.group, None);
        assert_eq!(
            (letter.reason.as_str(), letter.message.as_str()),
            ("invalid_json", "no JSON")
        );
        assert_eq!((letter.service.as_str(), letter.attempts), ("processor", 1));
        assert_eq!(
            (letter.place, letter.written_millis),
            ((0, 7), Some(1_800_000_000_000))
        );
    }

    #[test]
    fn a_dead_letter_without_its_value_says_which_value_it_was() {
        let original = OwnedRecord {
            value: Some(vec![b'x'; 100_000]),
            ..original()
        };
        let letter = DeadLetter::of(&buried_with(&original, Extent::SmallParts)).unwrap();
        let omitted = letter.omitted.unwrap();
        assert_eq!(omitted.parts(), "value");
        assert!(omitted.is_of(original.value.as_deref()));
        assert_eq!(letter.original.headers, original.headers);
        assert_eq!(letter.original.key, original.key);
        let whole = DeadLetter::of(&buried_with(&original, Extent::Whole)).unwrap();
        assert_eq!(
            letter.identity, whole.identity,
            "one original is one dead letter"
        );
        assert_eq!((whole.omitted, whole.original), (None, original));
    }

    #[test]
    fn an_omission_without_a_digest_is_no_letter() {
        let mut record = buried_with(&original(), Extent::Nothing);
        record.headers.retain(|(name, _)| name != ORIGINAL_SHA256);
        assert_eq!(
            DeadLetter::of(&record),
            Err(NotADeadLetter(ORIGINAL_SHA256))
        );
    }

    #[test]
    fn an_original_that_was_a_letter_itself_keeps_its_headers() {
        let inner = OwnedRecord {
            partition: 1,
            offset: 2,
            timestamp_millis: None,
            ..buried(&original())
        };
        let letter = DeadLetter::of(&buried(&inner)).unwrap();
        assert_eq!(letter.original, inner);
        assert_eq!(letter.identity.origin.to_string(), "order-status/1/2");
    }

    #[test]
    fn a_letter_says_whose_it_is_and_the_original_keeps_a_header_of_that_name() {
        let mut inner = original();
        inner.headers.push((GROUP.to_owned(), Some(b"x".to_vec())));
        let mut record = buried(&inner);
        let group = "teams/spring".to_owned();
        record
            .headers
            .push((GROUP.to_owned(), Some(group.clone().into_bytes())));
        let letter = DeadLetter::of(&record).unwrap();
        assert_eq!((&letter.original, letter.group), (&inner, Some(group)));
    }

    #[test]
    fn a_header_that_another_tool_appended_stays() {
        let mut record = buried(&original());
        record
            .headers
            .push(("mirror".to_owned(), Some(b"x".to_vec())));
        let letter = DeadLetter::of(&record).unwrap();
        assert_eq!(letter.original.headers.len(), 3);
        assert_eq!(letter.original.headers[2].0, "mirror");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        let mut record = buried(&original());
        for (name, value) in &mut record.headers {
            if [REASON, MESSAGE, SERVICE].contains(&name.as_str()) {
                *value = Some(b"x\x1b[2J\nERROR".to_vec());
            }
        }
        let letter = DeadLetter::of(&record).unwrap();
        for text in [letter.reason, letter.message, letter.service] {
            assert_eq!(text, "x\\u{1b}[2J\\nERROR");
        }
    }

    #[test]
    fn a_record_without_our_headers_is_no_letter() {
        assert_eq!(DeadLetter::of(&original()), Err(NotADeadLetter(REASON)));
        let mut record = buried(&original());
        record.headers.retain(|(name, _)| name != OFFSET);
        assert_eq!(DeadLetter::of(&record), Err(NotADeadLetter(OFFSET)));
    }
}
