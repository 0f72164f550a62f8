//! Dead letters: records that could not be used, kept byte for byte until their cause is mended.
//!
//! A dead letter is the original record, byte for byte: key, value and headers stay, and the headers
//! below are added. Its identity is the original: its place (topic, partition, offset) and its digest.
//! What became of it since, for each group, is told by a compacted topic of [`State`]s beside it; a
//! letter without a final one is open.
//!
//! | module | what is in it |
//! |---|---|
//! | here | the headers that tell why a record could not be used, and where it came from |
//! | `identity` | what a letter is known by |
//! | `extent` | how much of its original a dead letter carries: what is too large is left out |
//! | `letter` | a letter, with the original record as it was |
//! | `original` | reading the original of a dead letter that does not carry it |
//! | `state` | what became of a letter |
//! | `states` | all of that, by letter and group; for whom it is final |
//! | `filter` | which letters a person means |
//! | `counts` | how many there are, by reason; repeats and other groups' letters told apart |
//! | `shown` | bytes as text or hex |
//! | `dead_letter_topic` | reading both topics |
//! | `ledger` | writing states, with all that belongs to them, in one transaction |
//! | [`command`] | `dead-letters list`, `show`, `discard`; `redrive` |

pub mod command;
mod counts;
mod extent;
mod filter;
mod id;
mod ledger;
mod original;
mod read;
mod shown;
mod state;
mod states;
mod topic;

pub use counts::{Count, Counts, Seen};
pub use extent::{Extent, Omitted, largest_of};
pub use filter::{LetterFilter, Place};
pub use id::{DeadLetterId, InvalidIdentity, Origin, RecordDigest};
pub use ledger::{Ledger, OwnedOutgoing};
pub use original::MissingOriginal;
pub use read::{DeadLetter, NotADeadLetter};
pub use shown::Shown;
pub use state::{Outcome, State};
pub use states::{Owner, StateKey, States};
pub use topic::DeadLetterTopic;

use schemas::Malformed;

use crate::record::{Header, InputRecord};

/// Machine word of the cause, such as `invalid_total`.
pub const REASON: &str = "dlq.reason";
/// A sentence for a person, at most 1 KiB.
pub const MESSAGE: &str = "dlq.message";
/// The topic that it was read from.
pub const TOPIC: &str = "dlq.topic";
/// The partition that it was read from.
pub const PARTITION: &str = "dlq.partition";
/// Its offset there.
pub const OFFSET: &str = "dlq.offset";
/// The original's timestamp, milliseconds since the epoch; absent when it had none.
pub const TIMESTAMP: &str = "dlq.timestamp";
/// Who could not use it: processor or sink.
pub const SERVICE: &str = "dlq.service";
/// How often it was tried; 1 the first time.
pub const ATTEMPTS: &str = "dlq.attempts";
/// The consumer group that could not use it, whose letter it is; absent in letters of the first
/// released version. The services add it to a [`OutgoingDeadLetter`].
pub const GROUP: &str = "dlq.group";

/// What the dead letter leaves out of the original because it does not fit into its topic: some of
/// `key,value,headers`. Absent when nothing is left out.
pub const OMITTED: &str = "dlq.omitted";
/// With [`OMITTED`]: the size of the original's value in bytes.
pub const ORIGINAL_BYTES: &str = "dlq.original.bytes";
/// With [`OMITTED`]: SHA-256 of the original's value, in hex.
pub const ORIGINAL_SHA256: &str = "dlq.original.sha256";

/// Why a record could not be used, and who says so.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// The topic that the record was read from.
    pub topic: &'a str,
    /// Who could not use it: processor or sink.
    pub service: &'a str,
    /// Why.
    pub malformed: &'a Malformed,
    /// How often it was tried.
    pub attempts: u32,
}

/// A record of the dead letter topic that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingDeadLetter<'a> {
    /// The original's key, as far as it is carried.
    pub key: Option<&'a [u8]>,
    /// The original's value, as far as it is carried.
    pub value: Option<&'a [u8]>,
    /// The original's headers, as far as they are carried, then ours.
    pub headers: Vec<Header>,
}

impl<'a> OutgoingDeadLetter<'a> {
    /// The dead letter of `record`.
    pub fn of(record: &'a impl InputRecord, cause: &Cause<'_>, extent: Extent) -> Self {
        let parts = extent::Parts::of(record, extent);
        let mut headers = parts.headers;
        headers.reserve(8 + parts.notes.len());
        let mut add =
            |name: &str, value: String| headers.push((name.to_owned(), Some(value.into_bytes())));
        // Reading takes ours to begin with the reason.
        add(REASON, cause.malformed.reason().as_str().to_owned());
        // Printable and at most 1 KiB by its type.
        add(MESSAGE, cause.malformed.message().to_owned());
        add(TOPIC, cause.topic.to_owned());
        add(PARTITION, record.partition().to_string());
        add(OFFSET, record.offset().to_string());
        if let Some(timestamp) = record.timestamp_millis() {
            add(TIMESTAMP, timestamp.to_string());
        }
        add(SERVICE, cause.service.to_owned());
        add(ATTEMPTS, cause.attempts.to_string());
        for (name, value) in parts.notes {
            add(name, value);
        }
        Self {
            key: parts.key,
            value: parts.value,
            headers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OwnedRecord;
    use schemas::Reason;

    #[test]
    fn the_originals_headers_come_first_and_stay_as_they_were() {
        let record = OwnedRecord {
            partition: 2,
            offset: 41,
            timestamp_millis: Some(1_700_000_000_000),
            headers: vec![("a".to_owned(), Some(vec![0, 255])), ("a".to_owned(), None)],
            ..OwnedRecord::default()
        };
        let malformed = Malformed::new(Reason::InvalidJson, "line\nbreak ".repeat(200));
        let cause = Cause {
            topic: "order-status",
            service: "processor",
            malformed: &malformed,
            attempts: 1,
        };
        let headers = OutgoingDeadLetter::of(&record, &cause, Extent::Whole).headers;
        assert_eq!(headers[..2], record.headers[..]);
        let value = |name: &str| {
            headers
                .iter()
                .find(|(header, _)| header == name)
                .and_then(|(_, value)| value.clone())
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .unwrap()
        };
        assert_eq!(value(REASON), "invalid_json");
        assert_eq!(value(OFFSET), "41");
        // All our headers together stay far below the 64 KiB that the dead letter topic allows on
        // top of its source's largest record.
        assert!(value(MESSAGE).len() <= 1024);
        assert!(!value(MESSAGE).contains(schemas::is_unprintable));
    }
}
