//! Adds up what the threads of a replay committed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::flow::FlowObserver;

/// The observer of each thread: all clones add to one tally. Logs once why a thread is blocked.
#[derive(Debug, Clone, Default)]
pub struct Totals<T> {
    tally: Arc<Mutex<T>>,
    blocked: Option<String>,
}

impl<T: Clone> Totals<T> {
    /// Changes the tally, adding what was committed.
    pub fn update(&self, add: impl FnOnce(&mut T)) {
        add(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns what all threads have committed.
    pub fn tally(&self) -> T {
        let tally = self.tally.lock();
        tally.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> FlowObserver for Totals<T> {
    fn healthy(&mut self) {
        self.blocked = None;
    }

    fn blocked(&mut self, reason: &str) {
        if self.blocked.as_deref() != Some(reason) {
            tracing::warn!(reason, "waiting");
            self.blocked = Some(reason.to_owned());
        }
    }
}
