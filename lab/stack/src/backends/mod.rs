//! Kafka, the registry and Postgres together, in one directory.

mod directory;
mod installed;
mod java;
pub(crate) mod kafka;
mod options;
mod origin;
mod postgres;
mod registry;
mod topics;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use futures::future::try_join_all;

use crate::install::Cache;
use crate::process::{self, Backend};
use crate::progress::Progress;
use directory::Directory;
use installed::Installed;
use kafka::{Kafka, tools};
use postgres::Postgres;
use registry::Registry;

pub(crate) use directory::is_running;
pub use options::{Listener, Options, Ports, PostgresTls};
pub use postgres::{PoolMode, PostgresServer};
pub use topics::{DEAD_LETTER_ROOM, MAX_MESSAGE_BYTES, PARTITIONS, Topics};

/// The running three; dropping them ends every process.
#[derive(Debug)]
pub struct Backends {
    kafka: Kafka,
    registry: Registry,
    postgres: Postgres,
    installed: Installed,
    cache: Cache,
    progress: Progress,
    // Last: the processes are gone before the directory is free again.
    directory: Directory,
}

impl Backends {
    /// Downloads what is missing, so that [`Backends::start`] finds it.
    pub(crate) async fn download(options: &Options) -> Result<()> {
        let cache = Cache::open(options.progress.clone())?;
        Installed::get(&cache, options).await?;
        Ok(())
    }

    /// Starts the three at the same time and waits until all of them are ready. Downloads what is
    /// missing first.
    ///
    /// # Errors
    /// When a prerequisite is missing, a directory or port is in use, or a process ends.
    pub async fn start(options: Options) -> Result<Self> {
        let directory = Directory::open(&options.directory, options.keep)?;
        let cache = Cache::open(options.progress.clone())?;
        let installed = Installed::get(&cache, &options).await?;
        installed.write_archives(&cache, &options.progress).await;
        let (kafka, registry, postgres) = tokio::try_join!(
            Kafka::start(&installed.kafka, &directory, &options),
            Registry::start(&installed.registry, &directory, &options),
            Postgres::start(&installed.postgres, &directory, &options),
        )?;
        Ok(Self {
            kafka,
            registry,
            postgres,
            installed,
            cache,
            progress: options.progress,
            directory,
        })
    }

    /// Returns `host:port` of each broker, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.kafka.bootstrap_servers
    }

    /// Returns the URL of the registry's Confluent-compatible API.
    #[must_use]
    pub fn schema_registry_url(&self) -> &str {
        &self.registry.url
    }

    /// Returns the URL of a database to connect to: the user's own, else `postgres`.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.postgres.url
    }

    /// Returns the directory of data and logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the process of Kafka's first broker.
    #[must_use]
    pub fn kafka(&self) -> &Backend {
        &self.kafka.brokers[0]
    }

    /// Returns the processes of all brokers: each can be killed, paused and started again while the
    /// others run.
    #[must_use]
    pub fn brokers(&self) -> &[Backend] {
        &self.kafka.brokers
    }

    /// Returns the process of a broker, by its id in the cluster.
    ///
    /// # Errors
    /// When no broker of ours has this id.
    pub fn broker(&self, id: i32) -> Result<&Backend> {
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        place
            .and_then(|place| self.kafka.brokers.get(place))
            .with_context(|| format!("no broker of this stack has the id {id}"))
    }

    /// Returns the registry's process. Its schemas and their ids survive a SIGKILL.
    #[must_use]
    pub const fn registry(&self) -> &Backend {
        &self.registry.backend
    }

    /// Returns Postgres's process.
    #[must_use]
    pub const fn postgres(&self) -> &Backend {
        &self.postgres.backend
    }

    /// Creates a database unless it exists; returns its URL.
    ///
    /// # Errors
    /// When the name needs quoting, or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        postgres::create_database(&self.postgres.url, name).await?;
        Ok(postgres::with_database(&self.postgres.url, name))
    }

    /// Creates the topics with the configuration of the design, and waits until every broker knows
    /// them. Topics that exist stay as they are.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create_topics(&self, topics: &Topics) -> Result<()> {
        topics::create(self.bootstrap_servers(), topics).await?;
        self.wait_until_known(&topics.names()).await
    }

    /// Creates a topic of audit records likewise.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create_audit_topic(&self, name: &str) -> Result<()> {
        topics::create_audit(self.bootstrap_servers(), name).await?;
        self.wait_until_known(&[name.to_owned()]).await
    }

    async fn wait_until_known(&self, names: &[String]) -> Result<()> {
        if self.brokers().len() > 1 {
            let brokers = self.bootstrap_servers().split(',');
            try_join_all(brokers.map(|broker| topics::wait_until_known(broker, names))).await?;
        }
        Ok(())
    }

    /// Registers both schemas of the contract for these topics, with the compatibility level
    /// `FULL_TRANSITIVE`.
    ///
    /// # Errors
    /// When the registry refuses, an incompatible schema included.
    pub async fn register_schemas(&self, topics: &Topics) -> Result<()> {
        topics::register_schemas(&self.registry.url, topics).await
    }

    /// Registers any schema under any subject; returns its id.
    ///
    /// # Errors
    /// As [`Backends::register_schemas`].
    pub async fn register_schema(&self, subject: &str, schema: &str) -> Result<i64> {
        topics::register_schema(&self.registry.url, subject, schema).await
    }

    /// Returns the command of one of Kafka's own tools (see [`crate::TOOLS`]), with the brokers'
    /// address unless the arguments name one. A process that the caller starts from it may outlive
    /// this one; [`Backends::run_tool`]'s does not.
    ///
    /// # Errors
    /// When there is no such tool, or the jars cannot be downloaded.
    pub async fn tool<A: Into<String>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command> {
        let class = tools::class(name)?;
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        let mut command = match self.installed.kafka.installed() {
            Some(kafka) => kafka.tool(class),
            None => kafka::Distribution::get(&self.cache).await?.tool(class),
        };
        command.args(tools::with_bootstrap_server(
            name,
            &arguments,
            self.bootstrap_servers(),
        ));
        Ok(command)
    }

    /// Runs a tool to its end, with `input` on its stdin.
    ///
    /// # Errors
    /// As [`Backends::tool`]; the tool's own failure is in the output's status.
    pub async fn run_tool<A: Into<String>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Result<Output> {
        process::output(self.tool(name, arguments).await?, input).await
    }

    /// Stops the processes that were started here in an orderly way, so that a later start with
    /// `keep` need not recover their data. Dropping them is quicker.
    ///
    /// # Errors
    /// When one cannot be signalled.
    pub async fn stop(self) -> Result<()> {
        let stop = async |backend: &Backend| match backend.pid() {
            Some(_) if backend.is_ours() => backend.stop().await,
            _ => Ok(()),
        };
        tokio::try_join!(
            try_join_all(self.brokers().iter().map(stop)),
            stop(self.registry()),
            stop(self.postgres())
        )?;
        Ok(())
    }

    /// Returns how progress is shown.
    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }
}
