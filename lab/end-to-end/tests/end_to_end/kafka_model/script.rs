//! The steps of histories, and the trait of those that play them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use runtime::kafka::{CommitError, TransactionError};

/// The name of a producer or a group member in a history.
pub(super) type Name = &'static str;

/// A topic of one partition, and the group that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Compacted.
    Statuses,
    /// Not compacted.
    Vouchers,
}

/// A step of a history: an operation or an observation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A new client takes over a transactional id.
    Init(Name, &'static str),
    /// Opens a transaction.
    Begin(Name),
    /// Sends key and value in the transaction and waits for the acknowledgement.
    Send(Name, Topic, Option<&'static str>, &'static str),
    /// Adds an offset of a member to the transaction, with the group metadata as of the member's join.
    Offsets(Name, Name, i64),
    /// Ends the transaction.
    Commit(Name),
    /// Ends the transaction.
    Abort(Name),
    /// Waits for longer than the transaction timeout.
    TimeOut,
    /// Writes key and value outside of transactions.
    Append(Topic, Option<&'static str>, &'static str),
    /// Joins the topic's group under an instance id.
    Join(Name, Topic, &'static str),
    /// Polls until the client reports a fatal error.
    PollsFatal(Name),
    /// Polls to the end of the partition.
    Polls(Name),
    /// Commits an offset outside of transactions.
    CommitOffset(Name, i64),
    /// Reads the topic from its beginning with `read_committed`.
    Read(Topic),
    /// Reads the topic from its beginning with `read_uncommitted`.
    ReadUncommitted(Topic),
    /// Returns the group's committed offset.
    Offset(Topic),
    /// Compacts the topic; then reads as `ReadUncommitted`.
    Compact(Topic),
}

/// An implementation of Kafka that plays histories.
pub(super) trait Kafka {
    /// Executes one step and returns its result. Effects that follow later (the markers of a transaction
    /// follow its commit) are polled until the result is `expected` or a deadline passes.
    fn play(&mut self, step: &Step, expected: &str) -> String;
}

/// Returns the producer or member of this name, which an earlier step must have created.
pub(super) fn known<T>(all: &mut BTreeMap<Name, T>, name: Name) -> &mut T {
    all.get_mut(name).unwrap_or_else(|| panic!("no {name} yet"))
}

/// Returns the result of a call as a word, and prints the error.
pub(super) fn word(answer: Result<(), TransactionError>) -> String {
    use TransactionError::{Abortable, Fatal, Fenced, Retriable};
    told(answer, |error| match error {
        Retriable(_) => "retriable",
        Abortable(_) => "abortable",
        Fatal(_) => "fatal",
        Fenced(_) => "fenced",
    })
}

/// Returns the result of a commit of offsets as a word, and prints the error.
pub(super) fn commit_word(answer: Result<(), CommitError>) -> String {
    told(answer, |error| match error {
        CommitError::NotOwner(_) => "not owner",
        CommitError::ReadAgain(_) => "read again",
        CommitError::Unavailable(_) => "unavailable",
    })
}

fn told<E: Debug>(answer: Result<(), E>, word: impl Fn(&E) -> &'static str) -> String {
    match answer {
        Ok(()) => "done".to_owned(),
        Err(error) => {
            eprintln!("{error:?}");
            word(&error).to_owned()
        }
    }
}

/// Formats a record.
pub(super) fn line(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or("null".into(), |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        })
    };
    format!("{offset}:{}={}", text(key), text(value))
}

/// Formats the records that were read, and the reader's position after them.
pub(super) fn lines(mut records: Vec<String>, position: i64) -> String {
    records.push(format!("end {position}"));
    records.join(" ")
}

/// Formats a committed offset, or that a transaction holds it back.
pub(super) fn offset(stable: Option<i64>) -> String {
    stable.map_or("held back".to_owned(), |offset| offset.to_string())
}
