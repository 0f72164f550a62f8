//! The three services as processes: built, started, killed, watched.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::child::Child;
use crate::download::{pause, tail};
use crate::ports::Port;
use crate::progress::Progress;
use crate::{prerequisites, registry};

/// Names a folder with ready `producer`, `processor` and `sink` binaries, which are used as they
/// are instead of built.
pub const BINARIES_VARIABLE: &str = "CHECKOUT_BIN_DIR";

const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

/// Settings of the services: not handed down from our own environment, so that a shell's leftovers
/// don't reach them.
const SETTINGS: &[&str] = &[
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_PROPERTIES",
    "KAFKA_PROPERTIES_FILE",
    "SCHEMA_REGISTRY_URL",
    "ORDER_STATUS_TOPIC",
    "VOUCHERS_TOPIC",
    "PROCESSOR_GROUP",
    "SINK_GROUP",
    "DATABASE_URL",
    "HTTP_ADDR",
    "API_KEYS_FILE",
    "API_KEY_RATE",
    "API_KEY_BURST",
    "OLD_ROUTES_WITHOUT_KEY",
    "HTTP_BULK_SPOOL_LIMIT",
    "HTTP_IDLE_TIMEOUT",
    "HTTP_SHUTDOWN_DELAY",
    "VOUCHER_MIN_TOTAL",
    "VOUCHER_AMOUNT",
    "VOUCHER_CURRENCY",
    "VOUCHER_CAMPAIGN",
    "VOUCHER_VALID_DAYS",
    "VOUCHER_SENT_FROM",
    "VOUCHER_SENT_UNTIL",
    "ORDER_DEFAULT_CURRENCY",
    "VOUCHER_SIGNING_KEY",
    "VOUCHER_SIGNING_KEYS_FILE",
    "PROCESSING_GUARANTEE",
    "PROCESSOR_INSTANCE_ID",
    "DEAD_LETTER_LIMIT",
    "LOG_FORMAT",
];

/// Where the services' binaries are.
#[derive(Clone, Debug)]
pub struct ServiceBinaries {
    /// The order ingress and the outbox relay.
    pub producer: PathBuf,
    /// Orders to vouchers.
    pub processor: PathBuf,
    /// Vouchers into Postgres.
    pub sink: PathBuf,
}

/// Builds the three services in the profile that this program was built with and tells where they
/// are; those of [`BINARIES_VARIABLE`] or, without cargo, those next to this program, are taken as
/// they are.
///
/// # Errors
/// When they don't build (the compiler's messages go to stderr), or there is neither cargo nor
/// binaries.
pub async fn service_binaries() -> Result<ServiceBinaries> {
    build_services(&Progress::Silent).await
}

