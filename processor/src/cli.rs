//! The command line of `processor`: its commands, and what a signal does to each.

use std::process::ExitCode;

use clap::Subcommand;
use runtime::command_line::{self, Commands, Tools};
use runtime::configuration::ConfigSettings;
use runtime::health::command::HealthSettings;
use runtime::lifecycle::{self, Failure};

use crate::backfill::{self, BackfillSettings};
use crate::check::{self, CheckSettings};
use crate::dead_letters::{self, DeadLettersSettings};
use crate::explain::{self, ExplainSettings};
use crate::redrive::{self, RedriveSettings};
use crate::service::{self, DEFAULT_PORT};
use crate::settings::RunSettings;
use crate::verify;

/// The command line of `processor`.
pub type Cli = command_line::Cli<Command>;

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

impl Commands for Command {
    const NAME: &'static str = "processor";
    const ABOUT: &'static str = "Issues vouchers for sent orders";

    fn run(self, config: &ConfigSettings) -> ExitCode {
        match self {
            Self::Run(settings) => lifecycle::run(|shutdown| service::run(*settings, shutdown)),
            Self::Backfill(settings) if settings.dry_run => {
                lifecycle::run_until_interrupted(|shutdown| backfill::run(*settings, shutdown))
            }
            Self::Backfill(settings) => {
                lifecycle::run(|shutdown| backfill::run(*settings, shutdown))
            }
            Self::Redrive(settings) => lifecycle::run(|shutdown| redrive::run(*settings, shutdown)),
            Self::DeadLetters(settings) => {
                lifecycle::run_until_interrupted(|_| dead_letters::run(*settings))
            }
            Self::Explain(settings) => {
                lifecycle::run_until_interrupted(|_| explain::run(*settings))
            }
            Self::Check(settings) => lifecycle::run_until_interrupted(|_| check::run(*settings)),
            Self::Health(settings) => {
                lifecycle::run_until_interrupted(|_| settings.run(DEFAULT_PORT))
            }
            Self::Verify { code } => verify::run(&code),
            Self::Tools(tools) => tools.run::<Self>(config),
        }
    }

    fn check(self) -> Result<(), Failure> {
        match self {
            Self::Run(settings) => settings.prepare().map(drop),
            _ => Ok(()),
        }
    }
}
