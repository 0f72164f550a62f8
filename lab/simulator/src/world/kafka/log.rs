//! A partition's log: offsets with gaps, records, control records, and which readers see them.

use std::collections::HashSet;
use std::rc::Rc;

use runtime::record::{Header, Offset};

/// The producer id that the broker gave a transactional producer.
pub type ProducerId = u64;

/// Every record's timestamp. No expectation of the workload depends on it.
pub const TIMESTAMP_MILLIS: i64 = 1_780_000_000_000;

/// A record that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key. A null key differs from an empty one.
    pub key: Option<Vec<u8>>,
    /// The value; null is a tombstone.
    pub value: Option<Vec<u8>>,
    /// All headers in order.
    pub headers: Vec<Header>,
}

impl Record {
    /// Returns the last value of the header `name` as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .rev()
            .find(|(header, _)| header == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }
}

/// Who may read an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visibility {
    Committed,
    /// Its transaction is open: a `read_committed` reader sees neither this entry nor any after it.
    Open(ProducerId),
    Aborted,
    /// A transaction marker: it has an offset, and no reader receives it.
    Control,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    visibility: Visibility,
    record: Option<Rc<Record>>,
}

/// One partition.
#[derive(Debug, Default)]
pub struct PartitionLog {
    entries: Vec<Entry>,
    end: Offset,
}

impl PartitionLog {
    /// Appends a record in the transaction of `producer`, or outside of any transaction.
    pub fn append(&mut self, record: Record, producer: Option<ProducerId>) -> Offset {
        let visibility = producer.map_or(Visibility::Committed, Visibility::Open);
        self.push(visibility, Some(Rc::new(record)))
    }

    fn push(&mut self, visibility: Visibility, record: Option<Rc<Record>>) -> Offset {
        let offset = self.end;
        self.end += 1;
        self.entries.push(Entry {
            offset,
            visibility,
            record,
        });
        offset
    }

    /// Ends the transaction of `producer` in this partition by a marker.
    pub fn mark(&mut self, producer: ProducerId, commit: bool) {
        for entry in &mut self.entries {
            if entry.visibility == Visibility::Open(producer) {
                entry.visibility = if commit {
                    Visibility::Committed
                } else {
                    Visibility::Aborted
                };
            }
        }
        self.push(Visibility::Control, None);
    }

    /// Keeps the transaction of `producer` open under the id `hanging`, because this partition gets no
    /// marker of it.
    pub fn hang(&mut self, producer: ProducerId, hanging: ProducerId) {
        for entry in &mut self.entries {
            if entry.visibility == Visibility::Open(producer) {
                entry.visibility = Visibility::Open(hanging);
            }
        }
    }

    /// Returns the last stable offset: that of the first open transaction, or the end.
    pub fn stable_end(&self) -> Offset {
        self.entries
            .iter()
            .find(|entry| matches!(entry.visibility, Visibility::Open(_)))
            .map_or(self.end, |entry| entry.offset)
    }

    /// Returns the first committed record at or after `from`, unless an open transaction precedes it.
    pub fn read(&self, from: Offset) -> Option<(Offset, Rc<Record>)> {
        let first = self.entries.partition_point(|entry| entry.offset < from);
        for entry in &self.entries[first..] {
            match (entry.visibility, &entry.record) {
                (Visibility::Open(_), _) => return None,
                (Visibility::Committed, Some(record)) => {
                    return Some((entry.offset, Rc::clone(record)));
                }
                _ => {}
            }
        }
        None
    }

    /// Returns the first record at or after `from`, as a `read_uncommitted` reader sees it.
    pub fn read_uncommitted(&self, from: Offset) -> Option<(Offset, Rc<Record>)> {
        let first = self.entries.partition_point(|entry| entry.offset < from);
        self.entries[first..]
            .iter()
            .find_map(|entry| Some((entry.offset, Rc::clone(entry.record.as_ref()?))))
    }

    /// Returns all committed records.
    pub fn committed(&self) -> impl Iterator<Item = (Offset, &Record)> {
        self.entries
            .iter()
            .filter(|entry| entry.visibility == Visibility::Committed)
            .filter_map(|entry| Some((entry.offset, entry.record.as_deref()?)))
    }

    /// Returns the offset after the last record.
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// Returns whether a transaction is open in this partition.
    pub fn has_open_transaction(&self) -> bool {
        self.stable_end() < self.end
    }

    /// Compacts the log: keeps only the last committed record of each key below the last stable offset, and
    /// removes aborted records. Offsets do not change.
    pub fn compact(&mut self) {
        let stable = self.stable_end();
        let mut seen = HashSet::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for entry in self.entries.drain(..).rev() {
            let key = entry.record.as_ref().and_then(|record| record.key.clone());
            let superseded = match (entry.visibility, key) {
                (Visibility::Committed, Some(key)) if entry.offset < stable => !seen.insert(key),
                (Visibility::Aborted, _) => true,
                _ => false,
            };
            if !superseded {
                kept.push(entry);
            }
        }
        kept.reverse();
        self.entries = kept;
    }
}
