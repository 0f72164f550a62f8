//! Postgres's programs: those of the machine, else downloaded ones.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::place::{self, Place};
use crate::install::{self, Cache, prerequisites};
use crate::process;

/// The folder with `initdb`, `postgres` and the others.
#[derive(Clone, Debug)]
pub(in crate::backends) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Returns the machine's programs, else those of the cache, which are downloaded first if they
    /// are missing.
    pub(in crate::backends) async fn get(cache: &Cache) -> Result<Self> {
        let folder = match prerequisites::postgres() {
            Some(folder) => folder,
            None => install::postgres(cache, None).await?,
        };
        Ok(Self { folder })
    }

    /// Returns the programs of this version, downloaded once.
    pub(super) async fn of_version(cache: &Cache, version: &str) -> Result<Self> {
        let folder = install::postgres(cache, Some(version)).await?;
        Ok(Self { folder })
    }

    /// Returns the machine's programs if `program` is among them; the downloads do not have all.
    pub(super) fn with(program: &str) -> Result<Self> {
        prerequisites::postgres()
            .filter(|folder| folder.join(program).is_file())
            .map(|folder| Self { folder })
            .ok_or_else(|| {
                let what = format!("there is no `{program}` on the PATH or in /usr/lib/postgresql");
                prerequisites::missing(&what, "postgresql")
            })
    }

    /// Returns programs that the user of `place` can run: copied there, if they are in a folder
    /// that is closed to that user.
    pub(super) async fn reachable_from(self, place: &Place) -> Result<Self> {
        if place.reaches(&self.folder) {
            return Ok(self);
        }
        let copied = place.folder().join("programs");
        if !copied.join("bin/postgres").is_file() {
            let mut copy = Command::new("cp");
            copy.arg("-R")
                .arg(self.folder.parent().unwrap_or(&self.folder))
                .arg(&copied);
            process::run(copy, "Postgres could not be copied").await?;
        }
        Ok(Self {
            folder: copied.join("bin"),
        })
    }

    /// Returns the path of a program.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Returns the command of a program, as the user of `place`.
    pub(super) fn command(&self, program: &str, place: &Place) -> Command {
        place::command(&self.path(program), place.user())
    }

    /// Creates the data of a new server in `place`.
    pub(super) async fn initialize(&self, place: &Place) -> Result<()> {
        let mut command = self.command("initdb", place);
        command.arg("-D").arg(place.data()).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        process::run(command, "Postgres could not be set up").await
    }
}
