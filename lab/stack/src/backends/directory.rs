//! The folder of a stack's data and logs; one stack uses it at a time.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;

/// The folder, locked until this is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the folder if it is missing, and locks it. Unless `keep`, removes the data of the
    /// last time.
    pub(super) fn open(path: &Path, keep: bool) -> Result<Self> {
        std::fs::create_dir_all(path.join("logs"))
            .with_context(|| format!("{} cannot be used for the stack's data", path.display()))?;
        let path = path.canonicalize()?;
        let lock = lock(&path)?;
        if !keep {
            for name in [
                "kafka",
                "registry",
                "postgres",
                "logs",
                "env",
                "voucher-signing-key",
            ] {
                remove(&path.join(name))?;
            }
            std::fs::create_dir_all(path.join("logs"))?;
        }
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a log file.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }
}

/// Locks the folder until the file is dropped; the file contains our process id.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            bail!(
                "another stack (process {pid}) is running in {}: stop it, or name another --directory",
                directory.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Returns whether the process that last locked the folder is still alive.
pub(crate) fn is_running(directory: &Path) -> bool {
    std::fs::read_to_string(directory.join("lock"))
        .ok()
        .and_then(|pid| pid.parse().ok())
        .is_some_and(process::is_alive)
}

/// Removes a file or folder, if it exists.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
