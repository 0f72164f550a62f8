//! Writing a dead letter: the record that goes to the dead letter topic.

use schemas::Malformed;

use super::extent::{Extent, Parts};
use super::{ATTEMPTS, MESSAGE, OFFSET, PARTITION, REASON, SERVICE, TIMESTAMP, TOPIC};
use crate::record::{Header, InputRecord};

/// Why a record could not be used, and which service says so.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// The topic that the record was read from.
    pub topic: &'a str,
    /// The service that could not use it: `processor` or `sink`.
    pub service: &'a str,
    /// What is wrong with it.
    pub malformed: &'a Malformed,
    /// How often it was tried.
    pub attempts: u32,
}

/// A record that is to be written to the dead letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingDeadLetter<'a> {
    /// The original's key, unless it is omitted.
    pub key: Option<&'a [u8]>,
    /// The original's value; empty when it is omitted.
    pub value: Option<&'a [u8]>,
    /// The original's headers, unless they are omitted, followed by the `dlq.*` headers.
    pub headers: Vec<Header>,
}

impl<'a> OutgoingDeadLetter<'a> {
    /// Builds the dead letter of `record`.
    pub fn of(record: &'a impl InputRecord, cause: &Cause<'_>, extent: Extent) -> Self {
        let parts = Parts::of(record, extent);
        let mut headers = parts.headers;
        headers.reserve(8 + parts.notes.len());
        let mut add =
            |name: &str, value: String| headers.push((name.to_owned(), Some(value.into_bytes())));
        // First, because a reader takes the last reason as the beginning of the added headers.
        add(REASON, cause.malformed.reason().as_str().to_owned());
        // `Malformed` guarantees that the message is printable and at most 1 KiB.
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
        // The added headers together stay far below the 64 KiB by which the dead letter topic's
        // limit exceeds that of its source.
        assert!(value(MESSAGE).len() <= 1024);
        assert!(!value(MESSAGE).contains(schemas::is_unprintable));
    }
}
