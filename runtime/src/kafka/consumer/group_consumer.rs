//! What the loops need of the consumer that they read through.

use std::time::Duration;

use super::{AssignmentChange, Blocked, CommitError, Polled};
use crate::lifecycle::Failure;
use crate::record::{InputRecord, Positions};

/// A member of a consumer group that reads one topic, owned by one loop.
///
/// A [`Subscription`](super::Subscription) is one on a real cluster, and a
/// [`RangeInput`](crate::replay::RangeInput) reads a range as if it were one. Tests and the simulator have
/// models of it. Every call that can wait takes a bounded time.
pub trait GroupConsumer {
    /// A record, borrowed from the client until the next call.
    type Record<'a>: InputRecord
    where
        Self: 'a;

    /// Returns the next record, waiting for it up to `timeout`.
    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>>;

    /// Returns the next record if the client has fetched it already. Does not poll the group: no
    /// rebalance happens here.
    fn poll_fetched(&mut self) -> Polled<Self::Record<'_>> {
        Polled::Nothing
    }

    /// Takes what rebalances did since the last call, in order. They happen inside [`poll`](Self::poll),
    /// which then returns [`Polled::Nothing`], and inside [`keep_alive`](Self::keep_alive).
    fn take_changes(&mut self) -> Vec<AssignmentChange>;

    /// Stays a member of the group for `time`, while the loop waits for something else. Takes no record.
    fn keep_alive(&mut self, time: Duration);

    /// Returns why assigned partitions are blocked: neither read nor at their end. Empty when all are
    /// healthy.
    fn blocked(&self) -> Vec<Blocked> {
        Vec::new()
    }

    /// Returns about when the oldest unread record of the assigned partitions was written, or since when
    /// nothing is assigned, in milliseconds since the epoch; `None` when every assigned partition was
    /// read to its end, as far as is known.
    fn unread_since(&self) -> Option<i64> {
        None
    }

    /// Returns whether assigned partitions are not read yet because the group has not given their
    /// offsets.
    fn waits_for_offsets(&self) -> bool {
        false
    }

    /// Reads every assigned partition again from the group's committed offset, or from its beginning.
    ///
    /// # Errors
    /// Says why it failed; call it again.
    fn rewind(&mut self, timeout: Duration) -> Result<(), String>;

    /// Returns the next offset of each partition from which a record was returned, or whose end was
    /// reached, since it was assigned or rewound. The offset is past control records.
    fn positions(&self) -> Positions;

    /// Commits offsets, outside of transactions, and waits for the answer.
    ///
    /// # Errors
    /// See [`CommitError`].
    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError>;

    /// Builds a new member in place of one that cannot go on. Does not wait.
    ///
    /// # Errors
    /// Only for settings that cannot work.
    fn reopen(&mut self) -> Result<(), Failure>;
}
