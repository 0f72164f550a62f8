//! The folder of a run.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder of a run: `target/chaos/PID`. At the end it is removed, or renamed to be kept.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    kept: PathBuf,
}

impl Directory {
    /// Creates the folder, which is renamed to `kept_as` if it is kept.
    pub(super) fn create(kept_as: &str) -> Result<Self> {
        let all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/chaos");
        // Runs that were killed have left their folders.
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let owner = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            if owner.is_some_and(|pid| !stack::is_alive(pid)) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let path = all.join(std::process::id().to_string());
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self {
            kept: all.join(kept_as),
            path,
        })
    }

    pub(super) fn close(self, kept: bool) {
        if !kept {
            let _ = std::fs::remove_dir_all(&self.path);
            return;
        }
        let _ = std::fs::remove_dir_all(&self.kept);
        let place = match std::fs::rename(&self.path, &self.kept) {
            Ok(()) => &self.kept,
            Err(_) => &self.path,
        };
        let _ = writeln!(std::io::stderr(), "journal and logs: {}", place.display());
    }
}
