//! A consumed record as the loops see it, whether it comes from librdkafka or from a model of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers};

/// A partition of the one topic that a loop reads.
pub type Partition = i32;

/// A record's place in its partition.
pub type Offset = i64;

/// The next offset to read of each partition.
pub type Positions = std::collections::BTreeMap<Partition, Offset>;

/// One header: a name, and a value that may be null.
pub type Header = (String, Option<Vec<u8>>);

/// What a loop needs to see of a record. Borrowed from the client: nothing is copied.
pub trait InputRecord {
    /// The partition that it was read from.
    fn partition(&self) -> Partition;
    /// Its offset there.
    fn offset(&self) -> Offset;
    /// Milliseconds since the epoch, as the producer or the broker set it.
    fn timestamp_millis(&self) -> Option<i64>;
    /// The key's bytes; null is not empty.
    fn key(&self) -> Option<&[u8]>;
    /// The value's bytes; null (a tombstone) is not empty.
    fn value(&self) -> Option<&[u8]>;
    /// Calls `each` with every header in order. Headers are parsed only when asked for.
    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>));

    /// The last value of the header `name`.
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut found = None;
        self.each_header(&mut |header, value| {
            if header == name {
                found = value.map(<[u8]>::to_vec);
            }
        });
        found
    }
}

impl InputRecord for BorrowedMessage<'_> {
    fn partition(&self) -> Partition {
        rdkafka::Message::partition(self)
    }

    fn offset(&self) -> Offset {
        rdkafka::Message::offset(self)
    }

    fn timestamp_millis(&self) -> Option<i64> {
        rdkafka::Message::timestamp(self).to_millis()
    }

    fn key(&self) -> Option<&[u8]> {
        rdkafka::Message::key(self)
    }

    fn value(&self) -> Option<&[u8]> {
        rdkafka::Message::payload(self)
    }

    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        if let Some(headers) = self.headers() {
            each_readable(headers, each);
        }
    }
}

/// What a header is called whose own name is not UTF-8: the client gives neither name nor value of
/// it.
pub const UNREADABLE_HEADER: &str = "unreadable-header";

/// Calls `each` with every header. A name that is not UTF-8, which any client but Java's may write,
/// makes rdkafka panic (`BorrowedHeaders::try_get`); a record must not end the service by it.
fn each_readable(headers: &impl Headers, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
    for index in 0..headers.count() {
        match catch_unwind(AssertUnwindSafe(|| headers.try_get(index))) {
            Ok(Some(header)) => each(header.key, header.value),
            Ok(None) => {}
            Err(_) => each(UNREADABLE_HEADER, None),
        }
    }
}

/// A record that owns its bytes: for tests, and for tools that keep records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// See [`InputRecord::partition`].
    pub partition: Partition,
    /// See [`InputRecord::offset`].
    pub offset: Offset,
    /// See [`InputRecord::timestamp_millis`].
    pub timestamp_millis: Option<i64>,
    /// See [`InputRecord::key`].
    pub key: Option<Vec<u8>>,
    /// See [`InputRecord::value`].
    pub value: Option<Vec<u8>>,
    /// All headers in order.
    pub headers: Vec<Header>,
}

impl OwnedRecord {
    /// A copy of `record`, which outlives the client's buffer.
    pub fn of(record: &impl InputRecord) -> Self {
        let mut headers = Vec::new();
        record.each_header(&mut |name, value| {
            headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        });
        Self {
            partition: record.partition(),
            offset: record.offset(),
            timestamp_millis: record.timestamp_millis(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers,
        }
    }
}

impl InputRecord for OwnedRecord {
    fn partition(&self) -> Partition {
        self.partition
    }

    fn offset(&self) -> Offset {
        self.offset
    }

    fn timestamp_millis(&self) -> Option<i64> {
        self.timestamp_millis
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in &self.headers {
            each(name, value.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header as KafkaHeader;

    use super::*;

    /// Panics for the name of its second header, as rdkafka's do.
    struct Foreign;

    impl Headers for Foreign {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, index: usize) -> Option<KafkaHeader<'_, &[u8]>> {
            let name = [b"a".as_slice(), b"\xff", b"c"][index];
            Some(KafkaHeader {
                key: std::str::from_utf8(name).unwrap(),
                value: Some(b"x"),
            })
        }
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_told_and_the_other_headers_stay() {
        let mut names = Vec::new();
        each_readable(&Foreign, &mut |name, value| {
            names.push((name.to_owned(), value.is_some()));
        });
        let expected = [("a", true), (UNREADABLE_HEADER, false), ("c", true)];
        assert_eq!(
            names,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }
}
