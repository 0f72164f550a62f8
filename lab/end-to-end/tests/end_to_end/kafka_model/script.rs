//! The language of histories, and the two that play them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use runtime::kafka::{CommitError, TransactionError};

/// A producer or a group member, by the history's own name for it.
pub(super) type Name = &'static str;

/// A topic of one partition, and the group that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Compacted.
    Statuses,
    /// Kept.
    Vouchers,
}

/// One thing that is done, or looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A new client takes over a transactional id.
    Init(Name, &'static str),
    /// Opens a transaction.
    Begin(Name),
    /// Sends key and value in the transaction and waits for the acknowledgement.
    Send(Name, Topic, Option<&'static str>, &'static str),
    /// Adds to the transaction the offset of a member, as it knew the group when it had joined.
    Offsets(Name, Name, i64),
    /// Ends the transaction.
    Commit(Name),
    /// Ends the transaction.
    Abort(Name),
    /// Nobody does anything for longer than a transaction may take.
    TimeOut,
    /// Writes key and value outside of transactions.
    Append(Topic, Option<&'static str>, &'static str),
    /// Joins the topic's group under an instance id.
    Join(Name, Topic, &'static str),
    /// Polls until the client says that it cannot go on.
    PollsFatal(Name),
    /// Polls to the end of the partition.
    Polls(Name),
    /// Commits an offset outside of transactions.
    CommitOffset(Name, i64),
    /// Reads all from the start, with committed records only.
    Read(Topic),
    /// Reads all from the start, whatever became of the transactions.
    ReadUncommitted(Topic),
    /// The group's committed offset.
    Offset(Topic),
    /// The cleaner does its work; then as `ReadUncommitted`.
    Compact(Topic),
}

/// One that plays histories.
pub(super) trait Kafka {
    /// Does one step and tells what came of it. What becomes true only after a while (the markers
    /// of a transaction follow its commit) is looked at until it is as `expected`, or for too long.
    fn play(&mut self, step: &Step, expected: &str) -> String;
}

/// The producer or member of this name, which the history must have brought in before.
pub(super) fn known<T>(all: &mut BTreeMap<Name, T>, name: Name) -> &mut T {
    all.get_mut(name).unwrap_or_else(|| panic!("no {name} yet"))
}

/// A call's answer in a word; why is told beside it.
pub(super) fn word(answer: Result<(), TransactionError>) -> String {
    use TransactionError::{Abortable, Fatal, Fenced, Retriable};
    told(answer, |error| match error {
        Retriable(_) => "retriable",
        Abortable(_) => "abortable",
        Fatal(_) => "fatal",
        Fenced(_) => "fenced",
    })
}

/// The same of a commit of offsets.
pub(super) fn commit_word(answer: Result<(), CommitError>) -> String {
    told(answer, |error| match error {
        CommitError::NotOwner(_) => "not owner",
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

/// A record as it was read.
pub(super) fn line(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or("null".into(), |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        })
    };
    format!("{offset}:{}={}", text(key), text(value))
}

/// What was read, and where the reader stands then.
pub(super) fn lines(mut records: Vec<String>, position: i64) -> String {
    records.push(format!("end {position}"));
    records.join(" ")
}

/// A committed offset, or that a transaction holds it back.
pub(super) fn offset(stable: Option<i64>) -> String {
    stable.map_or("held back".to_owned(), |offset| offset.to_string())
}
