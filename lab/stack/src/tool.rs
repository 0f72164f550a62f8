//! Kafka's own tools, from the jars that the broker runs from.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;

use crate::child::Child;
use crate::download::Cache;
use crate::environment;
use crate::kafka::Distribution;
use crate::progress::Progress;

/// The tools by the names of Kafka's shell scripts, and the classes behind them (Kafka 4.3).
pub const TOOLS: &[(&str, &str)] = &[
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
    ),
    ("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    (
        "kafka-leader-election",
        "org.apache.kafka.tools.LeaderElectionCommand",
    ),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    (
        "kafka-producer-perf-test",
        "org.apache.kafka.tools.ProducerPerformance",
    ),
    (
        "kafka-reassign-partitions",
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    ),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    (
        "kafka-transactions",
        "org.apache.kafka.tools.TransactionsCommand",
    ),
];

/// The class of a tool.
pub(crate) fn class(name: &str) -> Result<&'static str> {
    let wanted = name.trim_end_matches(".sh");
    match TOOLS.iter().find(|(tool, _)| *tool == wanted) {
        Some((_, class)) => Ok(class),
        None => {
            let names: Vec<_> = TOOLS.iter().map(|(tool, _)| *tool).collect();
            bail!("{name} is none of Kafka's tools here: {}", names.join(", "))
        }
    }
}

/// `arguments` with the broker's address, unless they name one (or the tool works on files).
pub(crate) fn with_bootstrap_server(
    name: &str,
    arguments: &[String],
    servers: &str,
) -> Vec<String> {
    let named = arguments.iter().any(|argument| {
        let option = argument.split('=').next().unwrap_or(argument);
        matches!(
            option,
            "--bootstrap-server" | "--bootstrap-controller" | "--help" | "--version"
        )
    });
    let mut all = Vec::new();
    if !named && !name.starts_with("kafka-dump-log") {
        all.extend(["--bootstrap-server".to_owned(), servers.to_owned()]);
    }
    all.extend_from_slice(arguments);
    all
}

/// The tool for a person at a terminal: the address is that of the shell's
/// `KAFKA_BOOTSTRAP_SERVERS`, else of the stack that runs in `directory`.
pub(crate) async fn for_terminal(
    directory: &Path,
    name: &str,
    arguments: &[String],
) -> Result<Command> {
    let class = class(name)?;
    let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS")
        .ok()
        .filter(|servers| !servers.is_empty())
        .or_else(|| environment::read(directory, "KAFKA_BOOTSTRAP_SERVERS"));
    if servers.is_none() && with_bootstrap_server(name, arguments, "").len() > arguments.len() {
        bail!(
            "no stack runs in {}, and KAFKA_BOOTSTRAP_SERVERS is not set: start one with `cargo \
             stack up`, or give --bootstrap-server host:port",
            directory.display()
        );
    }
    let distribution = Distribution::get(&Cache::open(Progress::auto())?).await?;
    let mut command = distribution.tool(class);
    match servers {
        Some(servers) => command.args(with_bootstrap_server(name, arguments, &servers)),
        None => command.args(arguments),
    };
    Ok(command)
}

/// Runs a command to its end with `input` on its stdin.
///
/// # Errors
/// When it can't be started or its pipes fail; not when it exits with an error.
pub(crate) async fn output(mut command: Command, input: &[u8]) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let spawned = Child::spawn_piped(command)
        .await
        .with_context(|| format!("{program} could not be started"))?;
    let mut stdin = spawned.stdin.context("no stdin")?;
    let input = input.to_vec();
    // A program that ends without reading its input closes the pipe: its exit status tells.
    let written = tokio::task::spawn_blocking(move || stdin.write_all(&input));
    let mut stdout = tokio::process::ChildStdout::from_std(spawned.stdout.context("no stdout")?)?;
    let mut stderr = tokio::process::ChildStderr::from_std(spawned.stderr.context("no stderr")?)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))?;
    let status = spawned.child.wait().await?;
    let _ = written.await?;
    Ok(Output {
        status,
        stdout: out,
        stderr: err,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_by_its_scripts_name() {
        assert_eq!(
            class("kafka-topics").unwrap(),
            "org.apache.kafka.tools.TopicCommand"
        );
        assert_eq!(
            class("kafka-topics.sh").unwrap(),
            "org.apache.kafka.tools.TopicCommand"
        );
        assert!(
            class("kafka-nothing")
                .unwrap_err()
                .to_string()
                .contains("kafka-console-producer")
        );
    }

    #[test]
    fn the_brokers_address_is_added_once() {
        let arguments = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            with_bootstrap_server("kafka-topics", &arguments(&["--list"]), "a:1"),
            arguments(&["--bootstrap-server", "a:1", "--list"])
        );
        for named in [
            &["--bootstrap-server", "b:2"][..],
            &["--bootstrap-server=b:2"],
        ] {
            assert_eq!(
                with_bootstrap_server("kafka-topics", &arguments(named), "a:1"),
                arguments(named)
            );
        }
    }
}
