//! Kafka, the registry and Postgres together, in one directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;

use crate::backend::{Backend, Ready};
use crate::download::Cache;
use crate::kafka::{self, Listener};
use crate::ports::Port;
use crate::progress::Progress;
use crate::topics::Topics;
use crate::{postgres, registry, tool, topics};

/// What to start, where, and what the user has already.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where data and logs lie: `target/stack`, or a test's own.
    pub directory: PathBuf,
    /// Goes on with the data of the last time; otherwise everything starts clean.
    pub keep: bool,
    /// A Kafka to use instead of starting one.
    pub bootstrap_servers: Option<String>,
    /// A registry to use instead of starting one (its Confluent-compatible API).
    pub schema_registry_url: Option<String>,
    /// A Postgres database to use instead of starting one.
    pub database_url: Option<String>,
    /// Fixed ports; each that is `None` is a free one.
    pub ports: Ports,
    /// How progress is shown.
    pub progress: Progress,
    /// How many brokers Kafka has. Of several, everything is replicated (up to three times), and
    /// one may be away.
    pub brokers: u8,
    /// More addresses of the broker; of several, of the first one.
    pub listeners: Vec<Listener>,
    /// More `server.properties` for all brokers; they win over ours.
    pub broker_settings: Vec<(String, String)>,
    /// Postgres speaks TLS, and lets in others than its own superuser by TLS and password alone.
    pub postgres_tls: Option<PostgresTls>,
    /// Whether Postgres waits for the disk, as it does in production. Off is quicker and loses
    /// data only when the machine goes down.
    pub postgres_fsync: bool,
}

impl Options {
    /// Everything started, on free ports, clean, silently, in `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            keep: false,
            bootstrap_servers: None,
            schema_registry_url: None,
            database_url: None,
            ports: Ports::default(),
            progress: Progress::Silent,
            brokers: 1,
            listeners: Vec::new(),
            broker_settings: Vec::new(),
            postgres_tls: None,
            postgres_fsync: true,
        }
    }
}

/// What Postgres shows its clients.
#[derive(Clone, Debug)]
pub struct PostgresTls {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, without a password.
    pub key: PathBuf,
}

/// Fixed ports of the loopback interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Kafka's; of several brokers the first one's, and those after it are the others'.
    pub kafka: Option<u16>,
    /// The registry's.
    pub registry: Option<u16>,
    /// Postgres's.
    pub postgres: Option<u16>,
}

/// The running three; dropping them ends every process.
#[derive(Debug)]
pub struct Backends {
    /// At least one.
    brokers: Vec<Backend>,
    registry: Backend,
    postgres: Backend,
    bootstrap_servers: String,
    schema_registry_url: String,
    database_url: String,
    tools: Option<kafka::Distribution>,
    cache: Cache,
    progress: Progress,
    directory: PathBuf,
    // In this order: the processes are gone before the ports and the directory are free again.
    _nodes: Vec<kafka::Node>,
    _ports: Vec<Port>,
    _place: Option<postgres::Place>,
    _lock: File,
}

