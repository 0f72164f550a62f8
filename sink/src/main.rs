//! Wires the sink's commands.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runtime::{command_line, lifecycle, telemetry};
use sink::backfill::BackfillSettings;
use sink::check::CheckSettings;
use sink::dead_letters::DeadLettersSettings;
use sink::redrive::RedriveSettings;
use sink::settings::RunSettings;

/// Writes vouchers into Postgres.
#[derive(Debug, Parser)]
#[command(name = "sink", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read vouchers and write rows, for ever.
    Run(Box<RunSettings>),
    /// Write the rows of a part of the vouchers, such as all into an empty database.
    Backfill(Box<BackfillSettings>),
    /// Try the open dead letters again, from their original bytes.
    Redrive(Box<RedriveSettings>),
    /// List the dead letters by reason; show one in full; discard hopeless ones.
    DeadLetters(Box<DeadLettersSettings>),
    /// Look whether all is right around it, and say what to do; --fix makes what is missing.
    Check(Box<CheckSettings>),
}

fn main() -> ExitCode {
    command_line::run(|cli: Cli| match cli.command {
        Command::Run(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| sink::service::run(*settings, shutdown))
        }
        Command::Backfill(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| sink::backfill::run(*settings, shutdown))
        }
        Command::Redrive(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| sink::redrive::run(*settings, shutdown))
        }
        Command::DeadLetters(settings) => {
            lifecycle::run_until_interrupted(|_| sink::dead_letters::run(*settings))
        }
        Command::Check(settings) => {
            lifecycle::run_until_interrupted(|_| sink::check::run(*settings))
        }
    })
}
