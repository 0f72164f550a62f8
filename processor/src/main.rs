//! Wires the processor's commands.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use processor::backfill::BackfillSettings;
use processor::check::CheckSettings;
use processor::dead_letters::DeadLettersSettings;
use processor::explain::ExplainSettings;
use processor::redrive::RedriveSettings;
use processor::settings::RunSettings;
use runtime::{command_line, lifecycle, telemetry};

/// Turns sent orders into vouchers.
#[derive(Debug, Parser)]
#[command(name = "processor", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read order statuses and write vouchers, for ever.
    Run(Box<RunSettings>),
    /// Evaluate a part of the order statuses again, or say what that would give (--dry-run).
    Backfill(Box<BackfillSettings>),
    /// Try the open dead letters again, from their original bytes, with today's code and rule.
    Redrive(Box<RedriveSettings>),
    /// List the dead letters by reason; show one in full; discard hopeless ones.
    DeadLetters(Box<DeadLettersSettings>),
    /// Tell what became of an order, record by record, and why.
    Explain(Box<ExplainSettings>),
    /// Look whether all is right around it, and say what to do; --fix makes what is missing.
    Check(Box<CheckSettings>),
    /// Check the form of a voucher's code, as a person typed it.
    Verify {
        /// The code, such as A527-R3XF-YDHK-X2AD.
        code: String,
    },
}

fn main() -> ExitCode {
    command_line::run(|cli: Cli| match cli.command {
        Command::Run(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| processor::service::run(*settings, shutdown))
        }
        Command::Backfill(settings) => {
            telemetry::start(&settings.log);
            let dry_run = settings.dry_run;
            let run = |shutdown| processor::backfill::run(*settings, shutdown);
            if dry_run {
                lifecycle::run_until_interrupted(run)
            } else {
                lifecycle::run(run)
            }
        }
        Command::Redrive(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| processor::redrive::run(*settings, shutdown))
        }
        Command::DeadLetters(settings) => {
            lifecycle::run_until_interrupted(|_| processor::dead_letters::run(*settings))
        }
        Command::Explain(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run_until_interrupted(|_| processor::explain::run(*settings))
        }
        Command::Check(settings) => {
            lifecycle::run_until_interrupted(|_| processor::check::run(*settings))
        }
        Command::Verify { code } => processor::verify::run(&code),
    })
}