impl Backends {
    /// Starts the three at the same time and waits until all of them take work. Downloads what is
    /// missing first.
    ///
    /// # Errors
    /// For people: a missing prerequisite, a directory or port that is in use, a part that ended.
    pub async fn start(options: Options) -> Result<Self> {
        let directory = options.directory.clone();
        std::fs::create_dir_all(directory.join("logs")).with_context(|| {
            format!("{} can't be used for the stack's data", directory.display())
        })?;
        let directory = directory.canonicalize()?;
        let lock = lock(&directory)?;
        if !options.keep {
            clean(&directory)?;
        }
        let cache = Cache::open(options.progress.clone())?;

        // Downloads one after the other (Maven's repository is no place for two), starts at once.
        let tools = match &options.bootstrap_servers {
            None => Some(kafka::Distribution::get(&cache).await?),
            Some(_) => None,
        };
        let runner = match &options.schema_registry_url {
            None => Some(registry::Distribution::get(&cache).await?),
            Some(_) => None,
        };
        write_archives(&cache, tools.as_ref(), runner.as_ref(), &options.progress).await;

        let place = match &options.database_url {
            None => {
                let place = postgres::Place::choose(&directory.join("postgres"), options.keep)?;
                if !options.keep {
                    remove(place.folder())?;
                }
                Some(place)
            }
            Some(_) => None,
        };
        let mut ports = Vec::new();
        let mut port = |number| -> Result<usize> {
            ports.push(Port::fixed_or_free(number)?);
            Ok(ports.len() - 1)
        };
        let registry_port = port(options.ports.registry)?;
        let postgres_port = port(options.ports.postgres)?;
        let (registry_port, postgres_port) = (&ports[registry_port], &ports[postgres_port]);
        let nodes = match &tools {
            Some(_) => kafka::reserve(options.brokers, options.ports.kafka)?,
            None => Vec::new(),
        };

        let bootstrap_servers = options
            .bootstrap_servers
            .clone()
            .unwrap_or_else(|| kafka::bootstrap_servers(&nodes));
        let schema_registry_url = options.schema_registry_url.clone().map_or_else(
            || registry::url(registry_port),
            |url| url.trim_end_matches('/').to_owned(),
        );
        let database_url = options
            .database_url
            .clone()
            .unwrap_or_else(|| postgres::url(postgres_port, "postgres"));

        let log = |name: &str| directory.join("logs").join(format!("{name}.log"));
        let start_kafka = async {
            let step = options.progress.step("Kafka");
            let brokers = match &tools {
                Some(tools) => {
                    let (listeners, settings) = (&options.listeners, &options.broker_settings);
                    kafka::prepare(tools, &directory, &nodes, listeners, settings).await?
                }
                None => vec![Backend::external(
                    "Kafka",
                    Ready::Kafka(bootstrap_servers.clone()),
                )],
            };
            // All at once: a cluster takes work when most of its controllers are there.
            try_join_all(brokers.iter().map(Backend::start)).await?;
            step.done(&format!("Kafka            {bootstrap_servers}"));
            anyhow::Ok(brokers)
        };
        let start_registry = async {
            let step = options.progress.step("Schema registry");
            let backend = match &runner {
                Some(runner) => registry::prepare(
                    runner,
                    &directory.join("registry"),
                    log("registry"),
                    registry_port,
                )?,
                None => Backend::external(
                    "The schema registry",
                    Ready::Registry(schema_registry_url.clone()),
                ),
            };
            backend.start().await?;
            step.done(&format!("Schema registry  {schema_registry_url}"));
            anyhow::Ok(backend)
        };
        let start_postgres = async {
            let step = options.progress.step("Postgres");
            let backend = match &place {
                Some(place) => {
                    postgres::prepare(
                        &cache,
                        place,
                        log("postgres"),
                        postgres_port,
                        options.postgres_fsync,
                        options.postgres_tls.as_ref(),
                    )
                    .await?
                }
                None => Backend::external("Postgres", Ready::Postgres(database_url.clone())),
            };
            backend.start().await?;
            step.done(&format!("Postgres         {database_url}"));
            anyhow::Ok(backend)
        };
        let (brokers, registry, postgres) =
            tokio::try_join!(start_kafka, start_registry, start_postgres)?;
        Ok(Self {
            brokers,
            registry,
            postgres,
            bootstrap_servers,
            schema_registry_url,
            database_url,
            tools,
            cache,
            progress: options.progress,
            directory,
            _nodes: nodes,
            _ports: ports,
            _place: place,
            _lock: lock,
        })
    }

    /// `host:port` of Kafka; of several brokers, of each, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The registry's Confluent-compatible API.
    #[must_use]
    pub fn schema_registry_url(&self) -> &str {
        &self.schema_registry_url
    }

    /// A database to connect to: the user's own where one was given, else `postgres`.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The directory with data and logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kafka's process; of several brokers the first one's.
    #[must_use]
    pub fn kafka(&self) -> &Backend {
        &self.brokers[0]
    }

    /// Kafka's processes: each can be killed, paused and started again while the others run.
    #[must_use]
    pub fn brokers(&self) -> &[Backend] {
        &self.brokers
    }

    /// The process of one broker, by its id in the cluster.
    ///
    /// # Errors
    /// When no broker of ours has this id.
    pub fn broker(&self, id: i32) -> Result<&Backend> {
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        place
            .and_then(|place| self.brokers.get(place))
            .with_context(|| format!("no broker of this stack has the id {id}"))
    }

    /// The registry's process. Its schemas and their ids survive every kind of end.
    #[must_use]
    pub const fn registry(&self) -> &Backend {
        &self.registry
    }

    /// Postgres's process.
    #[must_use]
    pub const fn postgres(&self) -> &Backend {
        &self.postgres
    }

