//! Postgres: the one on the machine, else a downloaded one.

mod database;
mod place;
mod pooler;
mod programs;
mod server;

use std::path::Path;

use anyhow::{Context, Result};

use super::directory::Directory;
use super::options::{Options, PostgresTls};
use super::origin::Origin;
use crate::process::{Backend, Port};
use place::Place;

pub(super) use database::{create as create_database, with_database};
pub use pooler::PoolMode;
pub(super) use programs::Programs;
pub use server::PostgresServer;

/// Who connects from the loopback interface: our superuser without a password, others over TLS.
const HOSTS_WITH_TLS: &str = "\
host    all postgres 127.0.0.1/32 trust
hostssl all all      127.0.0.1/32 scram-sha-256
";

/// The running Postgres of the stack.
#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) backend: Backend,
    /// A database to connect to: the user's own, else `postgres`.
    pub(super) url: String,
    // In this order: the process is gone before its port and folder are free again.
    _port: Option<Port>,
    _place: Option<Place>,
}

impl Postgres {
    /// Starts Postgres, or waits for the user's own.
    pub(super) async fn start(
        origin: &Origin<Programs>,
        directory: &Directory,
        options: &Options,
    ) -> Result<Self> {
        let step = options.progress.step("Postgres");
        let (url, program, port, place) = match origin {
            Origin::Given(url) => (url.clone(), None, None, None),
            Origin::Installed(programs) => {
                let place = Place::make(&directory.path().join("postgres"), options.keep)?;
                let programs = programs.clone().reachable_from(&place).await?;
                if !place.data().join("PG_VERSION").is_file() {
                    programs.initialize(&place).await?;
                }
                if let Some(tls) = &options.postgres_tls {
                    secure(tls, &place)?;
                }
                let switch = |is_on| if is_on { "on" } else { "off" };
                let settings = vec![
                    format!("fsync={}", switch(options.postgres_fsync)),
                    format!("ssl={}", switch(options.postgres_tls.is_some())),
                ];
                let port = Port::fixed_or_free(options.ports.postgres)?;
                let log = directory.log("postgres");
                let program = server::server(programs, &place, log, &port, settings);
                let url = database::url(&port, "postgres");
                (url, Some(program), Some(port), Some(place))
            }
        };
        let asked = url.clone();
        let backend = Backend::new("Postgres", program, move || {
            database::answers(asked.clone())
        });
        backend.start().await?;
        step.done(&format!("Postgres         {url}"));
        Ok(Self {
            backend,
            url,
            _port: port,
            _place: place,
        })
    }
}

/// Copies the certificate to where Postgres looks for it. Postgres accepts a key only if it belongs
/// to its user and is closed to all others.
fn secure(tls: &PostgresTls, place: &Place) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let copy = |from: &Path, name: &str| -> Result<()> {
        let to = place.data().join(name);
        std::fs::copy(from, &to)
            .with_context(|| format!("{} cannot be copied to Postgres", from.display()))?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))?;
        place.give(&to)
    };
    copy(&tls.certificate, "server.crt")?;
    copy(&tls.key, "server.key")?;
    // Overwriting keeps the file's owner.
    std::fs::write(place.data().join("pg_hba.conf"), HOSTS_WITH_TLS)?;
    Ok(())
}
