//! A change while its group is being committed.

use std::collections::HashSet;

use chrono::Utc;
use schemas::Timestamp;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::change::{NotDone, Outcome};
use super::super::job::{Attempt, Job};
use crate::orders::Order;
use crate::store::orders::OrderWrite;

/// A change, and what has been decided about it so far.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) job: &'a mut Job,
    pub(super) state: State,
}

/// What has been decided about a change.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing yet.
    Undecided,
    /// The order is to be written like this, with its event.
    Write(Order),
    /// Nothing is to be written.
    Answer(Result<Outcome, NotDone>),
    /// Another session has locked the order.
    Locked,
}

/// The result of a change whose group was committed.
#[derive(Debug)]
pub(super) enum Settled {
    /// It has this outcome.
    Answer(Result<Outcome, NotDone>),
    /// It was not written, because another session was faster; a transaction will decide.
    Overtaken,
    /// It was not written, because another session has locked its order.
    Locked,
}

impl Settled {
    /// Returns whether an event was written.
    pub(super) const fn has_event(&self) -> bool {
        matches!(
            self,
            Self::Answer(Ok(Outcome::Placed(_) | Outcome::Changed(_)))
        )
    }
}

impl<'a> Entry<'a> {
    pub(super) const fn new(job: &'a mut Job) -> Self {
        Self {
            job,
            state: State::Undecided,
        }
    }

    pub(super) const fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// Settles the change after the commit.
    pub(super) fn settle(self) -> Settled {
        match self.state {
            State::Undecided => Settled::Overtaken,
            State::Write(order) if order.version == 1 => {
                Settled::Answer(Ok(Outcome::Placed(order)))
            }
            State::Write(order) => Settled::Answer(Ok(Outcome::Changed(order))),
            State::Answer(outcome) => Settled::Answer(outcome),
            State::Locked => Settled::Locked,
        }
    }

    /// Returns the write of `order` for this change.
    pub(super) fn write<'o>(&self, order: &'o Order) -> OrderWrite<'o> {
        OrderWrite {
            order,
            traceparent: self.job.change.trace.to_string(),
        }
    }
}

/// Returns all writes of a group.
pub(super) fn writes<'e>(entries: &'e [Entry<'_>]) -> Vec<OrderWrite<'e>> {
    entries
        .iter()
        .filter_map(|entry| match &entry.state {
            State::Write(order) => Some(entry.write(order)),
            _ => None,
        })
        .collect()
}

/// Notes in each job what is about to be committed. Until the server answers, the outcome of the commit
/// is unknown.
pub(super) fn remember_attempts(entries: &mut [Entry<'_>]) {
    for entry in entries {
        if let State::Write(order) = &entry.state {
            entry.job.attempt = Some(Attempt {
                order_id: order.order_id.clone(),
                version: order.version,
                at: order.updated_at,
            });
        }
    }
}

/// Removes the noted attempts if `error` proves that the server rolled the transaction back. An error
/// that ends the session (FATAL) proves nothing: the commit may have happened before it.
pub(super) fn forget_attempts(entries: &mut [Entry<'_>], error: &sqlx::Error) {
    let is_rolled_back = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(|error| error.severity() == PgSeverity::Error);
    if !is_rolled_back {
        return;
    }
    for entry in entries {
        if matches!(entry.state, State::Write(_)) {
            entry.job.attempt = None;
        }
    }
}

/// Resets the changes that the statement did not write to undecided, given the ids of the orders that
/// it wrote.
///
/// # Errors
/// The statement's.
pub(super) fn keep_written(
    entries: &mut [Entry<'_>],
    written: sqlx::Result<HashSet<String>>,
) -> sqlx::Result<()> {
    let written = written.inspect_err(|error| forget_attempts(entries, error))?;
    for entry in entries {
        if let State::Write(order) = &entry.state
            && !written.contains(&order.order_id)
        {
            entry.state = State::Undecided;
            entry.job.attempt = None;
        }
    }
    Ok(())
}

/// Returns the time of a change.
pub(super) fn now() -> Timestamp {
    Timestamp::from(Utc::now())
}
