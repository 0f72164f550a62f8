//! When nothing may be taken in: the backlog is over its bound, the database has been away for
//! longer than a request would wait, or it takes no writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use runtime::postgres::Unwritable;
use tokio::sync::Notify;

use super::change::NotWritten;

/// Whether changes may be taken in; shared by the way in, the writers and the upkeep.
#[derive(Debug)]
pub struct Gate {
    backlog_full: AtomicBool,
    /// Why the database takes no changes, if it does not.
    closed: Mutex<Option<NotWritten>>,
    refused: Notify,
}

/// Closed until the database has shown that it takes writes.
impl Default for Gate {
    fn default() -> Self {
        Self {
            backlog_full: AtomicBool::new(false),
            closed: Mutex::new(Some(NotWritten::Unavailable)),
            refused: Notify::new(),
        }
    }
}

impl Gate {
    /// Sets whether the backlog is over its bound.
    pub fn set_backlog_full(&self, full: bool) {
        self.backlog_full.store(full, Ordering::Relaxed);
    }

    /// The database takes writes.
    pub fn open(&self) {
        self.set(None);
    }

    /// The database has been away for long.
    pub fn close(&self) {
        self.set(Some(NotWritten::Unavailable));
    }

    /// The database takes no writes.
    pub(super) fn close_for(&self, why: Unwritable) {
        self.set(Some(NotWritten::Unwritable(why)));
    }

    /// A writer met a refusal in which all writes would share: nothing is taken in until a probe
    /// that writes has opened the gate again.
    pub fn refuse(&self, why: Unwritable) {
        self.close_for(why);
        self.refused.notify_one();
    }

    /// Waits until [`Gate::refuse`] was called.
    pub(super) async fn refused(&self) {
        self.refused.notified().await;
    }

    /// Whether the database is believed to take writes.
    pub(super) fn is_open(&self) -> bool {
        self.closed().is_none()
    }

    /// Why no write would be taken, if that is known.
    pub(super) fn unwritable(&self) -> Option<Unwritable> {
        match self.closed() {
            Some(NotWritten::Unwritable(why)) => Some(why),
            _ => None,
        }
    }

    /// # Errors
    /// Why nothing may be taken in.
    pub fn check(&self) -> Result<(), NotWritten> {
        if let Some(why) = self.closed() {
            return Err(why);
        }
        if self.backlog_full.load(Ordering::Relaxed) {
            return Err(NotWritten::Overloaded);
        }
        Ok(())
    }

    fn closed(&self) -> Option<NotWritten> {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, why: Option<NotWritten>) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_closes_the_gate_until_it_is_opened() {
        let gate = Gate::default();
        assert_eq!(gate.check(), Err(NotWritten::Unavailable));
        gate.open();
        assert_eq!(gate.check(), Ok(()));
        gate.refuse(Unwritable::DiskFull);
        assert_eq!(
            gate.check(),
            Err(NotWritten::Unwritable(Unwritable::DiskFull))
        );
        assert_eq!(gate.unwritable(), Some(Unwritable::DiskFull));
        gate.open();
        gate.set_backlog_full(true);
        assert_eq!(gate.check(), Err(NotWritten::Overloaded));
    }
}
