//! What the relay needs of the outside world, and no more.
//!
//! The service implements it with Postgres, librdkafka and the system's clock, the tests and the
//! simulator with models of them; the loop is the same. Every call that can wait takes a bounded time,
//! and every error says what to do next.

use std::fmt;
use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{Outgoing, TransactionError};
use runtime::metrics::Count;
use runtime::trace_context::TraceParent;

pub use super::low_water::Writers;
use super::row::Row;

/// The outbox, through one session, which also holds the lock: a call that succeeds proves that the
/// lock was still held when it was answered.
pub trait Outbox {
    /// Takes the lock if no other session has it. Opens the session if there is none.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn try_lock(&mut self) -> Result<bool, OutboxError>;

    /// Ends the session, and with it the lock. Never fails: the server ends a session that cannot be
    /// closed from here.
    fn close(&mut self);

    /// Makes a round trip whose answer proves that the session lives and the lock is held.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn confirm(&mut self) -> Result<(), OutboxError>;

    /// Appends the first `max` rows whose id is `from` or higher, in id order, of one snapshot that is
    /// taken during the call. If it appends fewer than `max` rows, there are no more.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn read(&mut self, from: i64, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError>;

    /// Returns the transactions that may have taken ids and whose rows may not be visible yet. A
    /// transaction that is not listed has ended, or takes its first id after the call. `None` when the
    /// server cannot list them.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn writers(&mut self) -> Result<Option<Writers>, OutboxError>;

    /// Takes a snapshot of all rows, order by order, to be read by [`Outbox::read_backlog`].
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn open_backlog(&mut self) -> Result<(), OutboxError>;

    /// Appends the next `max` rows of the snapshot, in the order of (order id, row id). If it appends
    /// fewer than `max` rows, these are the last ones.
    ///
    /// # Errors
    /// See [`OutboxError`]. After an error it is unknown how far the snapshot was read.
    fn read_backlog(&mut self, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError>;

    /// Deletes these rows, all of them or none. Ignores rows that are already gone.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn delete(&mut self, ids: &[i64]) -> Result<(), OutboxError>;
}

/// Why a call to the outbox failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxError {
    /// The session lives and the lock is held, but the statement failed: call again.
    Refused(String),
    /// The session is gone, and the lock with it.
    Lost(String),
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Lost(why) => f.write_str(why),
        }
    }
}

/// The order status topic, written through transactional ids that are always the same.
pub trait Topic {
    /// Builds a new producer, and gives up what the old one had in flight. Does not wait.
    ///
    /// # Errors
    /// Why the client cannot be built.
    fn open(&mut self) -> Result<(), String>;

    /// Drops the producer.
    fn close(&mut self);

    /// Takes over every transactional id: ends transactions that a predecessor left open, and fences
    /// the predecessor for good.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Begins a transaction. Does not call the broker.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn begin(&mut self) -> Result<(), TransactionError>;

    /// Hands over a record to be written.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Waits until all records that were sent are acknowledged.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Commits the transaction.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Aborts the transaction.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError>;
}

/// Time, and waiting.
pub trait Timer: Clock {
    /// Waits for `max`, or until there is a reason to wake the relay: new rows, or a shutdown.
    fn wait(&mut self, max: Duration);
}

/// A sampled row that was published.
#[derive(Debug, Clone, Copy)]
pub struct SampledRow {
    /// The span of the request that committed it.
    pub parent: TraceParent,
    /// The span in the header of its record.
    pub created: TraceParent,
    /// When it was handed to the producer.
    pub at: Duration,
}

/// The sampled rows of a batch, in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub struct SampledRows {
    /// The rows for which spans are recorded.
    pub rows: Vec<SampledRow>,
    /// The number of further sampled rows, for which no spans are recorded.
    pub left_out: usize,
}

/// Watches the relay: metrics, readiness and traces. Never changes what the relay does.
pub trait Observer {
    /// The relay of another instance is active.
    fn standing_by(&mut self) {}
    /// This relay is active.
    fn active(&mut self) {}
    /// This relay is not active any more.
    fn inactive(&mut self) {}
    /// No row has an id below this one.
    fn low_water(&mut self, mark: i64) {
        let _ = mark;
    }
    /// The outbox is being published, or is empty.
    fn healthy(&mut self) {}
    /// Nothing is published at present, for this reason. No row is lost.
    fn blocked(&mut self, reason: &str) {
        let _ = reason;
    }
    /// A transaction with `rows` rows is committed.
    fn published(&mut self, rows: usize) {
        let _ = rows;
    }
    /// An event that a counter counts. Called less often than once per row.
    fn count(&mut self, count: Count) {
        let _ = count;
    }
    /// Returns whether spans of sampled rows are recorded.
    fn is_tracing(&self) -> bool {
        false
    }
    /// The transaction of a batch of `rows` rows is committed; these sampled rows are among them. It
    /// began and ended at these times.
    fn published_sampled(
        &mut self,
        sampled: &SampledRows,
        rows: usize,
        (began, ended): (Duration, Duration),
    ) {
        let _ = (sampled, rows, began, ended);
    }
}
