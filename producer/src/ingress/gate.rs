//! When no change is accepted: the backlog is over its bound, the database has been away for longer than
//! a request would wait, or it takes no writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use runtime::postgres::Unwritable;
use tokio::sync::Notify;

use super::change::NotDone;

/// Whether changes are accepted; shared by ingress, writers and maintenance.
#[derive(Debug)]
pub struct Gate {
    backlog_full: AtomicBool,
    /// Why the database takes no changes, if it does not.
    closed: Mutex<Option<NotDone>>,
    refused: Notify,
}

/// Closed until the database has taken a write.
impl Default for Gate {
    fn default() -> Self {
        Self {
            backlog_full: AtomicBool::new(false),
            closed: Mutex::new(Some(NotDone::Unavailable)),
            refused: Notify::new(),
        }
    }
}

impl Gate {
    /// Sets whether the backlog is over its bound.
    pub fn set_backlog_full(&self, full: bool) {
        self.backlog_full.store(full, Ordering::Relaxed);
    }

    /// Opens the gate: the database takes writes.
    pub fn open(&self) {
        self.set(None);
    }

    /// Closes the gate: the database has been away for too long.
    pub fn close(&self) {
        self.set(Some(NotDone::Unavailable));
    }

    /// Closes the gate: the database takes no writes.
    pub(super) fn close_for(&self, why: Unwritable) {
        self.set(Some(NotDone::Unwritable(why)));
    }

    /// Closes the gate for a writer whose write was refused for a reason that all writes share, until a
    /// probe that writes opens it again.
    pub fn refuse(&self, why: Unwritable) {
        self.close_for(why);
        self.refused.notify_one();
    }

    /// Waits until [`Gate::refuse`] was called.
    pub(super) async fn refused(&self) {
        self.refused.notified().await;
    }

    /// Returns whether the database is believed to take writes.
    pub(super) fn is_open(&self) -> bool {
        self.closed().is_none()
    }

    /// Returns why the database takes no writes, if that is known.
    pub(super) fn unwritable(&self) -> Option<Unwritable> {
        match self.closed() {
            Some(NotDone::Unwritable(why)) => Some(why),
            _ => None,
        }
    }

    /// Checks whether a change may be accepted.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self) -> Result<(), NotDone> {
        if let Some(why) = self.closed() {
            return Err(why);
        }
        if self.backlog_full.load(Ordering::Relaxed) {
            return Err(NotDone::Overloaded);
        }
        Ok(())
    }

    fn closed(&self) -> Option<NotDone> {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, why: Option<NotDone>) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_closes_the_gate_until_it_is_opened() {
        let gate = Gate::default();
        assert_eq!(gate.check(), Err(NotDone::Unavailable));
        gate.open();
        assert_eq!(gate.check(), Ok(()));
        gate.refuse(Unwritable::DiskFull);
        assert_eq!(gate.check(), Err(NotDone::Unwritable(Unwritable::DiskFull)));
        assert_eq!(gate.unwritable(), Some(Unwritable::DiskFull));
        gate.open();
        gate.set_backlog_full(true);
        assert_eq!(gate.check(), Err(NotDone::Overloaded));
    }
}
