//! The user's cache folder: `XDG_CACHE_HOME`, else `~/.cache`; `checkout` below it.
//!
//! A package is complete once its marker file exists, which is written last. A file lock keeps two
//! processes from filling the same folder. What an interrupted download has fetched stays in
//! Maven's own repository.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::maven::{self, Package};
use super::prerequisites;
use crate::progress::Progress;

/// The cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    progress: Progress,
}

impl Cache {
    /// Names the folder; it is created by the first download.
    pub(crate) fn open(progress: Progress) -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| Some(std::env::home_dir()?.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder for the downloads")?;
        Ok(Self {
            folder: base.join("checkout"),
            progress,
        })
    }

    /// Locks a part of the cache, across processes, until the file is dropped.
    pub(crate) async fn lock(&self, name: &str) -> Result<File> {
        let path = self.folder.join(format!("{name}.lock"));
        let lock = move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = File::create(path)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        tokio::task::spawn_blocking(lock)
            .await?
            .with_context(|| format!("the cache folder {} cannot be used", self.folder.display()))
    }

    /// Returns the folder of a package. Downloads it first unless it is complete; `finish` then
    /// prepares what was downloaded.
    pub(super) async fn get(
        &self,
        package: &Package,
        finish: impl FnOnce(&Path) -> Result<()> + Send + 'static,
    ) -> Result<PathBuf> {
        let folder = self.folder.join(&package.folder);
        let marker = folder.join("complete");
        if marker.is_file() {
            return Ok(folder);
        }
        let mvn = prerequisites::maven(&package.title)?;
        let step = self
            .progress
            .step(&format!("{}: waiting for another download", package.title));
        let _lock = self.lock(&package.folder).await?;
        if marker.is_file() {
            return Ok(folder);
        }
        step.begin(&format!(
            "{}: downloading (once, into {})",
            package.title,
            self.folder.display()
        ));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        maven::download(&mvn, package, &folder, &step).await?;
        step.now(&format!("{}: unpacking", package.title));
        let complete = folder.clone();
        tokio::task::spawn_blocking(move || finish(&complete)).await??;
        let written = folder.join("complete.new");
        std::fs::write(&written, "")?;
        std::fs::rename(written, marker)?;
        step.done(&format!("{}: downloaded", package.title));
        Ok(folder)
    }
}
