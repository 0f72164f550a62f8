//! When nothing may be taken in: the backlog is over its bound, or the database has been away for
//! longer than a request would wait.

use std::sync::atomic::{AtomicBool, Ordering};

use super::change::NotWritten;

/// Whether changes may be taken in; shared by the way in and by what measures.
#[derive(Debug, Default)]
pub struct Gate {
    backlog_full: AtomicBool,
    database_away: AtomicBool,
}

impl Gate {
    /// Sets whether the backlog is over its bound.
    pub fn set_backlog_full(&self, full: bool) {
        self.backlog_full.store(full, Ordering::Relaxed);
    }

    /// Sets whether the database has been away for long.
    pub fn set_database_away(&self, away: bool) {
        self.database_away.store(away, Ordering::Relaxed);
    }

    /// # Errors
    /// Why nothing may be taken in.
    pub fn check(&self) -> Result<(), NotWritten> {
        if self.database_away.load(Ordering::Relaxed) {
            return Err(NotWritten::Unavailable);
        }
        if self.backlog_full.load(Ordering::Relaxed) {
            return Err(NotWritten::Overloaded);
        }
        Ok(())
    }
}
