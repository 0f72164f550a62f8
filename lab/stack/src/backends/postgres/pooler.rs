//! PgBouncer in front of a Postgres.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::place::{self, Place};
use super::server::{PostgresServer, log_beside};
use crate::install::prerequisites;
use crate::process::{Port, Program};

/// How long a client keeps a session of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects.
    Session,
    /// Until its transaction ends.
    Transaction,
}

impl PostgresServer {
    /// Starts a PgBouncer with its default settings in front of the server on `host:port`, with its
    /// files in `directory`.
    ///
    /// # Errors
    /// When there is no PgBouncer on the machine, or it does not start.
    pub async fn pooler(server: &str, mode: PoolMode, directory: &Path) -> Result<Self> {
        let program = prerequisites::pgbouncer()?;
        let place = Place::make(directory, false)?;
        let port = Port::free()?;
        let (host, server_port) = server.rsplit_once(':').context("the server as host:port")?;
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let settings = place.folder().join("pgbouncer.ini");
        std::fs::write(
            &settings,
            format!(
                "[databases]\n\
                 * = host={host} port={server_port} user=postgres\n\
                 [pgbouncer]\n\
                 listen_addr = 127.0.0.1\n\
                 listen_port = {}\n\
                 unix_socket_dir =\n\
                 auth_type = any\n\
                 pool_mode = {mode}\n",
                port.number()
            ),
        )?;
        place.give(&settings)?;
        let (folder, user) = (place.folder().to_owned(), place.user());
        let command = move || {
            let mut command = place::command(&program, user);
            command.current_dir(&folder).arg(&settings);
            command
        };
        let program = Program {
            command: Box::new(command),
            stop: Signal::TERM,
            log: log_beside(directory),
        };
        Self::started("PgBouncer", program, port, place).await
    }
}