    /// Creates a database unless it exists; its URL.
    ///
    /// # Errors
    /// When the name needs quoting, or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        postgres::create_database(&self.database_url, name).await?;
        Ok(postgres::with_database(&self.database_url, name))
    }

    /// Creates the four topics with the design's configuration; those that exist stay as they are.
    /// Every broker knows them then.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create_topics(&self, topics: &Topics) -> Result<()> {
        topics::create(&self.bootstrap_servers, topics).await?;
        if self.brokers.len() > 1 {
            let brokers = self.bootstrap_servers.split(',');
            try_join_all(brokers.map(|broker| topics::wait_until_known(broker, topics))).await?;
        }
        Ok(())
    }

    /// Registers both schemas of the contract for these topics, with the compatibility level
    /// `FULL_TRANSITIVE`.
    ///
    /// # Errors
    /// When the registry refuses, an incompatible schema included.
    pub async fn register_schemas(&self, topics: &Topics) -> Result<()> {
        topics::register_schemas(&self.schema_registry_url, topics).await
    }

    /// Registers any schema under any subject; its id.
    ///
    /// # Errors
    /// As [`Backends::register_schemas`].
    pub async fn register_schema(&self, subject: &str, schema: &str) -> Result<i64> {
        topics::register_schema(&self.schema_registry_url, subject, schema).await
    }

    /// One of Kafka's own tools (see [`crate::TOOLS`]), with the broker's address unless the
    /// arguments name one. Started by the caller, it isn't tied to our life: see
    /// [`Backends::run_tool`].
    ///
    /// # Errors
    /// When there is no such tool, or the jars can't be downloaded.
    pub async fn tool<A: Into<String>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command> {
        let class = tool::class(name)?;
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        let mut command = match &self.tools {
            Some(tools) => tools.tool(class),
            None => kafka::Distribution::get(&self.cache).await?.tool(class),
        };
        command.args(tool::with_bootstrap_server(
            name,
            &arguments,
            &self.bootstrap_servers,
        ));
        Ok(command)
    }

    /// Runs a tool to its end, with `input` on its stdin; it dies with us.
    ///
    /// # Errors
    /// As [`Backends::tool`]; the tool's own failure is in the output's status.
    pub async fn run_tool<A: Into<String>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Result<Output> {
        tool::output(self.tool(name, arguments).await?, input).await
    }

    /// Stops those that are ours in an orderly way, so that their data is whole at once when they
    /// are started again (with `keep`). Dropping them is quicker.
    ///
    /// # Errors
    /// When one can't be signalled.
    pub async fn stop(self) -> Result<()> {
        let stop = async |backend: &Backend| match backend.pid() {
            Some(_) if backend.is_ours() => backend.stop().await,
            _ => Ok(()),
        };
        let _ = tokio::try_join!(
            try_join_all(self.brokers.iter().map(stop)),
            stop(&self.registry),
            stop(&self.postgres)
        )?;
        Ok(())
    }

    /// How progress is shown.
    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }
}

/// The directory is ours until the file is dropped; the file says who has it.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            bail!(
                "another stack (process {pid}) is running in {}: stop it, or name another --directory",
                directory.display()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} can't be locked", path.display()))
        }
    }
}

/// Whether the process that last had the directory still lives.
pub(crate) fn is_running(directory: &Path) -> bool {
    std::fs::read_to_string(directory.join("lock"))
        .ok()
        .and_then(|pid| pid.parse().ok())
        .is_some_and(crate::child::is_alive)
}

fn clean(directory: &Path) -> Result<()> {
    for name in [
        "kafka",
        "registry",
        "postgres",
        "logs",
        "env",
        "voucher-signing-key",
    ] {
        remove(&directory.join(name))?;
    }
    Ok(std::fs::create_dir_all(directory.join("logs"))?)
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Once per version of Java: runs Kafka and the registry to write down which classes they load.
/// They start without that too, only slower, so that a failure here is no failure.
async fn write_archives(
    cache: &Cache,
    tools: Option<&kafka::Distribution>,
    runner: Option<&registry::Distribution>,
    progress: &Progress,
) {
    let wants = tools.is_some_and(kafka::Distribution::wants_archive)
        || runner.is_some_and(registry::Distribution::wants_archive);
    if !wants {
        return;
    }
    let step = progress.step("Preparing quicker starts (once)");
    let Ok(_lock) = cache.lock("archives").await else {
        return;
    };
    let scratch = std::env::temp_dir().join(format!("checkout-archives-{}", std::process::id()));
    let of_kafka = async {
        if let Some(tools) = tools.filter(|tools| tools.wants_archive()) {
            let _ = kafka::write_archive(tools, &scratch.join("kafka")).await;
        }
    };
    let of_registry = async {
        if let Some(runner) = runner.filter(|runner| runner.wants_archive()) {
            let _ = registry::write_archive(runner, &scratch.join("registry")).await;
        }
    };
    tokio::join!(of_kafka, of_registry);
    let _ = std::fs::remove_dir_all(scratch);
    step.done("Prepared quicker starts");
}
