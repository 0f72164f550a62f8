//! The command line of `processor`: its commands, and what a signal does to each.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runtime::command_line::Tools;
use runtime::configuration::ConfigSettings;
use runtime::health::command::HealthSettings;
use runtime::lifecycle::{self, Failure};
use runtime::telemetry::{self, LogSettings};

use crate::backfill::{self, BackfillSettings};
use crate::check::{self, CheckSettings};
use crate::dead_letters::{self, DeadLettersSettings};
use crate::explain::{self, ExplainSettings};
use crate::redrive::{self, RedriveSettings};
use crate::service::{self, DEFAULT_PORT};
use crate::settings::RunSettings;
use crate::verify;

/// Issues vouchers for sent orders.
#[derive(Debug, Parser)]
#[command(name = "processor", version = runtime::version::version())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The configuration file, the same for every command.
    #[command(flatten)]
    pub config: ConfigSettings,
    /// Logging, the same for every command.
    #[command(flatten)]
    pub log: LogSettings,
}

/// The commands of `processor`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read order statuses from Kafka and write vouchers until stopped.
    Run(Box<RunSettings>),
    /// Evaluate a range of order statuses again. --dry-run shows the result and writes nothing.
    Backfill(Box<BackfillSettings>),
    /// Evaluate open dead letters again, from their original bytes, with the current code and rule.
    Redrive(Box<RedriveSettings>),
    /// List dead letters by reason, show one in full, or discard them.
    DeadLetters(Box<DeadLettersSettings>),
    /// Show what happened to an order, record by record, and why.
    Explain(Box<ExplainSettings>),
    /// Check dependencies and configuration. --fix creates missing topics and registers schemas.
    Check(Box<CheckSettings>),
    /// Ask the running service whether it is ready. Exit code 0: it is; 1: it is not, or does not
    /// answer, and the last line says why.
    Health(HealthSettings),
    /// Check the format of a voucher code.
    Verify {
        /// The code, such as A527-R3XF-YDHK-X2AD.
        code: String,
    },
    /// The commands about the command line itself.
    #[command(flatten)]
    Tools(Tools),
}

impl Cli {
    /// Runs the command and returns its exit code.
    pub fn run(self) -> ExitCode {
        telemetry::start(&self.log);
        match self.command {
            Command::Run(settings) => lifecycle::run(|shutdown| service::run(*settings, shutdown)),
            Command::Backfill(settings) if settings.dry_run => {
                lifecycle::run_until_interrupted(|shutdown| backfill::run(*settings, shutdown))
            }
            Command::Backfill(settings) => {
                lifecycle::run(|shutdown| backfill::run(*settings, shutdown))
            }
            Command::Redrive(settings) => {
                lifecycle::run(|shutdown| redrive::run(*settings, shutdown))
            }
            Command::DeadLetters(settings) => {
                lifecycle::run_until_interrupted(|_| dead_letters::run(*settings))
            }
            Command::Explain(settings) => {
                lifecycle::run_until_interrupted(|_| explain::run(*settings))
            }
            Command::Check(settings) => lifecycle::run_until_interrupted(|_| check::run(*settings)),
            Command::Health(settings) => {
                lifecycle::run_until_interrupted(|_| settings.run(DEFAULT_PORT))
            }
            Command::Verify { code } => verify::run(&code),
            Command::Tools(tools) => tools.run(&self.config, Self::check),
        }
    }

    /// Checks the settings of `run` beyond what the command line's parser does. Nothing is connected to.
    fn check(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(settings) => settings.prepare().map(drop),
            _ => Ok(()),
        }
    }
}
