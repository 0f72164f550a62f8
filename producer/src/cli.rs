//! The command line of `producer`: its commands, and what a signal does to each.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runtime::command_line::Tools;
use runtime::configuration::ConfigSettings;
use runtime::health::command::HealthSettings;
use runtime::lifecycle::{self, Failure};
use runtime::telemetry::{self, LogSettings};

use crate::check::{self, CheckSettings};
use crate::migrate::{self, MigrateSettings};
use crate::service;
use crate::settings::{DEFAULT_PORT, RunSettings};

/// Accepts orders over HTTP and publishes their status changes to Kafka.
#[derive(Debug, Parser)]
#[command(name = "producer", version = runtime::version::version())]
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

/// The commands of `producer`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Accept orders over HTTP and publish their status changes to Kafka until stopped.
    Run(Box<RunSettings>),
    /// Check dependencies and configuration. --fix creates missing topics and tables and registers
    /// schemas.
    Check(Box<CheckSettings>),
    /// Apply the missing migrations of the database, and end.
    Migrate(Box<MigrateSettings>),
    /// Ask the running service whether it is ready. Exit code 0: it is; 1: it is not, or does not
    /// answer, and the last line says why.
    Health(HealthSettings),
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
            Command::Check(settings) => lifecycle::run_until_interrupted(|_| check::run(*settings)),
            Command::Migrate(settings) => {
                lifecycle::run_until_interrupted(|_| migrate::run(*settings))
            }
            Command::Health(settings) => {
                lifecycle::run_until_interrupted(|_| settings.run(DEFAULT_PORT))
            }
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
