//! Reads a record of the dead letter topic: the original record, and why it could not be used.

use std::str::FromStr;

use super::{
    ATTEMPTS, DeadLetterId, DeadLetterState, GROUP, MESSAGE, OFFSET, OMITTED, ORIGINAL_BYTES,
    ORIGINAL_SHA256, Omitted, Origin, Outcome, PARTITION, REASON, RecordDigest, SERVICE, TIMESTAMP,
    TOPIC,
};
use crate::record::{Header, InputRecord, Offset, OwnedRecord, Partition};

/// A dead letter as it was read from its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the original was read, and which record it was.
    pub id: DeadLetterId,
    /// The reason as an identifier.
    pub reason: String,
    /// A sentence for a person.
    pub message: String,
    /// The service that could not use the record.
    pub service: String,
    /// The consumer group that owns the dead letter; none in those of the first released version.
    pub group: Option<String>,
    /// How often the record had been tried when the dead letter was written.
    pub attempts: u32,
    /// Its own partition and offset in the dead letter topic.
    pub place: (Partition, Offset),
    /// When the dead letter was written, in milliseconds since the epoch.
    pub written_millis: Option<i64>,
    /// The original: its key, value and headers, its partition, offset and timestamp.
    pub original: OwnedRecord,
    /// The parts of the original that are not carried;
    /// [`DeadLetterTopic::with_original`](super::DeadLetterTopic::with_original) reads them.
    pub omitted: Option<Omitted>,
}

/// The record is not a dead letter of the source topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} is missing or unreadable")]
pub struct NotADeadLetter(&'static str);

impl NotADeadLetter {
    /// Returns the error for an original of another source topic, whose dead letters are in another topic.
    pub(super) const fn of_another_topic() -> Self {
        Self(TOPIC)
    }
}

impl DeadLetter {
    /// Parses a record of the dead letter topic.
    ///
    /// # Errors
    /// When the headers do not say where the original was read.
    pub fn parse(record: &impl InputRecord) -> Result<Self, NotADeadLetter> {
        let mut original = Vec::new();
        record.each_header(&mut |name, value| {
            original.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        });
        // The original's own headers come first and may have the same names, when the original was
        // a dead letter itself. The added headers begin with the last reason.
        let first_added = original
            .iter()
            .rposition(|(name, _)| name == REASON)
            .ok_or(NotADeadLetter(REASON))?;
        let added = original.split_off(first_added);
        let (added, foreign) = added.into_iter().partition(|(name, _)| is_added(name));
        // Keeps the headers that another tool has appended since.
        original.extend::<Vec<Header>>(foreign);
        let added = AddedHeaders(added);
        let origin = Origin {
            topic: added.text(TOPIC)?,
            partition: added.number(PARTITION)?,
            offset: added.number(OFFSET)?,
        };
        let original = OwnedRecord {
            partition: origin.partition,
            offset: origin.offset,
            timestamp_millis: added.number(TIMESTAMP).ok(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: original,
        };
        let omitted = added.omitted()?;
        // The digest covers the original's value even if the value is omitted, so that a copy without the
        // value and a copy with it have the same id.
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
            reason: added.line(REASON)?,
            message: added.line(MESSAGE).unwrap_or_default(),
            service: added.line(SERVICE).unwrap_or_default(),
            group: added.text(GROUP).ok(),
            attempts: added.number(ATTEMPTS).unwrap_or(1),
            place: (record.partition(), record.offset()),
            written_millis: record.timestamp_millis(),
            id: DeadLetterId { origin, digest },
            original,
        })
    }
}

impl DeadLetter {
    /// Returns the reason of the last attempt.
    pub fn reason_now<'a>(&'a self, state: Option<&'a DeadLetterState>) -> &'a str {
        match state.map(|state| &state.outcome) {
            Some(Outcome::Failed { reason, .. }) => reason,
            _ => &self.reason,
        }
    }

    /// Returns how often the record was tried so far.
    pub fn attempts_now(&self, state: Option<&DeadLetterState>) -> u32 {
        state.map_or(self.attempts, |state| state.attempts)
    }

    /// Returns whether the dead letter has no final outcome.
    pub fn is_open(&self, state: Option<&DeadLetterState>) -> bool {
        state.is_none_or(|state| !state.outcome.is_final())
    }
}

