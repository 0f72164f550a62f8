//! Wires the producer's commands.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use producer::check::{self, CheckSettings};
use producer::service::{self, Checked};
use producer::settings::RunSettings;
use runtime::{command_line, lifecycle, telemetry};

/// Takes orders over HTTP and publishes what becomes of them.
#[derive(Debug, Parser)]
#[command(name = "producer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take orders and publish their status, for ever.
    Run(Box<RunSettings>),
    /// Look whether all is right around it, and say what to do; --fix makes what is missing.
    Check(Box<CheckSettings>),
}

fn main() -> ExitCode {
    command_line::run(|cli: Cli| match cli.command {
        Command::Run(settings) => {
            telemetry::start(&settings.log);
            match Checked::new(*settings) {
                Ok(checked) => lifecycle::run_with_delay(checked.shutdown_delay(), |shutdown| {
                    service::run(checked, shutdown)
                }),
                Err(failure) => lifecycle::exit(&failure),
            }
        }
        Command::Check(settings) => lifecycle::run_until_interrupted(|_| check::run(*settings)),
    })
}
