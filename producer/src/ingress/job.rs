//! A change that waits for its outcome, and how it is to be committed.

use std::time::{Duration, Instant};

use metrics::gauge;
use runtime::metrics::LOCKED_CHANGES;
use schemas::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::change::{Action, Change, NotDone, Outcome};
use super::conflicts::{ConflictKey, Ticket};
use crate::limits::{FIRST_LOCK_PAUSE, MAX_LOCK_PAUSE};
use crate::orders::OrderIdSource;

/// How a change is committed; all changes of one commit take the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitPath {
    /// Fast path: new orders, in one statement.
    Place,
    /// Fast path: orders are read, and updated if they still have the version that was read.
    SetStatus,
    /// Anything, in one transaction with locked rows.
    Transaction,
    /// As `Transaction`, with timeouts so short that a lock or a slow row costs the other changes of
    /// the group next to nothing.
    Careful,
}

/// How a change is tried next. Depends on what has stopped it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// Nothing has stopped it.
    Grouped,
    /// A lock or a statement timeout stopped its group, perhaps because of this change.
    ShortTimeouts,
    /// It stopped its group even alone: it is tried once more, by itself, with the normal timeouts.
    Alone,
}

/// What a commit with an unknown outcome was to write: the connection was lost before the answer
/// arrived. The change is tried again, and by comparison with the row this shows whether the first try
/// was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) order_id: String,
    pub(super) version: i64,
    pub(super) at: Timestamp,
}

/// A change that waits for its outcome.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) attempt: Option<Attempt>,
    /// Whether another session changed the same order while this change was on a fast path.
    pub(super) overtaken: bool,
    pub(super) retry: Retry,
    pub(super) ticket: Ticket,
    /// The keys that no other change may hold while this one is written: its order and its idempotency
    /// key.
    pub(super) conflict_keys: Vec<ConflictKey>,
    /// Since when the change can be taken by a writer.
    pub(super) ready_since: Instant,
    deadline: Instant,
    answer: oneshot::Sender<Result<Outcome, NotDone>>,
    /// The pause after the next lock on its order that it meets; none before the first one.
    next_lock_pause: Option<Duration>,
    lock_wait: Option<LockWait>,
    _room: OwnedSemaphorePermit,
}

/// A change that waits for another session's lock, on its order or on a whole table; counted while it
/// does.
#[derive(Debug)]
struct LockWait;

impl LockWait {
    fn new() -> Self {
        gauge!(LOCKED_CHANGES).increment(1);
        Self
    }
}

impl Drop for LockWait {
    fn drop(&mut self) {
        gauge!(LOCKED_CHANGES).decrement(1);
    }
}

impl Job {
    pub(super) fn new(
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotDone>>,
        deadline: Instant,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            change,
            attempt: None,
            overtaken: false,
            retry: Retry::Grouped,
            ticket: 0,
            conflict_keys: Vec::new(),
            ready_since: Instant::now(),
            deadline,
            answer,
            next_lock_pause: None,
            lock_wait: None,
            _room: room,
        }
    }

    pub(super) fn answer(self, outcome: Result<Outcome, NotDone>) {
        // The receiver is gone when the client has disconnected.
        let _ = self.answer.send(outcome);
    }

    /// Answers a change whose deadline has passed. `why` is the reason that holds up all changes.
    pub(super) fn give_up(self, why: &NotDone) {
        let why = if self.attempt.is_some() {
            NotDone::OutcomeUnknown
        } else if self.waits_for_lock() {
            NotDone::Locked(self.subject())
        } else {
            why.clone()
        };
        self.answer(Err(why));
    }

    /// Answers a change that failed through its own fault. If an earlier try may have written it, the
    /// answer is that the outcome is unknown.
    pub(super) fn fail(self, why: NotDone) {
        let why = if self.attempt.is_some() {
            NotDone::OutcomeUnknown
        } else {
            why
        };
        self.answer(Err(why));
    }

    /// Returns how the change is committed. The fast paths are only for changes that have no
    /// idempotency key, no earlier try that may still be in progress on the server, and no known lock
    /// or conflict.
    pub(super) const fn path(&self) -> CommitPath {
        match self.retry {
            Retry::ShortTimeouts => return CommitPath::Careful,
            Retry::Alone => return CommitPath::Transaction,
            Retry::Grouped => {}
        }
        if self.change.claim.is_some() || self.attempt.is_some() || self.overtaken {
            return CommitPath::Transaction;
        }
        match &self.change.action {
            Action::Place(_) => CommitPath::Place,
            Action::SetStatus { .. } => CommitPath::SetStatus,
        }
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Returns whether another session holds a lock on this change's order.
    pub(super) const fn waits_for_lock(&self) -> bool {
        self.next_lock_pause.is_some()
    }

    /// Notes that another session holds a lock on this change's order, and returns when the change is
    /// to be tried again: never later than its deadline.
    pub(super) fn met_lock(&mut self, now: Instant) -> Instant {
        self.retry = Retry::ShortTimeouts;
        self.lock_wait.get_or_insert_with(LockWait::new);
        let pause = self.next_lock_pause.unwrap_or(FIRST_LOCK_PAUSE);
        self.next_lock_pause = Some((pause * 2).min(MAX_LOCK_PAUSE));
        (now + pause).min(self.deadline.max(now))
    }

    /// Notes that another session has locked a whole table, which holds up all changes.
    pub(super) fn met_table_lock(&mut self) {
        self.lock_wait.get_or_insert_with(LockWait::new);
    }

    /// Returns the name of the order or the idempotency key, for messages.
    pub(super) fn subject(&self) -> String {
        match (self.order_id(), &self.change.claim) {
            (Some(order_id), _) => format!("the order {order_id:?}"),
            (None, Some(claim)) => format!("the Idempotency-Key {:?}", claim.key),
            (None, None) => "the order".to_owned(),
        }
    }

    /// Returns the order that the client names.
    pub(super) fn order_id(&self) -> Option<&str> {
        match &self.change.action {
            Action::SetStatus { order_id, .. } => Some(order_id),
            Action::Place(order) => match &order.id {
                OrderIdSource::Client(order_id) => Some(order_id),
                OrderIdSource::Uuid | OrderIdSource::Sequence => None,
            },
        }
    }
}
