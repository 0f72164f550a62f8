//! What the loop needs of the world, and no more.
//!
//! librdkafka and Postgres are behind it in the service, models of them in the tests and in the
//! simulator; the loop is the same. Every call that can wait takes a bounded time, and every error
//! says what to do next.

use std::time::Duration;

use runtime::kafka::{AssignmentChange, Blocked, CommitError, Polled, Refused};
use runtime::lifecycle::Failure;
use runtime::record::{Header, InputRecord, Positions};

use crate::columns::Columns;
use crate::tally::Tally;

/// A member of the consumer group that reads the vouchers.
pub trait Source {
    /// A record, borrowed from the client until the next call.
    type Record<'a>: InputRecord
    where
        Self: 'a;

    /// The next record.
    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>>;

    /// What rebalances did since the last call, in order. They happen inside `poll`, which then
    /// brings [`Polled::Nothing`], and inside `keep_alive`.
    fn take_changes(&mut self) -> Vec<AssignmentChange>;

    /// Stays a member of the group for `time` without taking records.
    fn keep_alive(&mut self, time: Duration);

    /// Why not every assigned partition flows or is at its end; empty when each does.
    fn blocked(&self) -> Vec<Blocked> {
        Vec::new()
    }

    /// Reads every assigned partition again from the group's committed offset.
    ///
    /// # Errors
    /// Why not; call again.
    fn rewind(&mut self, timeout: Duration) -> Result<(), String>;

    /// The next offset of each partition of which something was read, or the end reached, since it
    /// was assigned or rewound; past control records.
    fn positions(&mut self) -> Positions;

    /// Commits offsets and waits for the answer.
    ///
    /// # Errors
    /// See [`CommitError`].
    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError>;

    /// A new member in place of one that can't go on. Does not wait.
    ///
    /// # Errors
    /// Only for settings that can't work.
    fn reopen(&mut self) -> Result<(), Failure>;
}

/// The table of the vouchers. One statement at a time; all of its rows become durable, or none.
pub trait Table {
    /// Starts writing the rows whose identity is not there yet. Does not wait.
    fn start(&mut self, columns: Columns);

    /// Waits up to `timeout` for the statement under way. Gives the columns back, for the next.
    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)>;
}

/// The rows of a statement are durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// How many were not there before.
    pub inserted: u64,
    /// The places, in the columns, of those whose identity is there with another code, amount or
    /// currency.
    pub different: Vec<usize>,
}

/// Why a statement wrote nothing; or, when the answer was lost, why that isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// A row is refused for what it holds; the database's sentence, which holds no code.
    Data(String),
    /// A row's code is there already under another identity, or was for a moment: two writers of
    /// one voucher can meet like this.
    CodeClash {
        /// For a statement of one row: who holds the code now.
        holder: Option<VoucherIdentity>,
    },
    /// The database answered and did not do the statement, and one row alone may be the reason: a
    /// time-out, a lock, a trigger that raises an error, or a row that it neither takes nor shows.
    Doubtful {
        /// The database's sentence, or ours.
        why: String,
        /// Of a statement of one row: whether the table takes statements without this row.
        others_pass: bool,
    },
    /// Two transactions met: the same again, soon.
    Conflict(String),
    /// The database is away, or can't right now: the same again, later.
    Unavailable(String),
    /// A person has to mend the database, its rights or its schema: the same again, later.
    NeedsPerson(String),
}

/// What a voucher is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoucherIdentity {
    /// The campaign's name.
    pub campaign: String,
    /// The order.
    pub order_id: String,
}

/// The topic of the dead letters.
pub trait DeadLetters {
    /// Hands over a letter. Waits only for room.
    ///
    /// # Errors
    /// Why not: call [`reopen`](Self::reopen), and send all again.
    fn send(&mut self, letter: &DeadLetterRecord<'_>) -> Result<(), String>;

    /// Waits until all that was sent is acknowledged.
    fn drain(&mut self, timeout: Duration) -> Drained;

    /// A new producer; whatever the old one had under way is given up. Does not wait.
    ///
    /// # Errors
    /// Only for settings that can't work.
    fn reopen(&mut self) -> Result<(), Failure>;
}

/// A record that can't be used, as it came, with the headers that say why.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterRecord<'a> {
    /// The original's.
    pub key: Option<&'a [u8]>,
    /// The original's.
    pub value: Option<&'a [u8]>,
    /// The original's, then ours.
    pub headers: &'a [Header],
}

/// What became of the letters that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// All are acknowledged.
    All,
    /// Some are not yet: ask again.
    NotYet,
    /// The broker refused these for what they are, numbered in the order of
    /// [`send`](DeadLetters::send). All others are acknowledged. Reopen before sending again.
    Refused(Vec<Refused>),
    /// One was not acknowledged for too long: reopen, and send all again.
    Failed(String),
}

/// What is done about a dead letter that the broker refuses to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is written again without what does not fit.
    Reduced,
    /// It is tried again, and the flow waits.
    Blocked,
}

/// Why a statement is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A fault in the data: in smaller parts.
    Data,
    /// A fault outside of it: as it was.
    Unavailable,
}

/// Who watches the loop: metrics and readiness. Never changes what it does.
pub trait Observer {
    /// A statement's rows are durable, so long after it was started.
    fn written(&mut self, took: Duration);
    /// A statement failed and is tried again.
    fn write_failed(&mut self, cause: Cause);
    /// The broker refused so many dead letters.
    fn refused(&mut self, letters: usize, refusal: Refusal) {
        let _ = (letters, refusal);
    }
    /// These outcomes are durable.
    fn settled(&mut self, tally: &Tally);
    /// The number of partitions that are ours; hearing it once means having joined the group.
    fn assigned(&mut self, partitions: usize);
    /// Every assigned partition flows or is at its end.
    fn flowing(&mut self);
    /// These don't; the others do.
    fn blocked(&mut self, blocked: &[Blocked]) {
        let _ = blocked;
    }
    /// The flow stands still, for this reason.
    fn standing(&mut self, reason: &str);
    /// The circuit breaker opened (or closed).
    fn circuit(&mut self, open: bool);
}
