//! PgBouncer in front of a Postgres.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::backend::{Backend, Ready};
use crate::ports::Port;
use crate::postgres::{self, Place};
use crate::prerequisites;

/// How long a client keeps a session of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects.
    Session,
    /// Until its transaction ends.
    Transaction,
}

/// A running PgBouncer with its own defaults; dropping it ends its process.
#[derive(Debug)]
pub struct Pooler {
    backend: Backend,
    port: Port,
    _place: Place,
}

impl Pooler {
    /// Starts one in front of the server on `host:port`, with its files in `directory`.
    ///
    /// # Errors
    /// For people: there is no PgBouncer on the machine, or it does not start.
    pub async fn start(server: &str, mode: PoolMode, directory: &Path) -> Result<Self> {
        let program = prerequisites::on_path("pgbouncer")
            .or_else(|| {
                Some("/usr/sbin/pgbouncer".into())
                    .filter(|path: &std::path::PathBuf| path.is_file())
            })
            .context("there is no PgBouncer (on Debian and Ubuntu: `apt install pgbouncer`)")?;
        let place = Place::choose(directory, false)?;
        place.make()?;
        let port = Port::fixed_or_free(None)?;
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
        let user = place.user();
        let folder = place.folder().to_owned();
        let backend = Backend::new(
            "PgBouncer",
            directory.with_extension("log"),
            Ready::Postgres(postgres::url(&port, "postgres")),
            Signal::TERM,
            move || {
                let parent = program.parent().unwrap_or(Path::new("/"));
                let mut command = postgres::program(parent, "pgbouncer", user);
                command.current_dir(&folder).arg(&settings);
                command
            },
        );
        place.give(&place.folder().join("pgbouncer.ini"))?;
        backend.start().await?;
        Ok(Self {
            backend,
            port,
            _place: place,
        })
    }

    /// The URL of a database behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        postgres::url(&self.port, database)
    }

    /// Its process.
    #[must_use]
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }
}
