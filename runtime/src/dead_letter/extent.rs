//! How much of its original a dead letter carries, and how it describes the omitted parts.
//!
//! A record may be larger than the dead letter topic allows: its batch was compressed, or the limit
//! of its own topic was raised. Its dead letter then omits the parts that do not fit. The original
//! is still in its topic, at the origin that every dead letter names, until compaction or retention
//! removes it; its size and SHA-256 prove that it is the same record.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{OMITTED, ORIGINAL_BYTES, ORIGINAL_SHA256};
use crate::record::{Header, InputRecord};

/// The largest part of a record that a dead letter carries with [`Extent::SmallParts`], in bytes.
/// Three such parts and the added headers stay below 64 KiB.
const MAX_SMALL_PART: usize = 16 * 1024;

/// How much of its original a dead letter carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// Key, value and headers, byte for byte.
    #[default]
    Whole,
    /// Those of key, value and headers that are at most 16 KiB large.
    SmallParts,
    /// Neither key nor value nor headers.
    Nothing,
}

impl Extent {
    /// Returns the next smaller extent; `None` when nothing more can be omitted.
    pub const fn smaller(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::SmallParts),
            Self::SmallParts => Some(Self::Nothing),
            Self::Nothing => None,
        }
    }

    const fn carries(self, bytes: usize) -> bool {
        match self {
            Self::Whole => true,
            Self::SmallParts => bytes <= MAX_SMALL_PART,
            Self::Nothing => false,
        }
    }
}

/// The parts of an original that its dead letter carries.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Vec<Header>,
    /// The headers that describe the omitted parts; empty when nothing is omitted.
    pub(super) notes: Vec<(&'static str, String)>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(record: &'a impl InputRecord, extent: Extent) -> Self {
        let (mut headers, mut header_bytes) = (Vec::new(), 0);
        record.each_header(&mut |name, value| {
            header_bytes += name.len() + value.map_or(0, <[u8]>::len);
            headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        });
        let mut omitted = Vec::new();
        let mut carried = |name, bytes| {
            let carries = extent.carries(bytes);
            if !carries {
                omitted.push(name);
            }
            carries
        };
        let key = record
            .key()
            .filter(|key| key.is_empty() || carried(KEY, key.len()));
        let value = match record.value() {
            // Empty rather than null: a consumer that does not know the `dlq.*` headers must not
            // take it for a deletion.
            Some(value) if !value.is_empty() && !carried(VALUE, value.len()) => Some(&[][..]),
            value => value,
        };
        if !headers.is_empty() && !carried(HEADERS, header_bytes) {
            headers.clear();
        }
        let mut notes = Vec::new();
        if !omitted.is_empty() {
            let value = record.value().unwrap_or_default();
            notes = vec![
                (OMITTED, omitted.join(",")),
                (ORIGINAL_BYTES, value.len().to_string()),
                (ORIGINAL_SHA256, sha256(value)),
            ];
        }
        Self {
            key,
            value,
            headers,
            notes,
        }
    }
}

const KEY: &str = "key";
const VALUE: &str = "value";
const HEADERS: &str = "headers";

/// What a dead letter says about the parts of its original that it omits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    parts: BTreeSet<String>,
    /// The size of the original's value.
    pub value_bytes: usize,
    /// SHA-256 of the original's value, in hex.
    pub value_sha256: String,
}

impl Omitted {
    pub(super) fn new(parts: &str, value_bytes: usize, value_sha256: String) -> Self {
        Self {
            parts: parts.split(',').map(str::to_owned).collect(),
            value_bytes,
            value_sha256,
        }
    }

    /// Returns the names of the omitted parts, such as `key, value`.
    pub fn parts(&self) -> String {
        let parts: Vec<_> = self.parts.iter().map(String::as_str).collect();
        parts.join(", ")
    }

    /// Returns the SHA-256 of the original's value, unless the header is malformed.
    pub(super) fn value_digest(&self) -> Option<Vec<u8>> {
        let pairs = self.value_sha256.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes
            .collect::<Option<Vec<_>>>()
            .filter(|bytes| bytes.len() == 32)
    }

