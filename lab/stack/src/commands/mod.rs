//! The command line: `stack demo`, `stack up`, `stack tool`.

mod breaking;
mod demo;
mod running;
mod signals;
mod tool;
mod up;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use runtime::lifecycle::{self, Failure};

use crate::backends::{Options, Ports};
use crate::progress::Progress;

/// The local stack: a real Kafka, schema registry and Postgres, without Docker.
#[derive(Debug, Parser)]
#[command(name = "stack", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, place orders, and show what became of them.
    Demo(DemoArguments),
    /// Start Kafka, the schema registry and Postgres, and keep them running until Ctrl-C.
    Up(UpArguments),
    /// Run one of Kafka's own command line tools against the running stack.
    Tool(ToolArguments),
}

#[derive(Debug, Args)]
struct Shared {
    /// The folder of data and logs [default: target/stack]
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Keep the data of the last run instead of starting clean
    #[arg(long)]
    keep: bool,
    /// Use this Kafka instead of starting one
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,
    /// Use this schema registry (its Confluent-compatible API) instead of starting one
    #[arg(long, value_name = "URL")]
    schema_registry_url: Option<String>,
    /// Use this Postgres database instead of starting one
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The number of Kafka brokers; with three, everything is replicated and one may fail
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "bootstrap_servers", value_parser = clap::value_parser!(u8).range(1..=9))]
    brokers: u8,
    /// Kafka's port; with several brokers, the first one's [default: a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port_kafka: Option<u16>,
    /// The schema registry's port [default: a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port_registry: Option<u16>,
    /// Postgres's port [default: a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port_postgres: Option<u16>,
}

impl Shared {
    fn options(self) -> Options {
        Options {
            keep: self.keep,
            brokers: self.brokers,
            bootstrap_servers: self.bootstrap_servers,
            schema_registry_url: self.schema_registry_url,
            database_url: self.database_url,
            ports: Ports {
                kafka: self.port_kafka,
                registry: self.port_registry,
                postgres: self.port_postgres,
            },
            progress: Progress::auto(),
            ..Options::new(self.directory.unwrap_or_else(default_directory))
        }
    }
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// The number of orders to place over HTTP
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orders: u32,
    /// Exit after the report
    #[arg(long)]
    once: bool,
    /// Print the report as one JSON object, as the last line of stdout; everything else goes to stderr
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct UpArguments {
    /// Also build and start producer, processor, sink and console; one that ends is started again
    #[arg(long)]
    services: bool,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct ToolArguments {
    /// The tool by the name of Kafka's script: kafka-console-producer, kafka-topics, ...
    name: String,
    /// Its arguments, after `--`; --bootstrap-server is added when a stack is running
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// The folder of the running stack [default: target/stack]
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
}

/// Runs the program. Exit code 0: done; 1: failed, with the reason on stderr; 2: wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                return lifecycle::exit(failure);
            }
            let mut stderr = std::io::stderr();
            let (red, plain) = if stderr.is_terminal() {
                ("\x1b[31m", "\x1b[0m")
            } else {
                ("", "")
            };
            let _ = writeln!(stderr, "{red}error:{plain} {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Demo(arguments) => {
            let demo = demo::Demo {
                orders: arguments.orders,
                once: arguments.once,
                json: arguments.json,
            };
            runtime.block_on(demo.run(arguments.shared.options()))
        }
        Command::Up(arguments) => {
            runtime.block_on(up::run(arguments.shared.options(), arguments.services))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Tool(arguments) => {
            let directory = arguments.directory.unwrap_or_else(default_directory);
            let command = runtime.block_on(tool::command(
                &directory,
                &arguments.name,
                &arguments.arguments,
            ))?;
            drop(runtime);
            Err(replace_this_process(command))
        }
    }
}

/// Replaces this process by `command`: stdin, signals and the exit code are the tool's own.
fn replace_this_process(mut command: std::process::Command) -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    anyhow::Error::new(command.exec()).context("the tool could not be started")
}

/// Returns `target/stack` of the workspace that this program was built from, else of the current
/// folder.
fn default_directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = workspace
        .canonicalize()
        .ok()
        .filter(|root| root.join("Cargo.lock").is_file())
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default();
    root.join("target/stack")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_tools_arguments_are_passed_on_as_they_are() {
        let line = [
            "stack",
            "tool",
            "kafka-topics",
            "--",
            "--list",
            "--exclude-internal",
        ];
        let Command::Tool(tool) = Arguments::try_parse_from(line).unwrap().command else {
            panic!("not a tool");
        };
        assert_eq!(tool.name, "kafka-topics");
        assert_eq!(tool.arguments, ["--list", "--exclude-internal"]);
    }
}
