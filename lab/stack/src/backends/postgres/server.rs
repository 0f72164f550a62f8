//! One server process and its place.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};

use super::database;
use super::place::{self, Place};
use super::programs::Programs;
use crate::install::Cache;
use crate::process::{self, Backend, Port, Program};
use crate::progress::Progress;

/// A running server beside the stack's own, or a pooler in front of one. Dropping it ends the
/// process and removes its data.
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
    /// When it cannot be downloaded, or does not start.
    pub async fn start(version: &str, directory: &Path) -> Result<Self> {
        let place = Place::make(directory, false)?;
        let cache = Cache::open(Progress::Silent)?;
        let programs = Programs::of_version(&cache, version).await?;
        let programs = programs.reachable_from(&place).await?;
        programs.initialize(&place).await?;
        let port = Port::free()?;
        let program = server(programs, &place, log_beside(directory), &port, Vec::new());
        Self::started("Postgres", program, port, place).await
    }

    /// Starts a streaming standby of the server on `primary`, with these settings
    /// (`recovery_min_apply_delay=2s`) and its data in `directory`.
    ///
    /// # Errors
    /// When there is no `pg_basebackup` on the machine, or the standby does not start.
    pub async fn standby(primary: &str, directory: &Path, settings: &[&str]) -> Result<Self> {
        let programs = Programs::with("pg_basebackup")?;
        let place = Place::make(directory, false)?;
        let mut copy = programs.command("pg_basebackup", &place);
        copy.arg("--dbname")
            .arg(primary)
            .arg("--pgdata")
            .arg(place.data())
            .args([
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
            ]);
        process::run(copy, "the standby could not be set up").await?;
        let port = Port::free()?;
        let settings = settings.iter().map(ToString::to_string).collect();
        let program = server(programs, &place, log_beside(directory), &port, settings);
        Self::started("Postgres", program, port, place).await
    }

    pub(super) async fn started(
        name: &str,
        program: Program,
        port: Port,
        place: Place,
    ) -> Result<Self> {
        let url = database::url(&port, "postgres");
        let is_ready = move || database::answers(url.clone());
        let backend = Backend::new(name, Some(program), is_ready);
        backend.start().await?;
        Ok(Self {
            backend,
            port,
            _place: place,
        })
    }

    /// Returns the URL of a database on it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        database::url(&self.port, database)
    }

    /// Returns `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Returns its process.
    #[must_use]
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Promotes a standby, and waits until it is a primary.
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

/// Describes a server on `port` with its data in `place`, with more settings than all have.
pub(super) fn server(
    programs: Programs,
    place: &Place,
    log: PathBuf,
    port: &Port,
    settings: Vec<String>,
) -> Program {
    let (postgres, data) = (programs.path("postgres"), place.data());
    let (number, user) = (port.number().to_string(), place.user());
    let command = move || {
        let mut command = place::command(&postgres, user);
        command.arg("-D").arg(&data).arg("-p").arg(&number);
        let common = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "logging_collector=off",
            "log_destination=stderr",
            "timezone=UTC",
        ];
        let settings = settings.iter().map(String::as_str);
        for setting in common.into_iter().chain(settings) {
            command.arg("-c").arg(setting);
        }
        command
    };
    Program {
        command: Box::new(command),
        stop: Signal::INT, // the fast stop: open sessions are ended
        log,
    }
}

/// Returns the log of a server: beside its folder, which only its user may read.
pub(super) fn log_beside(directory: &Path) -> PathBuf {
    let mut log = directory.as_os_str().to_owned();
    log.push(".log");
    PathBuf::from(log)
}