    /// Returns whether the value is omitted.
    pub fn has_value(&self) -> bool {
        self.parts.contains(VALUE)
    }

    /// Returns whether `value` is the original's value.
    pub fn is_of(&self, value: Option<&[u8]>) -> bool {
        let value = value.unwrap_or_default();
        value.len() == self.value_bytes && sha256(value) == self.value_sha256
    }
}

/// Returns the dead letters that have to carry less, out of a batch that was refused as too large:
/// those at least half as large as the largest. The others may have been refused only because they
/// were in its batch.
pub fn largest_of<T>(refused: Vec<(T, usize)>) -> Vec<T> {
    let largest = refused.iter().map(|(_, bytes)| *bytes).max();
    let least = largest.unwrap_or_default() / 2;
    refused
        .into_iter()
        .filter(|(_, bytes)| *bytes >= least)
        .map(|(record, _)| record)
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OwnedRecord;

    fn record(key: usize, value: usize, header: usize) -> OwnedRecord {
        OwnedRecord {
            key: Some(vec![b'k'; key]),
            value: Some(vec![b'v'; value]),
            headers: vec![("h".to_owned(), Some(vec![b'h'; header]))],
            ..OwnedRecord::default()
        }
    }

    fn notes(record: &OwnedRecord, extent: Extent) -> Vec<(&'static str, String)> {
        Parts::of(record, extent).notes
    }

    #[test]
    fn a_whole_dead_letter_has_no_headers_about_omissions() {
        let large = record(1, 2_000_000, 1);
        assert!(notes(&large, Extent::Whole).is_empty());
        let small = record(1, MAX_SMALL_PART, 1);
        assert!(notes(&small, Extent::SmallParts).is_empty());
    }

    #[test]
    fn omitted_parts_are_named_with_the_values_size_and_digest() {
        let large = record(2, 2_000_000, 3);
        let parts = Parts::of(&large, Extent::SmallParts);
        assert_eq!(parts.key, large.key.as_deref());
        assert_eq!(parts.value, Some(&[][..]), "no tombstone");
        assert_eq!(parts.headers, large.headers);
        assert_eq!(parts.notes[0], (OMITTED, "value".to_owned()));
        assert_eq!(parts.notes[1], (ORIGINAL_BYTES, "2000000".to_owned()));
        let (_, digest) = &parts.notes[2];
        let omitted = Omitted::new("value", 2_000_000, digest.clone());
        assert!(omitted.is_of(large.value.as_deref()));
        assert!(!omitted.is_of(Some(b"v")) && !omitted.is_of(None));
    }

    #[test]
    fn the_smallest_dead_letter_carries_nothing_of_the_original() {
        let parts = Parts::of(&record(2, 3, 3), Extent::Nothing).notes;
        assert_eq!(parts[0], (OMITTED, "key,value,headers".to_owned()));
        let extents = [
            Some(Extent::Whole),
            Some(Extent::SmallParts),
            Some(Extent::Nothing),
        ];
        for pair in extents.windows(2) {
            assert_eq!(pair[0].and_then(Extent::smaller), pair[1]);
        }
        assert_eq!(Extent::Nothing.smaller(), None);
    }

    #[test]
    fn a_large_key_is_omitted_and_a_small_value_stays() {
        let parts = Parts::of(&record(MAX_SMALL_PART + 1, 3, 1), Extent::SmallParts).notes;
        assert_eq!(parts[0], (OMITTED, "key".to_owned()));
    }

    #[test]
    fn a_null_value_stays_null() {
        let mut tombstone = record(2, 3, 3);
        tombstone.value = None;
        let parts = Parts::of(&tombstone, Extent::Nothing);
        assert_eq!(parts.value, None);
    }

    #[test]
    fn small_records_of_a_refused_batch_are_not_made_smaller() {
        let refused = vec![("small", 400), ("large", 900_000), ("half", 450_000)];
        assert_eq!(largest_of(refused), ["large", "half"]);
        assert_eq!(largest_of(Vec::<(&str, usize)>::new()), [""; 0]);
    }
}
