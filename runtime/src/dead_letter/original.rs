//! Reads the original of a dead letter that omits a part of it, from the topic that it came from.

use std::fmt;

use super::{DeadLetter, DeadLetterId, DeadLetterTopic, Omitted, Origin, Outcome};
use crate::kafka::TopicRange;
use crate::lifecycle::Failure;
use crate::record::{InputRecord, OwnedRecord};

/// Why an original cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingOriginal {
    /// Compaction or retention removed it, or it was never committed.
    Removed(DeadLetterId),
    /// Another record has its offset: the topic was deleted and created again.
    Replaced(DeadLetterId),
}

impl fmt::Display for MissingOriginal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(id) => write!(
                f,
                "the dead letter does not carry its original, and compaction or retention has removed \
                 {id} since"
            ),
            Self::Replaced(id) => write!(
                f,
                "the dead letter does not carry its original, and the value at {id} has another \
                 SHA-256: the topic was deleted and created again since"
            ),
        }
    }
}

impl MissingOriginal {
    /// Returns the outcome of a redrive of such a dead letter.
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
    /// Returns the dead letter with its whole original: reads the omitted parts from the source
    /// topic. When they cannot be read any more, returns it as it is, and why.
    ///
    /// # Errors
    /// Exit code 1 when the source topic cannot be read.
    pub fn with_original(
        &self,
        dead_letter: DeadLetter,
    ) -> Result<(DeadLetter, Option<MissingOriginal>), Failure> {
        let Some(omitted) = &dead_letter.omitted else {
            return Ok((dead_letter, None));
        };
        let id = dead_letter.id.clone();
        let Some(found) = self.record_at(&id.origin)? else {
            return Ok((dead_letter, Some(MissingOriginal::Removed(id))));
        };
        if !is_original(&dead_letter, omitted, &found) {
            return Ok((dead_letter, Some(MissingOriginal::Replaced(id))));
        }
        let whole = DeadLetter {
            original: found,
            ..dead_letter
        };
        Ok((whole, None))
    }

    fn record_at(&self, origin: &Origin) -> Result<Option<OwnedRecord>, Failure> {
        let mut range =
            TopicRange::whole(self.kafka(), &origin.topic)?.only(&[origin.partition].into());
        for span in range.spans.values_mut() {
            span.from = span.from.max(origin.offset);
            span.to = span.to.min(origin.offset.saturating_add(1)).max(span.from);
        }
        let mut found = None;
        range.read(self.kafka(), self.group(), |record| {
            if record.offset() == origin.offset {
                found = Some(OwnedRecord::of(record));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn is_original(dead_letter: &DeadLetter, omitted: &Omitted, found: &OwnedRecord) -> bool {
    omitted.is_of(found.value.as_deref())
        && (dead_letter.original.key.is_none() || dead_letter.original.key == found.key)
        && dead_letter.original.timestamp_millis == found.timestamp_millis
}
