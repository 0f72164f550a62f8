//! A real schema registry (Apicurio, with Confluent's API) whose ids survive a SIGKILL: its H2
//! database lies in a file and writes every commit at once. The default, in memory, would number
//! the schemas anew after a restart, and ids in the topics would mean other schemas.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::backend::{Backend, Ready};
use crate::child::Child;
use crate::download::{Cache, the_file_ending};
use crate::java::{self, Duty};
use crate::ports::Port;
use crate::prerequisites::Java;

/// The registry's jars and the Java that runs them.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    java: Java,
    jar: PathBuf,
    archive: PathBuf,
}

impl Distribution {
    /// From the cache; downloaded first when it isn't there.
    pub(crate) async fn get(cache: &Cache) -> Result<Self> {
        let java = Java::find()?;
        let folder = cache.registry().await?;
        let archive = java::archive(folder.parent().unwrap_or(&folder), &java);
        Ok(Self {
            java,
            jar: the_file_ending(&folder, "-runner.jar")?,
            archive,
        })
    }

    /// Whether the archive of loaded classes is still to be written.
    pub(crate) fn wants_archive(&self) -> bool {
        !self.archive.is_file()
    }

    fn command(&self, data: &Path, port: u16, archive_at_exit: bool) -> Command {
        let mut command = java::command(&self.java, "-Xmx256m", Duty::Brief, &self.archive);
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

/// The Confluent-compatible API's URL.
pub(crate) fn url(port: &Port) -> String {
    format!("http://{}/apis/ccompat/v7", port.address())
}

/// A registry on `port` with its data below `directory`; not started yet.
pub(crate) fn prepare(
    distribution: &Distribution,
    directory: &Path,
    log: PathBuf,
    port: &Port,
) -> Result<Backend> {
    std::fs::create_dir_all(directory)?;
    let (runs, data, number) = (distribution.clone(), directory.to_owned(), port.number());
    Ok(Backend::new(
        "The schema registry",
        log,
        Ready::Registry(url(port)),
        Signal::TERM,
        move || runs.command(&data, number, false),
    ))
}

/// Runs a registry once, so that the next ones start from an archive of the classes that it loaded.
pub(crate) async fn write_archive(distribution: &Distribution, scratch: &Path) -> Result<()> {
    std::fs::create_dir_all(scratch)?;
    let port = Port::free()?;
    let mut command = distribution.command(scratch, port.number(), true);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = Child::spawn(command).await?;
    let deadline = Duration::from_secs(60);
    let address = url(&port);
    let answers = async {
        while answers(&address).await.is_err() && child.exit_status().is_none() {
            crate::download::pause().await;
        }
    };
    tokio::time::timeout(deadline, answers).await?;
    child.signal(Signal::TERM)?;
    child
        .wait_for(deadline)
        .await?
        .context("the registry didn't stop")?;
    Ok(())
}

/// Whether the registry answers.
pub(crate) async fn answers(url: &str) -> Result<()> {
    client()?
        .get(format!("{url}/subjects"))
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}

pub(crate) fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()?)
}
