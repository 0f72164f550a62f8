//! The command line of `producer`: its commands, and what a signal does to each.

use std::process::ExitCode;

use clap::Subcommand;
use runtime::command_line::{self, Commands, Tools};
use runtime::configuration::ConfigSettings;
use runtime::health::command::HealthSettings;
use runtime::lifecycle::{self, Failure};
use runtime::postgres::MigrateSettings;

use crate::check::{self, CheckSettings};
use crate::database;
use crate::service;
use crate::settings::{DEFAULT_PORT, DatabaseSettings, RunSettings};

/// The command line of `producer`.
pub type Cli = command_line::Cli<Command>;

/// The commands of `producer`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Accept orders over HTTP and publish their status changes to Kafka until stopped.
    Run(Box<RunSettings>),
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
    const NAME: &'static str = "producer";
    const ABOUT: &'static str =
        "Accepts orders over HTTP and publishes their status changes to Kafka";

    fn run(self, config: &ConfigSettings) -> ExitCode {
        match self {
            Self::Run(settings) => lifecycle::run(|shutdown| service::run(*settings, shutdown)),
            Self::Check(settings) => lifecycle::run_until_interrupted(|_| check::run(*settings)),
            Self::Migrate(settings) => {
                lifecycle::run_until_interrupted(|_| database::migrate(*settings))
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
