//! Commands of the services, run to their end as a person would.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::system::{SIGNING_KEY, TestSystem, binaries};

/// Longer than any command waits.
const DEADLINE: Duration = Duration::from_secs(60);

/// The result of a command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed to stdout.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
}

impl Answer {
    /// Returns its stdout as JSON.
    ///
    /// # Errors
    /// When the command failed, or printed no JSON.
    pub fn json(&self) -> Result<Value> {
        ensure!(
            self.code == 0,
            "it ended with {}: {}",
            self.code,
            self.stderr
        );
        serde_json::from_str(&self.stdout).with_context(|| self.stdout.clone())
    }
}

impl TestSystem {
    /// Runs `processor` with these arguments on this flow.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn run_processor(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Answer> {
        answer(self.start_processor(arguments, environment).await?).await
    }

    /// Starts `processor` as [`TestSystem::run_processor`] does. Dropping the child kills it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_processor(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Child> {
        let (processor, sink) = (self.processor_group(), self.sink_group());
        let own = [
            ("PROCESSOR_GROUP", processor.as_str()),
            ("SINK_GROUP", sink.as_str()),
            ("VOUCHER_SIGNING_KEY", SIGNING_KEY),
        ];
        let mut command = Command::new(&binaries().await?.processor);
        self.start(command.args(arguments), &[&own, environment].concat())
    }

    /// Runs `sink` with these arguments on this flow and its database.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn run_sink(&self, arguments: &[&str]) -> Result<Answer> {
        let group = self.sink_group();
        let own = [
            ("SINK_GROUP", group.as_str()),
            ("DATABASE_URL", self.vouchers_url.as_str()),
        ];
        let mut command = Command::new(&binaries().await?.sink);
        answer(self.start(command.args(arguments), &own)?).await
    }

    /// Runs any of the services with these arguments on this flow's topics and groups, and with
    /// `environment`.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn run_service(
        &self,
        service: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Answer> {
        let binary = binaries().await?.of(service)?;
        let (processor, sink) = (self.processor_group(), self.sink_group());
        let own = [
            ("PROCESSOR_GROUP", processor.as_str()),
            ("SINK_GROUP", sink.as_str()),
        ];
        let mut command = Command::new(binary);
        answer(self.start(command.args(arguments), &[&own, environment].concat())?).await
    }

    fn start(&self, command: &mut Command, environment: &[(&str, &str)]) -> Result<Child> {
        let mut flow = vec![
            ("KAFKA_BOOTSTRAP_SERVERS", self.brokers()),
            ("ORDER_STATUS_TOPIC", &self.topics.order_status),
            ("VOUCHERS_TOPIC", &self.topics.vouchers),
        ];
        if self.has_registry() {
            flow.push(("SCHEMA_REGISTRY_URL", self.backends.schema_registry_url()));
        }
        let command = command
            .env_clear()
            .envs(flow)
            .envs(environment.iter().copied());
        spawn(command)
    }
}

/// Runs any of the services with these arguments and these variables alone, on no flow.
///
/// # Errors
/// When it does not end in time.
pub async fn run_alone(
    service: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Answer> {
    let mut command = Command::new(binaries().await?.of(service)?);
    let command = command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    answer(spawn(command)?).await
}

fn spawn(command: &mut Command) -> Result<Child> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

async fn answer(child: Child) -> Result<Answer> {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .context("the command did not end in time")??;
    Ok(Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
