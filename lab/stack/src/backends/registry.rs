//! The schema registry: Apicurio with Confluent's API.
//!
//! Its ids survive a SIGKILL: its H2 database is in a file and writes every commit at once. The
//! default database, in memory, would give the schemas new ids after a restart, and the ids in the
//! topics would mean other schemas.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::directory::Directory;
use super::java::{self, Tuning};
use super::options::Options;
use super::origin::Origin;
use crate::http;
use crate::install::prerequisites::{self, Java};
use crate::install::{self, Cache};
use crate::process::{Backend, Port, Program};

/// The registry's jars and the Java that runs them.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    java: Java,
    jar: PathBuf,
    archive: PathBuf,
}

impl Distribution {
    /// Returns the registry of the cache; downloads it first if it is missing.
    pub(super) async fn get(cache: &Cache) -> Result<Self> {
        let java = prerequisites::java()?;
        let folder = install::registry(cache).await?;
        let archive = java::archive(folder.parent().unwrap_or(&folder), &java);
        Ok(Self {
            java,
            jar: install::file_ending(&folder, "-runner.jar")?,
            archive,
        })
    }

    /// Returns whether the archive of loaded classes is missing.
    pub(super) fn wants_archive(&self) -> bool {
        !self.archive.is_file()
    }

    /// Writes the archive of loaded classes.
    pub(super) async fn write_archive(&self, scratch: &Path) -> Result<()> {
        std::fs::create_dir_all(scratch)?;
        let port = Port::free()?;
        let command = self.command(scratch, port.number(), true);
        java::run_once(command, async || answers(url(&port)).await).await
    }

    fn command(&self, data: &Path, port: u16, archive_at_exit: bool) -> Command {
        let mut command = java::command(&self.java, "-Xmx256m", Tuning::Startup, &self.archive);
        if archive_at_exit {
            java::write_archive_at_exit(&mut command, &self.archive);
        }
        command
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={port}"))
            .arg(format!(
                "-Dquarkus.datasource.jdbc.url=jdbc:h2:file:{};DB_CLOSE_DELAY=-1;WRITE_DELAY=0",
                data.join("registry").display()
            ))
            .arg("-Dquarkus.datasource.jdbc.initial-size=2")
            .arg("-Dquarkus.datasource.jdbc.min-size=2")
            .arg("-jar")
            .arg(&self.jar);
        command
    }
}

/// The running registry.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) backend: Backend,
    /// Its Confluent-compatible API.
    pub(super) url: String,
    _port: Option<Port>,
}

impl Registry {
    /// Starts the registry, or waits for the user's own.
    pub(super) async fn start(
        origin: &Origin<Distribution>,
        directory: &Directory,
        options: &Options,
    ) -> Result<Self> {
        let step = options.progress.step("Schema registry");
        let (url, program, port) = match origin {
            Origin::Given(url) => (url.clone(), None, None),
            Origin::Installed(distribution) => {
                let port = Port::fixed_or_free(options.ports.registry)?;
                let data = directory.path().join("registry");
                std::fs::create_dir_all(&data)?;
                let (distribution, number) = (distribution.clone(), port.number());
                let program = Program {
                    command: Box::new(move || distribution.command(&data, number, false)),
                    stop: Signal::TERM,
                    log: directory.log("registry"),
                };
                (url(&port), Some(program), Some(port))
            }
        };
        let asked = url.clone();
        let backend = Backend::new("The schema registry", program, move || {
            answers(asked.clone())
        });
        backend.start().await?;
        step.done(&format!("Schema registry  {url}"));
        Ok(Self {
            backend,
            url,
            _port: port,
        })
    }
}

fn url(port: &Port) -> String {
    format!("http://{}/apis/ccompat/v7", port.address())
}

async fn answers(url: String) -> Result<()> {
    http::client(Duration::from_secs(5))?
        .get(format!("{url}/subjects"))
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}
