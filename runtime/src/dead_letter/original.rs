//! Reading the original of a dead letter that does not carry it, from the topic that it came from.

use std::fmt;

use super::{DeadLetter, DeadLetterId, DeadLetterTopic, Omitted, Origin, Outcome};
use crate::kafka::TopicRange;
use crate::lifecycle::Failure;
use crate::record::{InputRecord, OwnedRecord};

/// Why an original can't be had any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingOriginal {
    /// Compaction or retention removed it, or it was never committed.
    Removed(DeadLetterId),
    /// Another record is in its place: the topic was deleted and made anew.
    Replaced(DeadLetterId),
}

impl fmt::Display for MissingOriginal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(identity) => write!(
                f,
                "the original did not fit into the dead letter, and compaction or retention has \
                 removed {identity} since"
            ),
            Self::Replaced(identity) => write!(
                f,
                "the original did not fit into the dead letter, and the value at {identity} has \
                 another SHA-256: the topic was created anew since"
            ),
        }
    }
}

impl MissingOriginal {
    /// What a redrive comes to.
    pub fn outcome(&self) -> Outcome {
        let reason = match self {
            Self::Removed(_) => "original_removed",
            Self::Replaced(_) => "original_replaced",
        };
        Outcome::Failed {
            reason: reason.to_owned(),
            message: self.to_string(),
        }
    }
}

impl DeadLetterTopic {
    /// The letter with its whole original: what it leaves out is read from the source topic.
    ///
    /// # Errors
    /// Exit code 1 when the source topic can't be read.
    pub fn completed(
        &self,
        letter: DeadLetter,
    ) -> Result<(DeadLetter, Option<MissingOriginal>), Failure> {
        let Some(omitted) = &letter.omitted else {
            return Ok((letter, None));
        };
        let identity = letter.identity.clone();
        let Some(found) = self.record_at(&identity.origin)? else {
            return Ok((letter, Some(MissingOriginal::Removed(identity))));
        };
        if !is_original(&letter, omitted, &found) {
            return Ok((letter, Some(MissingOriginal::Replaced(identity))));
        }
        let whole = DeadLetter {
            original: found,
            ..letter
        };
        Ok((whole, None))
    }

    fn record_at(&self, place: &Origin) -> Result<Option<OwnedRecord>, Failure> {
        let mut range =
            TopicRange::whole(self.kafka(), &place.topic)?.only(&[place.partition].into());
        for span in range.spans.values_mut() {
            span.from = span.from.max(place.offset);
            span.to = span.to.min(place.offset.saturating_add(1)).max(span.from);
        }
        let mut found = None;
        range.read(self.kafka(), self.group(), |record| {
            if record.offset() == place.offset {
                found = Some(OwnedRecord::of(record));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn is_original(letter: &DeadLetter, omitted: &Omitted, found: &OwnedRecord) -> bool {
    omitted.is_of(found.value.as_deref())
        && (letter.original.key.is_none() || letter.original.key == found.key)
        && letter.original.timestamp_millis == found.timestamp_millis
}
