//! What the relay needs of the world, and no more.
//!
//! Postgres, librdkafka and the machine's clock are behind it in the service, models of them in
//! the simulator; the state machine is the same. Every call that can wait takes a bounded time and
//! says what to do next.

use std::fmt;
use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{Outgoing, TransactionError};

pub use super::low_water::Writers;
use super::row::Row;

/// The outbox, seen through one session, which is also what holds the lock: a call that succeeds
/// proves that the lock was still held when it was answered.
pub trait Outbox {
    /// Takes the lock if nobody has it; opens the session when there is none.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn try_lock(&mut self) -> Result<bool, OutboxError>;

    /// Ends the session, and with it the lock. Never fails: a session that can't be ended well is
    /// ended by the server.
    fn let_go(&mut self);

    /// Asks for nothing but an answer: the session lives, the lock is held.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn confirm(&mut self) -> Result<(), OutboxError>;

    /// Appends the `most` first rows whose id is `from` or higher, in id order, of one snapshot that
    /// is taken during the call. Fewer than `most` are all.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn read(&mut self, from: i64, most: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError>;

    /// The transactions that may have taken ids and whose rows may not be visible yet. Whoever is
    /// not listed has ended, or takes its first id after the call. `None` if that can't be told.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn writers(&mut self) -> Result<Option<Writers>, OutboxError>;

    /// Keeps a snapshot of all rows, order by order, to be read by [`Outbox::read_backlog`].
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn open_backlog(&mut self) -> Result<(), OutboxError>;

    /// Appends the `most` next rows of the snapshot, in the order of (order id, row id). Fewer
    /// than `most` are the last.
    ///
    /// # Errors
    /// See [`OutboxError`]. How far the snapshot was read is not known then.
    fn read_backlog(&mut self, most: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError>;

    /// Deletes these rows, all of them or none; those that are gone already don't matter.
    ///
    /// # Errors
    /// See [`OutboxError`].
    fn delete(&mut self, ids: &[i64]) -> Result<(), OutboxError>;
}

/// Why the outbox gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxError {
    /// The session lives and the lock is held, but the statement did not do its work: call again.
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
pub trait Log {
    /// A new producer; whatever the old one had under way is given up. Does not wait.
    ///
    /// # Errors
    /// What the client has against it.
    fn open(&mut self) -> Result<(), String>;

    /// Drops the producer.
    fn close(&mut self);

    /// Takes over every transactional id: ends what a predecessor left open, fences it for good.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Opens a transaction; local.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn begin(&mut self) -> Result<(), TransactionError>;

    /// Hands over a record to be written.
    ///
    /// # Errors
    /// See [`TransactionError`].
    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Waits until all that was sent is acknowledged.
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

/// Time, and the one way to let it pass.
pub trait Timer: Clock {
    /// Lets time pass until it is `at_most` later, or until somebody has a reason to wake the
    /// relay: new rows, a shutdown.
    fn wait(&mut self, at_most: Duration);
}

/// Who watches the relay: metrics and readiness. Never changes what it does.
pub trait Observer {
    /// Another instance's relay is active.
    fn standing_by(&mut self);
    /// This one is.
    fn active(&mut self);
    /// It is not any more.
    fn inactive(&mut self);
    /// No row has an id below this one.
    fn low_water(&mut self, mark: i64);
    /// The outbox is being published, or is empty.
    fn flowing(&mut self);
    /// Nothing moves, for this reason; nothing is lost.
    fn waiting(&mut self, reason: &str);
    /// So many rows are in the topic for good.
    fn published(&mut self, rows: usize);
    /// A transaction was aborted, refused, or ended in a way that isn't known here.
    fn transaction_failed(&mut self);
}
