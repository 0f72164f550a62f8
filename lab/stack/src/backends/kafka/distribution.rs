//! Kafka's jars and the Java that runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::node;
use super::readiness;
use crate::backends::java::{self, Tuning};
use crate::install::prerequisites::{self, Java};
use crate::install::{self, Cache};
use crate::process;

/// Kafka's jars and the Java that runs them.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    java: Java,
    classpath: String,
    archive: PathBuf,
}

impl Distribution {
    /// Returns the Kafka of the cache; downloads it first if it is missing.
    pub(crate) async fn get(cache: &Cache) -> Result<Self> {
        let java = prerequisites::java()?;
        let jars = install::kafka(cache).await?;
        let mut files: Vec<String> = std::fs::read_dir(&jars)
            .with_context(|| format!("{} cannot be read", jars.display()))?
            .flatten()
            .map(|entry| entry.path().to_string_lossy().into_owned())
            .filter(|file| file.ends_with(".jar"))
            .collect();
        // An archive of classes is valid for one class path, to the byte.
        files.sort();
        let archive = java::archive(jars.parent().unwrap_or(&jars), &java);
        Ok(Self {
            java,
            classpath: files.join(":"),
            archive,
        })
    }

    /// Returns whether the archive of loaded classes is missing.
    pub(in crate::backends) fn wants_archive(&self) -> bool {
        !self.archive.is_file()
    }

    /// Writes the archive of loaded classes.
    pub(in crate::backends) async fn write_archive(&self, scratch: &Path) -> Result<()> {
        let nodes = node::reserve(1, None)?;
        let [node] = nodes.as_slice() else {
            bail!("one broker was asked for");
        };
        std::fs::create_dir_all(scratch)?;
        let settings = scratch.join("server.properties");
        let properties = node::properties(node, &nodes, &scratch.join("data"), &[], &[]);
        std::fs::write(&settings, properties)?;
        self.format(&settings, &node::cluster_id()).await?;
        let mut command = java::command(&self.java, "-Xmx512m", Tuning::Load, &self.archive);
        java::write_archive_at_exit(&mut command, &self.archive);
        self.run_broker(&mut command, &settings);
        let address = || node.broker.address();
        java::run_once(command, async || readiness::answers(address()).await).await
    }

    /// Returns `java ... CLASS` for one of Kafka's own tools, which logs errors to stderr.
    pub(crate) fn tool(&self, class: &str) -> Command {
        let mut command = java::command(&self.java, "-Xmx256m", Tuning::Startup, &self.archive);
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error");
        command.args(["-cp", &self.classpath, class]);
        command
    }

    /// Returns the command of a broker.
    pub(super) fn broker(&self, settings: &Path, heap: &str) -> Command {
        let mut command = java::command(&self.java, heap, Tuning::Load, &self.archive);
        self.run_broker(&mut command, settings);
        command
    }

    fn run_broker(&self, command: &mut Command, settings: &Path) {
        command.args([
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            &self.classpath,
            "kafka.Kafka",
        ]);
        command.arg(settings);
    }

    /// Prepares the storage of a node.
    pub(super) async fn format(&self, settings: &Path, cluster: &str) -> Result<()> {
        let mut command = self.tool("kafka.tools.StorageTool");
        // An id that begins with a dash would be taken for an option.
        command
            .arg("format")
            .arg(format!("--cluster-id={cluster}"))
            .arg("--config")
            .arg(settings);
        process::run(command, "Kafka's storage could not be prepared").await
    }
}
