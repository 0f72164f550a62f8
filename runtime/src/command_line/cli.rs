//! The command line of a service: its commands, and the flags that all of them have.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::configuration::ConfigSettings;
use crate::lifecycle::Failure;
use crate::telemetry::{self, LogSettings};
use crate::version;

/// The command line of the service with these commands.
#[derive(Debug, Parser)]
#[command(name = C::NAME, about = C::ABOUT, version = version::version())]
pub struct Cli<C: Commands> {
    /// What to do.
    #[command(subcommand)]
    pub command: C,
    /// The configuration file, the same for every command.
    #[command(flatten)]
    pub config: ConfigSettings,
    /// Logging, the same for every command.
    #[command(flatten)]
    pub log: LogSettings,
}

/// The commands of a service.
pub trait Commands: Subcommand {
    /// The name of the service and of its binary.
    const NAME: &'static str;

    /// What the service does, for its help.
    const ABOUT: &'static str;

    /// Runs the command and returns its exit code.
    fn run(self, config: &ConfigSettings) -> ExitCode;

    /// Checks the settings of `run` beyond what the command line's parser does. Nothing is connected to.
    ///
    /// # Errors
    /// Exit code 2 with everything that is wrong.
    fn check(self) -> Result<(), Failure>;

    /// Returns whether the command logs. A command that runs another command line leaves logging to that
    /// one.
    fn has_log(&self) -> bool {
        true
    }
}

impl<C: Commands> Cli<C> {
    /// Runs the command and returns its exit code.
    pub fn run(self) -> ExitCode {
        if self.command.has_log() {
            telemetry::start(&self.log);
        }
        self.command.run(&self.config)
    }
}
