//! What the clients were promised: one line of JSON for each answer, or for its absence.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;

/// What a client knows after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A `2xx`, or the broker's acknowledgement.
    Acknowledged,
    /// Refused with a `4xx`: nothing was done.
    Refused,
    /// Sent, but no answer, or one that leaves it open (`5xx`): done or not.
    Unknown,
}

/// What has to become of a record that a client wrote to the topic itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// One voucher record, and one row for the order.
    Voucher,
    /// Nothing.
    Skip,
    /// One dead letter with the record's bytes.
    DeadLetter,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Entry {
    /// `POST /orders`.
    Create {
        /// The `Idempotency-Key`: all requests with it are about one order.
        key: String,
        /// The order's id; none where it is the server's to choose and it gave no answer.
        order_id: Option<String>,
        /// What came back.
        answer: Answer,
    },
    /// `PATCH /orders/{id}`.
    Change {
        /// The order.
        order_id: String,
        /// The status that was asked for.
        status: &'static str,
        /// What came back.
        answer: Answer,
    },
    /// A record written to the topic, past the ingress.
    Write {
        /// The record's key.
        key: Vec<u8>,
        /// The record's value.
        value: Vec<u8>,
        /// What has to become of it.
        outcome: Outcome,
        /// Partition and offset, once the broker has acknowledged it; the offset is negative where it
        /// was not told.
        place: Option<(i32, i64)>,
    },
}

/// The journal of a run, in memory and in its file.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<(Vec<Entry>, BufWriter<File>)>,
}

impl Journal {
    /// An empty one.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("{} can't be written", path.display()))?;
        Ok(Self {
            inner: Mutex::new((Vec::new(), BufWriter::new(file))),
        })
    }

    /// Keeps an entry.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn note(&self, entry: Entry) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, file) = &mut *inner;
        serde_json::to_writer(&mut *file, &entry)?;
        file.write_all(b"\n")?;
        entries.push(entry);
        Ok(())
    }

    /// All entries so far, which are in the file too from now on.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1.flush()?;
        Ok(inner.0.clone())
    }
}
