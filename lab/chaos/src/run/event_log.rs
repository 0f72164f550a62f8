//! The log of a run, on stderr and in a file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};

/// The events of a run, with their times.
pub(super) struct EventLog {
    pub(super) begun: Instant,
    file: Mutex<std::fs::File>,
}

impl EventLog {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self {
            begun: Instant::now(),
            file: Mutex::new(file),
        })
    }

    /// Logs an event.
    pub(super) fn event(&self, what: &str) {
        let millis = self.begun.elapsed().as_millis();
        let line = format!("{:>5}.{:03} {what}", millis / 1000, millis % 1000);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // The log is for people: a run does not fail because of it.
        let _ = writeln!(file, "{line}");
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