fn is_added(name: &str) -> bool {
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

/// The headers that a service added to those of the original.
struct AddedHeaders(Vec<Header>);

impl AddedHeaders {
    fn text(&self, name: &'static str) -> Result<String, NotADeadLetter> {
        self.0
            .iter()
            .find(|(header, _)| header == name)
            .and_then(|(_, value)| String::from_utf8(value.clone()?).ok())
            .ok_or(NotADeadLetter(name))
    }

    /// Returns a text that is safe to print: everybody who may write to the topic can choose its content.
    fn line(&self, name: &'static str) -> Result<String, NotADeadLetter> {
        self.text(name)
            .map(|text| schemas::printable(&text).into_owned())
    }

    /// Returns the parts that are omitted, if any. Size and SHA-256 are required: without them the
    /// original could not be verified.
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
impl DeadLetter {
    /// Returns a dead letter of this id, for tests.
    pub(super) fn sample(id: DeadLetterId) -> Self {
        Self {
            original: OwnedRecord {
                partition: id.origin.partition,
                offset: id.origin.offset,
                ..OwnedRecord::default()
            },
            place: (0, id.origin.offset),
            id,
            reason: "invalid_total".to_owned(),
            message: String::new(),
            service: "processor".to_owned(),
            group: None,
            attempts: 1,
            written_millis: None,
            omitted: None,
        }
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

    fn written(record: &OwnedRecord) -> OwnedRecord {
        written_with(record, Extent::Whole)
    }

    fn written_with(record: &OwnedRecord, extent: Extent) -> OwnedRecord {
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
    fn a_dead_letter_gives_the_original_back_as_it_was() {
        let dead_letter = DeadLetter::parse(&written(&original())).unwrap();
        assert_eq!(dead_letter.original, original());
        assert_eq!(dead_letter.id.origin.to_string(), "order-status/3/41");
        assert_eq!(dead_letter.id.digest, RecordDigest::of(&original()));
        assert_eq!(dead_letter.group, None);
        assert_eq!(
            (dead_letter.reason.as_str(), dead_letter.message.as_str()),
            ("invalid_json", "no JSON")
        );
        assert_eq!(
            (dead_letter.service.as_str(), dead_letter.attempts),
            ("processor", 1)
        );
        assert_eq!(
            (dead_letter.place, dead_letter.written_millis),
            ((0, 7), Some(1_800_000_000_000))
        );
    }

    #[test]
    fn a_dead_letter_without_its_value_says_which_value_it_was() {
        let original = OwnedRecord {
            value: Some(vec![b'x'; 100_000]),
            ..original()
        };
        let dead_letter = DeadLetter::parse(&written_with(&original, Extent::SmallParts)).unwrap();
        let omitted = dead_letter.omitted.unwrap();
        assert_eq!(omitted.parts(), "value");
        assert!(omitted.is_of(original.value.as_deref()));
        assert_eq!(dead_letter.original.headers, original.headers);
        assert_eq!(dead_letter.original.key, original.key);
        let whole = DeadLetter::parse(&written_with(&original, Extent::Whole)).unwrap();
        assert_eq!(dead_letter.id, whole.id, "one original is one dead letter");
        assert_eq!((whole.omitted, whole.original), (None, original));
    }

    #[test]
    fn an_omission_without_a_digest_is_no_dead_letter() {
        let mut record = written_with(&original(), Extent::Nothing);
        record.headers.retain(|(name, _)| name != ORIGINAL_SHA256);
        assert_eq!(
            DeadLetter::parse(&record),
            Err(NotADeadLetter(ORIGINAL_SHA256))
        );
    }

    #[test]
    fn an_original_that_was_a_dead_letter_itself_keeps_its_headers() {
        let inner = OwnedRecord {
            partition: 1,
            offset: 2,
            timestamp_millis: None,
            ..written(&original())
        };
        let dead_letter = DeadLetter::parse(&written(&inner)).unwrap();
        assert_eq!(dead_letter.original, inner);
        assert_eq!(dead_letter.id.origin.to_string(), "order-status/1/2");
    }

    #[test]
    fn a_dead_letter_names_its_group_and_the_original_keeps_a_header_of_that_name() {
        let mut inner = original();
        inner.headers.push((GROUP.to_owned(), Some(b"x".to_vec())));
        let mut record = written(&inner);
        let group = "teams/spring".to_owned();
        record
            .headers
            .push((GROUP.to_owned(), Some(group.clone().into_bytes())));
        let dead_letter = DeadLetter::parse(&record).unwrap();
        assert_eq!(
            (&dead_letter.original, dead_letter.group),
            (&inner, Some(group))
        );
    }

    #[test]
    fn a_header_that_another_tool_appended_stays() {
        let mut record = written(&original());
        record
            .headers
            .push(("mirror".to_owned(), Some(b"x".to_vec())));
        let dead_letter = DeadLetter::parse(&record).unwrap();
        assert_eq!(dead_letter.original.headers.len(), 3);
        assert_eq!(dead_letter.original.headers[2].0, "mirror");
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut record = written(&original());
        for (name, value) in &mut record.headers {
            if [REASON, MESSAGE, SERVICE].contains(&name.as_str()) {
                *value = Some(b"x\x1b[2J\nERROR".to_vec());
            }
        }
        let dead_letter = DeadLetter::parse(&record).unwrap();
        for text in [dead_letter.reason, dead_letter.message, dead_letter.service] {
            assert_eq!(text, "x\\u{1b}[2J\\nERROR");
        }
    }

    #[test]
    fn a_record_without_the_added_headers_is_no_dead_letter() {
        assert_eq!(DeadLetter::parse(&original()), Err(NotADeadLetter(REASON)));
        let mut record = written(&original());
        record.headers.retain(|(name, _)| name != OFFSET);
        assert_eq!(DeadLetter::parse(&record), Err(NotADeadLetter(OFFSET)));
    }
}
