//! What the exactly-once loop needs of the world, and no more.
//!
//! librdkafka is behind it in the service, a model of Kafka in the simulator; the loop is the same.
//! Every call that can wait takes a bounded time and says what to do next.

use std::time::Duration;

use runtime::kafka::{
    AssignmentChange, Blocked, CommitError, Membership, Outgoing, Polled, Refused,
    TransactionError, Unfinished,
};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, Positions};

use crate::batch::Tally;

/// The consumer and the producer of one task.
pub trait Log {
    /// A record, borrowed from the client until the next call.
    type Record<'a>: InputRecord
    where
        Self: 'a;

    /// A new producer; whatever the old one had under way is given up. Does not wait.
    ///
    /// # Errors
    /// Only for settings that can't work.
    fn open_producer(&mut self) -> Result<(), Failure>;

    /// A new member of the group. Does not wait.
    ///
    /// # Errors
    /// Only for settings that can't work.
    fn open_consumer(&mut self) -> Result<(), Failure>;

    /// Whether the consumer died because the group has given its name to another member.
    fn is_fenced(&self) -> bool {
        true
    }

    /// How long the group keeps a member that it does not hear of.
    fn session_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the group has a member of this task's name. Asked after this task's own member was
    /// fenced and before it joins anew, so that whoever heartbeats is another process. Takes `time`.
    fn look_for_our_name(&mut self, time: Duration) -> Membership {
        let _ = time;
        Membership::Absent
    }

    /// Takes over the transactional id: ends what a predecessor left open, fences it for good.
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// The next record.
    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>>;

    /// What rebalances did since the last call, in order. They happen inside `poll` and `keep_alive`.
    fn take_changes(&mut self) -> Vec<AssignmentChange>;

    /// Stays a member of the group for `time` without taking records.
    fn keep_alive(&mut self, time: Duration);

    /// Why not every assigned partition flows or is at its end; empty when each does.
    fn blocked(&self) -> Vec<Blocked> {
        Vec::new()
    }

    /// Whether assigned partitions are not read yet because the group has not told their offsets.
    fn waits_for_offsets(&self) -> bool {
        false
    }

    /// Reads every assigned partition again from the group's committed offset.
    ///
    /// # Errors
    /// Why not; call again.
    fn rewind(&mut self, timeout: Duration) -> Result<(), String>;

    /// The next offset of each partition of which something was read, or the end reached, since it
    /// was assigned or rewound; past control records.
    fn positions(&mut self) -> Positions;

    /// Commits offsets outside of a transaction; none is open.
    ///
    /// # Errors
    /// See [`CommitError`].
    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError>;

    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), TransactionError>;

    /// Hands over a record to be written.
    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Waits until all that was sent is acknowledged.
    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Takes the records of the open transaction, numbered in the order of [`send`](Self::send),
    /// that the broker refused for what they are.
    fn take_refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }

    /// Adds offsets to the transaction, with this member's generation, which fences zombies.
    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError>;

    /// Commits the transaction.
    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Starts to finish the open transaction on another thread: [`Stage`](runtime::kafka::Stage) after
    /// stage, each within `timeout`. False where that can't be done: they are called one after the
    /// other then.
    fn finish_beside(&mut self, positions: &Positions, timeout: Duration) -> bool {
        let _ = (positions, timeout);
        false
    }

    /// What came of it, waiting for that up to `timeout`. The group is not served meanwhile.
    fn poll_finish(&mut self, timeout: Duration) -> Option<Result<(), Unfinished>> {
        let _ = timeout;
        None
    }

    /// The next record that is at hand. The group is not served: no rebalance happens here.
    fn poll_at_hand(&mut self) -> Polled<Self::Record<'_>> {
        Polled::Nothing
    }

    /// Aborts the transaction.
    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError>;
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionEnd {
    /// Its records and offsets are visible.
    Committed,
    /// As if it had not been.
    Aborted,
    /// Not known here; the group's offsets tell.
    Unknown,
}

/// What is done about a record that the broker refuses to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a dead letter, and is written again without what does not fit.
    Reduced,
    /// It is tried again, and its partition waits.
    Blocked,
}

/// Who watches the loop: metrics and readiness. Never changes what it does.
pub trait Observer {
    /// These outcomes are durable; the first of them that had to be written was read `took` ago.
    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, took: Duration);
    /// A transaction ended.
    fn transaction_ended(&mut self, end: TransactionEnd);
    /// The broker refused so many records.
    fn refused(&mut self, records: usize, refusal: Refusal) {
        let _ = (records, refusal);
    }
    /// Another member took this one's name, or the client gave up.
    fn fenced(&mut self);
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
