//! The ports of the sink's loop: everything that it needs of the outside world.
//!
//! The vouchers are read through a [`GroupConsumer`](runtime::kafka::GroupConsumer). The service
//! implements the ports with librdkafka and Postgres, the tests and the simulator with models of them;
//! the loop is the same. Every call that can wait takes a bounded time, and every error says what to do
//! next.

use std::time::Duration;

use runtime::dead_letter::OutgoingDeadLetter;
use runtime::flow::FlowObserver;
use runtime::kafka::Refused;
use runtime::lifecycle::Failure;
use runtime::traces::{BatchSteps, SampledRecords};

use crate::batch::RowTimes;
use crate::columns::Columns;
use crate::tally::Tally;

/// The table of the vouchers. One statement at a time; all of its rows become durable, or none.
pub trait Table {
    /// Starts to write the rows whose identity is not in the table yet. Does not wait.
    fn start(&mut self, columns: Columns);

    /// Waits up to `timeout` for the in-flight statement. Returns the columns for reuse, and the
    /// outcome.
    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)>;
}

/// The outcome of a statement whose rows are durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of new rows.
    pub inserted: u64,
    /// The places, in the columns, of the rows whose identity exists with another code, amount or
    /// currency.
    pub different: Vec<usize>,
}

/// Why a statement wrote nothing; or, when the answer was lost, why that isn't known. A sentence of the
/// database, such as a trigger's, may name the code of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// A row is refused because of its data. Has the database's sentence.
    Data(String),
    /// A row's code exists under another identity, or existed for a moment, because two writers wrote the
    /// same voucher at once.
    CodeClash {
        /// For a statement of one row: the voucher that has the code now.
        holder: Option<VoucherIdentity>,
    },
    /// The database answered and did not execute the statement, and one row alone may be the reason: a
    /// time-out, a lock, a trigger that raises an error, or a row that is ignored without an error.
    Ambiguous {
        /// The sentence of the database, or of the sink.
        why: String,
        /// For a statement of one row: whether the table accepts statements without this row.
        others_pass: bool,
    },
    /// Two transactions conflicted. Repeat the statement soon.
    Conflict(String),
    /// The database is unavailable, or cannot execute the statement now. Repeat it later.
    Unavailable(String),
    /// A person has to fix the database, its rights or its schema. Repeat the statement later.
    NeedsPerson(String),
}

impl WriteError {
    /// Returns the same error with another sentence.
    #[must_use]
    pub fn map_sentence(self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Data(sentence) => Self::Data(change(&sentence)),
            Self::CodeClash { holder } => Self::CodeClash { holder },
            Self::Ambiguous { why, others_pass } => Self::Ambiguous {
                why: change(&why),
                others_pass,
            },
            Self::Conflict(why) => Self::Conflict(change(&why)),
            Self::Unavailable(why) => Self::Unavailable(change(&why)),
            Self::NeedsPerson(why) => Self::NeedsPerson(change(&why)),
        }
    }
}

/// The identity of a voucher.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoucherIdentity {
    /// The campaign's name.
    pub campaign: String,
    /// The order.
    pub order_id: String,
}

/// The topic of the dead letters.
pub trait DeadLetters {
    /// Hands over a dead letter. Waits only for room in the producer's queue.
    ///
    /// # Errors
    /// Why it was not taken. Call [`reopen`](Self::reopen), and send all again.
    fn send(&mut self, dead_letter: &OutgoingDeadLetter<'_>) -> Result<(), String>;

    /// Waits up to `timeout` until all dead letters that were sent are acknowledged.
    fn drain(&mut self, timeout: Duration) -> Drained;

    /// Builds a new producer. What the old one had in flight is given up. Does not wait.
    ///
    /// # Errors
    /// Only for settings that cannot work.
    fn reopen(&mut self) -> Result<(), Failure>;
}

/// What became of the dead letters that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// All are acknowledged.
    All,
    /// Some are not acknowledged yet. Call [`drain`](DeadLetters::drain) again.
    NotYet,
    /// The broker refused these because of the records themselves, such as their size. They are numbered
    /// in the order of [`send`](DeadLetters::send). All others are acknowledged. Reopen before sending
    /// again.
    Refused(Vec<Refused>),
    /// One was not acknowledged for too long. Reopen, and send all again.
    Failed(String),
}

/// Watches the loop: metrics, readiness and traces. Never changes what the loop does. Single events are
/// counted through [`FlowObserver::count`].
pub trait Observer {
    /// Returns the observer of the flow of records.
    fn flow(&mut self) -> &mut dyn FlowObserver;
    /// Notes that the rows of a statement are durable, `took` after it was started.
    fn written(&mut self, took: Duration) {
        let _ = took;
    }
    /// Notes that the rows of a whole batch are durable, for vouchers and orders of these times.
    fn rows_committed(&mut self, times: RowTimes) {
        let _ = times;
    }
    /// Returns whether spans of sampled records are recorded. Called once, when the task is built.
    fn is_tracing(&self) -> bool {
        false
    }
    /// Notes that the outcomes of a batch with these sampled records are durable.
    fn traced(&mut self, records: &SampledRecords, steps: BatchSteps) {
        let _ = (records, steps);
    }
    /// Notes that the offsets of all batches so far are committed, and when that commit began and ended.
    /// Called only if spans are recorded.
    fn offsets_committed(&mut self, began: Duration, ended: Duration) {
        let _ = (began, ended);
    }
    /// Notes that these outcomes are durable.
    fn settled(&mut self, tally: &Tally);
}
