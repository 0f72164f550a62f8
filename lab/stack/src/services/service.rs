//! One service as a process: started, killed, paused, watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::http;
use crate::process::{Child, Port, spawn_with_log, wait_until_ready};

/// Settings of the services. They are not inherited from our own environment, where a shell may have
/// set them.
const SETTINGS: &[&str] = &[
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_PROPERTIES",
    "KAFKA_PROPERTIES_FILE",
    "CHECKOUT_CONFIG",
    "SCHEMA_REGISTRY_URL",
    "ORDER_STATUS_TOPIC",
    "VOUCHERS_TOPIC",
    "PROCESSOR_GROUP",
    "SINK_GROUP",
    "DATABASE_URL",
    "ORDERS_DATABASE_URL",
    "MIGRATE",
    "MIGRATE_TIMEOUT",
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
    "AUDIT_TOPIC",
    "AUDIT_BY",
    "CONSOLE_TRACE_URL",
    "CONSOLE_HTTP_ADDR",
    "CONSOLE_HOSTS",
    "CONSOLE_KEYS_FILE",
    "CONSOLE_WITHOUT_KEYS",
    "CONSOLE_PRODUCER_URLS",
    "CONSOLE_PROCESSOR_URLS",
    "CONSOLE_SINK_URLS",
    "CONSOLE_ORDERS_URL",
    "CONSOLE_ORDERS_KEY_FILE",
    "LOG_FORMAT",
    "OTEL_SDK_DISABLED",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
];

/// How a service is started.
#[derive(Clone, Debug)]
pub struct ServiceCommand {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    address_variable: &'static str,
    log: PathBuf,
}

impl ServiceCommand {
    /// Runs `binary run` with its output in `NAME.log` of the folder `logs`, without the settings of
    /// our own environment, and with an HTTP address of its own unless one is set.
    #[must_use]
    pub fn new(name: &str, binary: &Path, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            arguments: vec!["run".to_owned()],
            environment: BTreeMap::new(),
            address_variable: "HTTP_ADDR",
            log: logs.join(format!("{name}.log")),
        }
    }

    /// Names the variable that sets the service's HTTP address, where it is not `HTTP_ADDR`.
    #[must_use]
    pub const fn address_variable(mut self, name: &'static str) -> Self {
        self.address_variable = name;
        self
    }

    /// Runs another binary, such as that of another release.
    #[must_use]
    pub fn binary(mut self, binary: &Path) -> Self {
        self.binary = binary.to_owned();
        self
    }

    /// Runs the binary with these arguments instead of `run`. A program that is no service of ours can
    /// be started so, if it reads the same variables and answers `/readyz`.
    #[must_use]
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an environment variable.
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

    /// Starts the service without waiting until it is ready.
    ///
    /// # Errors
    /// When there is no such binary, no free port, or the log cannot be written.
    pub async fn start(self) -> Result<Service> {
        let (http_addr, port) = match self.environment.get(self.address_variable) {
            Some(address) => (address.clone(), None),
            None => {
                let port = Port::free()?;
                (port.address(), Some(port))
            }
        };
        let child = self.spawn(&http_addr).await?;
        Ok(Service {
            command: self,
            http_addr,
            child,
            was_ready: AtomicBool::new(false),
            _port: port,
        })
    }

    async fn spawn(&self, http_addr: &str) -> Result<Child> {
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        for name in SETTINGS {
            command.env_remove(name);
        }
        command
            .env(self.address_variable, http_addr)
            // There is no load balancer that has to notice first.
            .env("HTTP_SHUTDOWN_DELAY", "0")
            .envs(&self.environment);
        spawn_with_log(command, &self.log, &self.name).await
    }
}

/// A started service. Dropping it kills the process.
#[derive(Debug)]
pub struct Service {
    command: ServiceCommand,
    http_addr: String,
    child: Child,
    /// Whether the present process was ready once.
    was_ready: AtomicBool,
    _port: Option<Port>,
}

impl Service {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.command.name
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Returns the file with its output, over all restarts.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.command.log
    }

    /// Returns `host:port` of its HTTP server.
    #[must_use]
    pub fn http_addr(&self) -> &str {
        &self.http_addr
    }

    /// Returns the URL of a path (`/orders`) on its HTTP server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http_addr)
    }

    /// Returns how it ended, or `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.exit_status()
    }

    /// Returns whether it was ready since it was last started. Until then SIGTERM may end it before it
    /// handles signals.
    pub(super) fn was_ready(&self) -> bool {
        self.was_ready.load(Ordering::Relaxed)
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

    /// Waits until it has ended, however long it runs.
    pub(crate) async fn wait_for_end(&self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Sends SIGKILL and waits until it has ended.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub async fn kill(&self) -> Result<ExitStatus> {
        Ok(self.child.kill().await?)
    }

    /// Sends SIGSTOP.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn pause(&self) -> Result<()> {
        Ok(self.child.signal(Signal::STOP)?)
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn resume(&self) -> Result<()> {
        Ok(self.child.signal(Signal::CONT)?)
    }

    /// Sends SIGTERM and waits until it has drained and ended.
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
                    "{} did not stop within {} s of SIGTERM and was killed; its log: {}",
                    self.name(),
                    deadline.as_secs(),
                    self.log().display()
                )
            }
        }
    }

    /// Starts it again with the same settings and address, once it has ended.
    ///
    /// # Errors
    /// When it still runs.
    pub async fn restart(&mut self) -> Result<()> {
        if self.exit_status().is_none() {
            bail!("{} still runs", self.name());
        }
        self.child = self.command.spawn(&self.http_addr).await?;
        *self.was_ready.get_mut() = false;
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends, or is not ready at the deadline.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<()> {
        let client = http::client(Duration::from_secs(5))?;
        let is_ready = async || match client.get(self.url("/readyz")).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => bail!("/readyz answers {}", answer.status()),
            Err(_) => bail!("/readyz does not answer"),
        };
        let has_ended = || self.exit_status().is_some();
        wait_until_ready(self.name(), Some(self.log()), deadline, has_ended, is_ready).await?;
        self.was_ready.store(true, Ordering::Relaxed);
        Ok(())
    }
}
