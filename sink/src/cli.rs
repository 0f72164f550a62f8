//! The command line of `sink`: its commands, and what a signal does to each.

use std::process::ExitCode;

use clap::Subcommand;
use runtime::command_line::{self, Commands, Tools};
use runtime::configuration::ConfigSettings;
use runtime::health::command::HealthSettings;
use runtime::lifecycle::{self, Failure};
use runtime::postgres::MigrateSettings;

use crate::backfill::{self, BackfillSettings};
use crate::check::{self, CheckSettings};
use crate::dead_letters::{self, DeadLettersSettings};
use crate::redrive::{self, RedriveSettings};
use crate::service::{self, DEFAULT_PORT};
use crate::settings::{DatabaseSettings, RunSettings};
use crate::target;

/// The command line of `sink`.
pub type Cli = command_line::Cli<Command>;

/// The commands of `sink`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read vouchers from Kafka and write rows to Postgres until stopped.
    Run(Box<RunSettings>),
    /// Write the rows of a range of vouchers, for example of all vouchers to an empty database.
    Backfill(Box<BackfillSettings>),
    /// Write the rows of open dead letters, from their original bytes.
    Redrive(Box<RedriveSettings>),
    /// List dead letters by reason, show one in full, or discard them.
    DeadLetters(Box<DeadLettersSettings>),
    /// Check dependencies and configuration. --fix creates missing topics and tables and registers
    /// schemas.
    Check(Box<CheckSettings>),
    /// Apply the missing migrations of the database, and end.
    Migrate(Box<MigrateSettings<DatabaseSettings>>),
    /// Ask the running service whether it is ready. Exit code 0: it is; 1: it is not, or does not
    /// answer, and the last line says why.
    Health(HealthSettings),
    /// The commands about the command line itself.
    #[command(flatten)]
    Tools(Tools),
}

impl Commands for Command {
    const NAME: &'static str = "sink";
    const ABOUT: &'static str = "Writes vouchers to Postgres";

    fn run(self, config: &ConfigSettings) -> ExitCode {
        match self {
            Self::Run(settings) => lifecycle::run(|shutdown| service::run(*settings, shutdown)),
            Self::Backfill(settings) => {
                lifecycle::run(|shutdown| backfill::run(*settings, shutdown))
            }
            Self::Redrive(settings) => lifecycle::run(|shutdown| redrive::run(*settings, shutdown)),
            Self::DeadLetters(settings) => {
                lifecycle::run_until_interrupted(|_| dead_letters::run(*settings))
            }
            Self::Check(settings) => lifecycle::run_until_interrupted(|_| check::run(*settings)),
            Self::Migrate(settings) => {
                lifecycle::run_until_interrupted(|_| target::run_migrate(*settings))
            }
            Self::Health(settings) => {
                lifecycle::run_until_interrupted(|_| settings.run(DEFAULT_PORT))
            }
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
