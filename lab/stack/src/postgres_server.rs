//! More servers of Postgres beside the stack's own: another version, a streaming standby.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sqlx::{Connection, Executor, PgConnection};

use crate::backend::Backend;
use crate::download::Cache;
use crate::ports::Port;
use crate::postgres::{self, Place};
use crate::progress::Progress;
use crate::{prerequisites, tool};

/// A running server; dropping it ends its process and removes its data.
#[derive(Debug)]
pub struct PostgresServer {
    backend: Backend,
    port: Port,
    _place: Place,
}

impl PostgresServer {
    /// Starts an empty server of this version, downloaded once, with its data in `directory`.
    ///
    /// # Errors
    /// For people: it can't be downloaded, or does not start.
    pub async fn start(version: &str, directory: &Path) -> Result<Self> {
        let place = Place::choose(directory, false)?;
        place.make()?;
        let cache = Cache::open(Progress::Silent)?;
        let downloaded = cache.postgres(version).await?;
        let programs = postgres::reachable(downloaded, place.folder(), place.user()).await?;
        let data = place.folder().join("data");
        postgres::initialize(&programs, &data, place.user()).await?;
        let port = Port::fixed_or_free(None)?;
        let log = log_beside(directory);
        let backend = postgres::server(programs, data, place.user(), log, &port, Vec::new());
        Self::started(backend, port, place).await
    }

    /// Starts a streaming standby of the server on `primary`, with these settings
    /// (`recovery_min_apply_delay=2s`) and its data in `directory`.
    ///
    /// # Errors
    /// For people: there is no `pg_basebackup` on the machine, or it does not start.
    pub async fn standby(primary: &str, directory: &Path, settings: &[&str]) -> Result<Self> {
        let programs = prerequisites::postgres()
            .filter(|programs| programs.join("pg_basebackup").is_file())
            .context(
                "a standby needs pg_basebackup (on Debian and Ubuntu: `apt install postgresql`)",
            )?;
        let place = Place::choose(directory, false)?;
        place.make()?;
        let data = place.folder().join("data");
        let mut copy = postgres::program(&programs, "pg_basebackup", place.user());
        copy.arg("--dbname")
            .arg(primary)
            .arg("--pgdata")
            .arg(&data)
            .args([
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
            ]);
        let output = tool::output(copy, &[]).await?;
        if !output.status.success() {
            bail!(
                "the standby could not be set up: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let port = Port::fixed_or_free(None)?;
        let log = log_beside(directory);
        let settings = settings.iter().map(ToString::to_string).collect();
        let backend = postgres::server(programs, data, place.user(), log, &port, settings);
        Self::started(backend, port, place).await
    }

    async fn started(backend: Backend, port: Port, place: Place) -> Result<Self> {
        backend.start().await?;
        Ok(Self {
            backend,
            port,
            _place: place,
        })
    }

    /// The URL of a database on it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        postgres::url(&self.port, database)
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Its process.
    #[must_use]
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Makes a primary of a standby, and waits until it is one.
    ///
    /// # Errors
    /// When it refuses, or takes longer than a minute.
    pub async fn promote(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        connection.execute("SELECT pg_promote(true, 60)").await?;
        let in_recovery: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
            .fetch_one(&mut connection)
            .await?;
        if in_recovery {
            bail!("the standby was not promoted within a minute");
        }
        Ok(connection.close().await?)
    }
}

/// The server's log: beside its folder, which is its user's alone.
fn log_beside(directory: &Path) -> PathBuf {
    let mut log = directory.as_os_str().to_owned();
    log.push(".log");
    PathBuf::from(log)
}
