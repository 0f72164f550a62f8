//! A consumed record, whether it comes from librdkafka or from a model of Kafka.

/// A partition number.
pub type Partition = i32;

/// The position of a record in its partition.
pub type Offset = i64;

/// The next offset to read, by partition.
pub type Positions = std::collections::BTreeMap<Partition, Offset>;

/// A header: its name, and its value, which may be null.
pub type Header = (String, Option<Vec<u8>>);

/// A record as the loops read it. Borrowed from the client: nothing is copied.
pub trait InputRecord {
    /// Returns the partition that it was read from.
    fn partition(&self) -> Partition;
    /// Returns its offset in the partition.
    fn offset(&self) -> Offset;
    /// Returns the timestamp that the producer or the broker set, in milliseconds since the epoch.
    fn timestamp_millis(&self) -> Option<i64>;
    /// Returns the bytes of the key; a null key is `None`.
    fn key(&self) -> Option<&[u8]>;
    /// Returns the bytes of the value; a null value (a tombstone) is `None`.
    fn value(&self) -> Option<&[u8]>;
    /// Calls `each` with every header, in order. Headers are parsed only here.
    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>));

    /// Returns the last value of the header `name`.
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

/// The name given to a header whose name is not UTF-8, which clients other than Java's can write.
pub const UNREADABLE_HEADER: &str = "unreadable-header";

/// A record that owns its bytes, for tests and for tools that keep records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The partition.
    pub partition: Partition,
    /// The offset in the partition.
    pub offset: Offset,
    /// Milliseconds since the epoch.
    pub timestamp_millis: Option<i64>,
    /// The key, which may be null.
    pub key: Option<Vec<u8>>,
    /// The value; null for a tombstone.
    pub value: Option<Vec<u8>>,
    /// All headers, in order.
    pub headers: Vec<Header>,
}

impl OwnedRecord {
    /// Copies `record`, so that it outlives the client's buffer.
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
