//! Wires the processor's commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use processor::backfill::BackfillSettings;
use processor::check::CheckSettings;
use processor::settings::RunSettings;
use runtime::{lifecycle, telemetry};

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
    /// Look whether all is right around it, and say what to do; --fix makes what is missing.
    Check(Box<CheckSettings>),
    /// Check the form of a voucher's code, as a person typed it.
    Verify {
        /// The code, such as A527-R3XF-YDHK-X2AD.
        code: String,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| processor::service::run(*settings, shutdown))
        }
        Command::Backfill(settings) => {
            telemetry::start(&settings.log);
            lifecycle::run(|shutdown| processor::backfill::run(*settings, shutdown))
        }
        Command::Check(settings) => {
            lifecycle::run(|shutdown| processor::check::run(*settings, shutdown))
        }
        Command::Verify { code } => processor::verify::run(&code),
    }
}
