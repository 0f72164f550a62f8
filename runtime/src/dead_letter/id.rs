//! Identifies a dead letter: where its original was read, and which record that was.
//!
//! The origin alone is not enough. A topic that is deleted and created again has other records at
//! the same offsets, and the state of an old record says nothing about the new one.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::record::{InputRecord, Offset, Partition};

/// Where an original was read. Written `topic/partition/offset`; topic names contain no slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
}

/// Identifies a record by its content: the first eight bytes of a SHA-256 over the timestamp, the
/// key and the SHA-256 of the value, so that the digest can be computed without the value. Written
/// as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordDigest([u8; 8]);

/// The identity of a dead letter. Written `topic/partition/offset@digest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadLetterId {
    /// Where the original was read.
    pub origin: Origin,
    /// Which record it was.
    pub digest: RecordDigest,
}

/// The text does not identify a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write topic/partition/offset, such as order-status/3/41")]
pub struct InvalidDeadLetterId;

impl RecordDigest {
    /// Returns the digest of a record. Headers are not part of it, because a mirror or a tracing
    /// tool may add some.
    pub fn of(record: &impl InputRecord) -> Self {
        let value = record.value().map(Sha256::digest);
        Self::of_parts(record.timestamp_millis(), record.key(), value.as_deref())
    }

    /// Returns the digest of a record from the SHA-256 of its value, which is `None` for a null value.
    pub fn of_parts(
        timestamp_millis: Option<i64>,
        key: Option<&[u8]>,
        value_sha256: Option<&[u8]>,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"record/1\0");
        let timestamp = timestamp_millis.map(i64::to_be_bytes);
        let timestamp = timestamp.as_ref().map(<[u8; 8]>::as_slice);
        for part in [timestamp, key, value_sha256] {
            match part {
                // Distinguishes null from empty, and keeps the boundary between the parts.
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update((bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        let hash = hash.finalize();
        let mut digest = [0; 8];
        digest.copy_from_slice(&hash[..8]);
        Self(digest)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl fmt::Display for RecordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.0.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        f.write_str(&hex)
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.origin, self.digest)
    }
}

impl FromStr for Origin {
    type Err = InvalidDeadLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        let mut parts = text.split('/');
        let (Some(topic), Some(partition), Some(offset), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidDeadLetterId);
        };
        if topic.is_empty() {
            return Err(InvalidDeadLetterId);
        }
        Ok(Self {
            topic: topic.to_owned(),
            partition: number(partition)?,
            offset: number(offset)?,
        })
    }
}

impl FromStr for RecordDigest {
    type Err = InvalidDeadLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidDeadLetterId)?;
        let digest = Self(number.to_be_bytes());
        // Accepts one notation only, so that a dead letter has one key.
        if digest.to_string() == text {
            Ok(digest)
        } else {
            Err(InvalidDeadLetterId)
        }
    }
}

impl FromStr for DeadLetterId {
    type Err = InvalidDeadLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        let (origin, digest) = text.rsplit_once('@').ok_or(InvalidDeadLetterId)?;
        Ok(Self {
            origin: origin.parse()?,
            digest: digest.parse()?,
        })
    }
}

/// Parses a number exactly as it is printed: accepts one notation only, so that a dead letter has
/// one key.
pub(super) fn number<T: FromStr + fmt::Display>(text: &str) -> Result<T, InvalidDeadLetterId> {
    let number: T = text.parse().map_err(|_| InvalidDeadLetterId)?;
    if number.to_string() == text && !text.starts_with('-') {
        Ok(number)
    } else {
        Err(InvalidDeadLetterId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OwnedRecord;

    #[test]
    fn an_id_is_parsed_as_it_is_printed() {
        let origin = Origin {
            topic: "order-status".to_owned(),
            partition: 3,
            offset: 41,
        };
        assert_eq!(origin.to_string(), "order-status/3/41");
        assert_eq!("order-status/3/41".parse(), Ok(origin.clone()));
        let id = DeadLetterId {
            origin,
            digest: RecordDigest([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]),
        };
        assert_eq!(id.to_string(), "order-status/3/41@00010203fcfdfeff");
        assert_eq!("order-status/3/41@00010203fcfdfeff".parse(), Ok(id));
    }

    #[test]
    fn a_second_notation_is_refused() {
        for text in [
            "",
            "a/3",
            "/3/4",
            "a/3/4/5",
            "a/03/4",
            "a/3/+4",
            "a/-1/4",
            "a/3/4 ",
            "a/3/9999999999999999999",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(InvalidDeadLetterId), "{text}");
        }
        for text in [
            "a/3/4",
            "a/3/4@",
            "a/3/4@0",
            "a/3/4@00010203FCFDFEFF",
            "a/3/4@+0010203fcfdfeff",
            "a/3/4@00010203fcfdfeff0",
        ] {
            assert_eq!(
                text.parse::<DeadLetterId>(),
                Err(InvalidDeadLetterId),
                "{text}"
            );
        }
    }

    #[test]
    fn a_digest_tells_records_apart_by_each_of_its_parts() {
        let record = OwnedRecord {
            timestamp_millis: Some(1_777_636_800_000),
            key: Some(b"17".to_vec()),
            value: Some(b"{}".to_vec()),
            ..OwnedRecord::default()
        };
        let changed = |change: &dyn Fn(&mut OwnedRecord)| {
            let mut other = record.clone();
            change(&mut other);
            RecordDigest::of(&other)
        };
        // The digest is part of the keys of `<dlq>.state`: every version has to compute the same.
        assert_eq!(RecordDigest::of(&record).to_string(), "0db467891ad02df3");
        let others = [
            changed(&|other| other.timestamp_millis = None),
            changed(&|other| other.timestamp_millis = Some(1_777_636_800_001)),
            changed(&|other| other.key = None),
            changed(&|other| other.key = Some(Vec::new())),
            changed(&|other| other.value = None),
            // The same bytes with another boundary.
            changed(&|other| {
                other.key = Some(b"17{".to_vec());
                other.value = Some(b"}".to_vec());
            }),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, RecordDigest::of(&record), "{index}");
        }
        let elsewhere = changed(&|other| {
            other.offset = 9;
            other.headers.push(("mirror".to_owned(), None));
        });
        assert_eq!(elsewhere, RecordDigest::of(&record));
    }
}
