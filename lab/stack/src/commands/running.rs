//! What `stack up` and `stack demo` start, watch and stop.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::backends::{Backends, Options, Topics};
use crate::services::environment::{Environment, EnvironmentFile};
use crate::services::{AUDIT_TOPIC, ServiceBinaries, Services};

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Everything that runs. Dropping it ends every process.
#[derive(Debug)]
pub(super) struct Running {
    // In this order: the file first, then the services, then the backends.
    file: EnvironmentFile,
    pub(super) services: Option<Services>,
    pub(super) backends: Backends,
    pub(super) environment: Environment,
    pub(super) topics: Topics,
}

impl Running {
    /// Starts the backends, and the services too if asked to.
    pub(super) async fn start(options: Options, with_services: bool) -> Result<Self> {
        let progress = options.progress.clone();
        let binaries = async {
            match with_services {
                true => ServiceBinaries::build_with(&progress).await.map(Some),
                false => Ok(None),
            }
        };
        // The network and the compiler work at the same time. A missing prerequisite and an error
        // of the compiler end both, before anything is started.
        let ((), binaries) = tokio::try_join!(Backends::download(&options), binaries)?;
        let backends = Backends::start(options).await?;
        let topics = Topics::default();
        let environment = Environment::prepare(&backends, &topics).await?;
        let logs = backends.directory().join("logs");
        let services = match binaries {
            Some(binaries) => {
                backends.create_audit_topic(AUDIT_TOPIC).await?;
                Some(Services::start(&binaries, &environment, &logs, &progress).await?)
            }
            None => None,
        };
        let addresses = services.as_ref().map(Services::addresses);
        let file = environment.write(
            backends.directory(),
            addresses.as_ref().map_or(&[], |all| all.as_slice()),
        )?;
        Ok(Self {
            file,
            services,
            backends,
            environment,
            topics,
        })
    }

    /// Returns, with an error, when a process has ended by itself.
    pub(super) async fn wait_for_an_end(&self) -> Result<()> {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            check(&self.backends)?;
            if let Some(services) = &self.services {
                services.check()?;
            }
        }
    }

    /// Starts services again that end. Returns, with an error, when a backend has ended by itself:
    /// without it the services can only wait.
    pub(super) async fn supervise(&mut self) -> Result<()> {
        let Self {
            backends, services, ..
        } = self;
        let progress = backends.progress().clone();
        let supervised = async {
            if let Some(services) = services {
                services.supervise(&progress).await;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(wait_for_a_backends_end(backends), supervised)?;
        Ok(())
    }

    /// Stops everything: the services drain, and the backends stop in an orderly way if their data
    /// is kept.
    pub(super) async fn stop(self, keep: bool) -> Result<()> {
        drop(self.file);
        let drained = match self.services {
            Some(services) => services.stop().await,
            None => Ok(()),
        };
        if keep {
            self.backends.stop().await?;
        }
        drained
    }

    /// Returns the path of the file with the addresses, as one would type it here.
    pub(super) fn environment_file(&self) -> String {
        relative(self.file.path())
    }

    /// Returns the path of the logs, as one would type it here.
    pub(super) fn logs(&self) -> String {
        relative(&self.backends.directory().join("logs"))
    }
}

async fn wait_for_a_backends_end(backends: &Backends) -> Result<()> {
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    loop {
        ticks.tick().await;
        check(backends)?;
    }
}

/// Fails when a backend has ended by itself.
fn check(backends: &Backends) -> Result<()> {
    let others = [backends.registry(), backends.postgres()];
    for backend in backends.brokers().iter().chain(others) {
        if let Some(status) = backend.exit_status() {
            bail!(
                "{} ended ({status}); its log: {}",
                backend.name(),
                backend.log().display()
            );
        }
    }
    Ok(())
}

fn relative(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let path = match &here {
        Ok(here) => path.strip_prefix(here).unwrap_or(path),
        Err(_) => path,
    };
    path.display().to_string()
}