pub(crate) async fn build_services(progress: &Progress) -> Result<ServiceBinaries> {
    if let Some(folder) = std::env::var_os(BINARIES_VARIABLE) {
        return in_folder(Path::new(&folder)).with_context(|| {
            format!("{BINARIES_VARIABLE} names a folder without all three services")
        });
    }
    let cargo = std::env::var_os("CARGO")
        .map(PathBuf::from)
        .or_else(|| prerequisites::on_path("cargo"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match cargo {
        Some(cargo) if workspace.join("Cargo.toml").is_file() => {
            build(&cargo, &workspace, progress).await
        }
        _ => {
            let this = std::env::current_exe()?;
            // A test's binary lies in `deps`, one below.
            this.ancestors()
                .skip(1)
                .take(2)
                .find_map(|folder| in_folder(folder).ok())
                .with_context(|| {
                    format!(
                        "the services are neither next to {} nor can they be built: there is no cargo on the PATH; name their folder in {BINARIES_VARIABLE}",
                        this.display()
                    )
                })
        }
    }
}

fn in_folder(folder: &Path) -> Result<ServiceBinaries> {
    let binary = |name: &str| {
        let file = folder.join(name);
        if !file.is_file() {
            bail!("{} doesn't exist", file.display());
        }
        Ok(file.canonicalize()?)
    };
    Ok(ServiceBinaries {
        producer: binary("producer")?,
        processor: binary("processor")?,
        sink: binary("sink")?,
    })
}

async fn build(cargo: &Path, workspace: &Path, progress: &Progress) -> Result<ServiceBinaries> {
    let step = progress.step("Building the services");
    let mut command = Command::new(cargo);
    command.arg("build").current_dir(workspace);
    for service in SERVICES {
        command.args(["--package", service, "--bin", service]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What `cargo run` and `cargo test` set for this package would change the fingerprints of others.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "CARGO_CRATE_NAME"
        {
            command.env_remove(name);
        }
    }
    let spawned = Child::spawn_piped(command)
        .await
        .context("cargo could not be started")?;
    let stdout = tokio::process::ChildStdout::from_std(spawned.stdout.context("no stdout")?)?;
    let stderr = tokio::process::ChildStderr::from_std(spawned.stderr.context("no stderr")?)?;
    let artifacts = async {
        let mut found = BTreeMap::new();
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            let Ok(message) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let name = message["target"]["name"].as_str().unwrap_or_default();
            if let Some(executable) = message["executable"].as_str()
                && SERVICES.contains(&name)
            {
                found.insert(name.to_owned(), PathBuf::from(executable));
            }
        }
        anyhow::Ok(found)
    };
    let messages = async {
        let mut all = String::new();
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await? {
            step.now(&format!("Building the services: {}", line.trim()));
            all.push_str(&line);
            all.push('\n');
        }
        anyhow::Ok(all)
    };
    let (mut found, messages) = tokio::try_join!(artifacts, messages)?;
    if !spawned.child.wait().await?.success() {
        bail!("the services don't build:\n{messages}");
    }
    step.done("Services built");
    let mut binary = |name: &str| {
        found
            .remove(name)
            .with_context(|| format!("cargo built no binary {name}"))
    };
    Ok(ServiceBinaries {
        producer: binary("producer")?,
        processor: binary("processor")?,
        sink: binary("sink")?,
    })
}

/// How a service is started.
#[derive(Clone, Debug)]
pub struct ServiceCommand {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    log: PathBuf,
}

impl ServiceCommand {
    /// `binary run`, with its output in `NAME.log` of the folder `logs`, none of our own
    /// environment's settings, and an HTTP address of its own unless one is set.
    #[must_use]
    pub fn new(name: &str, binary: &Path, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            arguments: vec!["run".to_owned()],
            environment: BTreeMap::new(),
            log: logs.join(format!("{name}.log")),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it; ready or not.
    ///
    /// # Errors
    /// When there is no such binary, no free port, or the log can't be written.
    pub async fn start(self) -> Result<Service> {
        let port = match self.environment.get("HTTP_ADDR") {
            Some(_) => None,
            None => Some(Port::free()?),
        };
        let http_addr = match (&port, self.environment.get("HTTP_ADDR")) {
            (None, Some(address)) => address.clone(),
            (Some(port), _) => port.address(),
            (None, None) => bail!("{} has no HTTP address", self.name),
        };
        let child = self.spawn(&http_addr).await?;
        Ok(Service {
            command: self,
            http_addr,
            child,
            _port: port,
        })
    }

    async fn spawn(&self, http_addr: &str) -> Result<Child> {
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("{} can't be written", self.log.display()))?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        for name in SETTINGS {
            command.env_remove(name);
        }
        command
            .env("HTTP_ADDR", http_addr)
            // There is no balancer to wait for.
            .env("HTTP_SHUTDOWN_DELAY", "0")
            .envs(&self.environment)
            .stdout(log.try_clone()?)
            .stderr(log);
        Child::spawn(command).await.with_context(|| {
            format!(
                "{} could not be started ({})",
                self.name,
                self.binary.display()
            )
        })
    }
}

/// A started service; dropped, it is killed.
#[derive(Debug)]
pub struct Service {
    command: ServiceCommand,
    http_addr: String,
    child: Child,
    _port: Option<Port>,
}

impl Service {
    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.command.name
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The file with all that it wrote, over its restarts.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.command.log
    }

    /// `host:port` of its HTTP server.
    #[must_use]
    pub fn http_addr(&self) -> &str {
        &self.http_addr
    }

    /// The URL of a path (`/orders`) on its HTTP server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http_addr)
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.exit_status()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub async fn wait(&self, deadline: Duration) -> Result<ExitStatus> {
        self.child
            .wait_for(deadline)
            .await?
            .with_context(|| format!("{} still runs after {} s", self.name(), deadline.as_secs()))
    }

    /// SIGKILL; returns once it is gone.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn kill(&self) -> Result<ExitStatus> {
        Ok(self.child.kill().await?)
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn pause(&self) -> Result<()> {
        Ok(self.child.signal(Signal::STOP)?)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn resume(&self) -> Result<()> {
        Ok(self.child.signal(Signal::CONT)?)
    }

    /// SIGTERM, and waits until it has drained and ended.
    ///
    /// # Errors
    /// When it still runs at the deadline; then it is killed.
    pub async fn terminate(&self, deadline: Duration) -> Result<ExitStatus> {
        self.child.signal(Signal::TERM)?;
        match self.child.wait_for(deadline).await? {
            Some(status) => Ok(status),
            None => {
                self.child.kill().await?;
                bail!(
                    "{} didn't stop within {} s of SIGTERM and was killed; its log: {}",
                    self.name(),
                    deadline.as_secs(),
                    self.log().display()
                )
            }
        }
    }

    /// Starts it again, once it has ended, with the same settings and address.
    ///
    /// # Errors
    /// When it still runs.
    pub async fn restart(&mut self) -> Result<()> {
        if self.exit_status().is_none() {
            bail!("{} still runs", self.name());
        }
        self.child = self.command.spawn(&self.http_addr).await?;
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends, or isn't ready at the deadline.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<()> {
        let client = registry::client()?;
        let begun = Instant::now();
        loop {
            let why_not = match client.get(self.url("/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("/readyz answers {}", answer.status()),
                Err(_) => "/readyz doesn't answer".to_owned(),
            };
            if let Some(status) = self.exit_status() {
                bail!(
                    "{} ended while it was starting ({status}); the end of {}:\n{}",
                    self.name(),
                    self.log().display(),
                    tail(self.log(), 12).await
                );
            }
            if begun.elapsed() > deadline {
                bail!(
                    "{} was not ready within {} s: {why_not}; its log: {}",
                    self.name(),
                    deadline.as_secs(),
                    self.log().display()
                );
            }
            pause().await;
        }
    }
}
