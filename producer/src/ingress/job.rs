//! A change that waits for its answer, and the way in which it is to be written.

use std::time::{Duration, Instant};

use metrics::gauge;
use runtime::metrics::LOCKED_CHANGES;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::change::{Action, Change, NotWritten, Outcome};
use super::decide::Attempt;
use super::lines::{Mark, Ticket};
use crate::orders::OrderName;

/// The pause after the first lock that a change meets; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(320);

/// How a change is written; the changes of a group are written the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// New orders, in one statement.
    Place,
    /// Orders that are read, and changed if they stay as they were read.
    SetStatus,
    /// Anything, in one transaction with locked rows.
    Transaction,
    /// As `Transaction`, with limits so short that a lock or a slow row costs the other changes of
    /// the group next to nothing.
    Careful,
}

/// What a change has met so far, and how it is therefore tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Nothing.
    Usual,
    /// A lock or a statement timeout stopped its group, perhaps because of this change.
    Careful,
    /// It is the one that stopped its group: it is tried once more, by itself, with the usual limits.
    Alone,
}

/// A change that waits for its answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) attempt: Option<Attempt>,
    /// Somebody else was in between when it was written the short way.
    pub(super) beaten: bool,
    pub(super) care: Care,
    pub(super) ticket: Ticket,
    /// What it must have for itself: its order, its idempotency key.
    pub(super) marks: Vec<Mark>,
    /// Since when it could have been taken.
    pub(super) since: Instant,
    deadline: Instant,
    answer: oneshot::Sender<Result<Outcome, NotWritten>>,
    locked: Option<Locked>,
    _room: OwnedSemaphorePermit,
}

/// A change that waits for another session's lock; counted while it does.
#[derive(Debug)]
struct Locked {
    next_pause: Duration,
}

impl Locked {
    fn new() -> Self {
        gauge!(LOCKED_CHANGES).increment(1);
        Self {
            next_pause: FIRST_PAUSE,
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        gauge!(LOCKED_CHANGES).decrement(1);
    }
}

impl Job {
    pub(super) fn new(
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotWritten>>,
        deadline: Instant,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            change,
            attempt: None,
            beaten: false,
            care: Care::Usual,
            ticket: 0,
            marks: Vec::new(),
            since: Instant::now(),
            deadline,
            answer,
            locked: None,
            _room: room,
        }
    }

    pub(super) fn answer(self, outcome: Result<Outcome, NotWritten>) {
        // Nobody waits any more when the client went away.
        let _ = self.answer.send(outcome);
    }

    /// Answers a change for which it is too late. `why` is what has held up everybody.
    pub(super) fn give_up(self, why: &NotWritten) {
        let why = if self.attempt.is_some() {
            NotWritten::OutcomeUnknown
        } else if self.is_locked() {
            NotWritten::Locked(self.subject())
        } else {
            why.clone()
        };
        self.answer(Err(why));
    }

    /// The short ways are for changes that meet nobody: no answer under a key, no earlier try that
    /// may still be under way in the server, no lock.
    pub(super) const fn way(&self) -> Way {
        match self.care {
            Care::Careful => return Way::Careful,
            Care::Alone => return Way::Transaction,
            Care::Usual => {}
        }
        if self.change.claim.is_some() || self.attempt.is_some() || self.beaten {
            return Way::Transaction;
        }
        match &self.change.action {
            Action::Place(_) => Way::Place,
            Action::SetStatus { .. } => Way::SetStatus,
        }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Whether another session holds a lock that this change needs.
    pub(super) const fn is_locked(&self) -> bool {
        self.locked.is_some()
    }

    /// Notes that another session holds a lock that this change needs, and returns when the change
    /// is to be tried again: never later than its deadline.
    pub(super) fn met_lock(&mut self, now: Instant) -> Instant {
        self.care = Care::Careful;
        let locked = self.locked.get_or_insert_with(Locked::new);
        let until = now + locked.next_pause;
        locked.next_pause = (locked.next_pause * 2).min(MAX_PAUSE);
        until.min(self.deadline.max(now))
    }

    /// What the change is about, for people.
    pub(super) fn subject(&self) -> String {
        match (self.order_id(), &self.change.claim) {
            (Some(order_id), _) => format!("the order {order_id:?}"),
            (None, Some(claim)) => format!("the Idempotency-Key {:?}", claim.key),
            (None, None) => "the order".to_owned(),
        }
    }

    /// The order that the client names.
    pub(super) fn order_id(&self) -> Option<&str> {
        match &self.change.action {
            Action::SetStatus { order_id, .. } => Some(order_id),
            Action::Place(order) => match &order.name {
                OrderName::Given(order_id) => Some(order_id),
                OrderName::Uuid | OrderName::Number => None,
            },
        }
    }
}
