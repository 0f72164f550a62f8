//! What the clients were promised: one line of JSON for each request and its answer.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a client knows after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A `2xx`, or the broker's acknowledgement.
    Acknowledged,
    /// Refused with a `4xx`: nothing was done.
    Refused,
    /// Sent, but no answer, or one that leaves it open (`5xx`): done or not.
    Unknown,
}

/// What must become of a record that a client wrote to the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// One voucher record, and one row for the order.
    Voucher,
    /// Nothing.
    Skip,
    /// One dead letter with the record's bytes.
    DeadLetter,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Entry {
    /// `POST /orders`.
    Create {
        /// The `Idempotency-Key`. All requests with the same key are for one order.
        key: String,
        /// The order's id; `None` if the server chooses it and did not answer.
        order_id: Option<String>,
        /// The answer.
        answer: Answer,
    },
    /// `PATCH /orders/{id}`.
    Change {
        /// The order.
        order_id: String,
        /// The requested status.
        status: String,
        /// The answer.
        answer: Answer,
    },
    /// A record written directly to the topic.
    Write {
        /// The record's key.
        key: Vec<u8>,
        /// The record's value.
        value: Vec<u8>,
        /// What must become of it.
        expected: Expected,
        /// Partition and offset, if the broker acknowledged it. The offset is negative if the broker
        /// did not return it.
        place: Option<(i32, i64)>,
    },
}

/// Reads the journal of an earlier run.
///
/// # Errors
/// When the file cannot be read, or has a line that is not an entry.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let entry = |(line, text): (usize, std::io::Result<String>)| {
        serde_json::from_str(&text?)
            .with_context(|| format!("line {line} of {} is not an entry", path.display()))
    };
    (1..).zip(BufReader::new(file).lines()).map(entry).collect()
}

/// The journal of a run, in memory and in its file.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<(Vec<Entry>, BufWriter<File>)>,
}

impl Journal {
    /// Creates an empty journal.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self {
            inner: Mutex::new((Vec::new(), BufWriter::new(file))),
        })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&self, entry: Entry) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, file) = &mut *inner;
        serde_json::to_writer(&mut *file, &entry)?;
        file.write_all(b"\n")?;
        entries.push(entry);
        Ok(())
    }

    /// Flushes the file and returns all entries.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1.flush()?;
        Ok(inner.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let path = std::env::temp_dir().join(format!("chaos-journal-{}", std::process::id()));
        let entries = vec![
            Entry::Create {
                key: "a".to_owned(),
                order_id: None,
                answer: Answer::Unknown,
            },
            Entry::Change {
                order_id: "a".to_owned(),
                status: "SENT".to_owned(),
                answer: Answer::Acknowledged,
            },
            Entry::Write {
                key: b"a".to_vec(),
                value: vec![0, 255],
                expected: Expected::DeadLetter,
                place: Some((3, -1001)),
            },
        ];
        let journal = Journal::create(&path).unwrap();
        for entry in &entries {
            journal.add(entry.clone()).unwrap();
        }
        assert_eq!(journal.entries().unwrap(), entries);
        let read = read(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), entries);
    }
}
