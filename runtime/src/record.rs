//! A consumed record as the loops see it, whether it comes from librdkafka or from a model of it.

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

/// What a header is called whose own name is not UTF-8, as any client but Java's may write it.
pub const UNREADABLE_HEADER: &str = "unreadable-header";

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
