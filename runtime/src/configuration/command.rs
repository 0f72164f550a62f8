//! `config check`, `config show` and `config schema`. None of them connects to anything.

mod check;
mod show;

use std::ffi::OsString;

use clap::{Args, Command, Parser, Subcommand};

use super::file::{ConfigFile, Scope};
use super::names::Names;
use super::sources::Invoked;
use super::{ConfigSettings, SCHEMA, environment};
use crate::lifecycle::{Failure, Failures};
use crate::output;

/// What `config` does.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Check all settings, and report everything that is wrong with them at once.
    Check(Described),
    /// Show the settings as a configuration file. Secrets are not shown.
    Show(ShowSettings),
    /// Print the JSON schema of the configuration file.
    Schema,
}

/// The command line whose settings are checked or shown.
#[derive(Debug, Clone, Args)]
pub struct Described {
    /// The command whose settings are checked or shown, and its flags, all after -- [default: run].
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

/// What `config show` reads from its flags.
#[derive(Debug, Clone, Args)]
pub struct ShowSettings {
    /// Show where each value comes from: a flag, a variable, a line of the file, or the default.
    #[arg(long)]
    pub origin: bool,

    /// Print JSON, always with origins.
    #[arg(long)]
    pub json: bool,

    /// The command line whose settings are shown.
    #[command(flatten)]
    pub described: Described,
}

impl ConfigCommand {
    /// Runs the command for the command line `C` of a service. `check` checks the parsed command line
    /// beyond what its parser does, without connecting to anything.
    ///
    /// # Errors
    /// Exit code 2 for wrong settings, with all that is wrong.
    pub fn run<C: Parser>(
        self,
        config: &ConfigSettings,
        check: impl FnOnce(C) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Check(described) => check::run(&described, config, check),
            Self::Show(settings) => show::run(&C::command(), &settings, config),
            Self::Schema => output::print(SCHEMA),
        }
    }
}

/// The words of a command line, what its flags say, and the configuration file.
struct Description<'a> {
    invoked: Invoked<'a>,
    words: Vec<OsString>,
    /// `None` without a file, and when it cannot be read.
    file: Option<ConfigFile>,
}

impl<'a> Description<'a> {
    /// Parses the flags of the described command line, and reads the file. What is wrong in the file is
    /// added to `failures`.
    ///
    /// # Errors
    /// Exit code 2 for flags that cannot be parsed.
    fn read(
        command: &'a Command,
        described: &Described,
        config: &ConfigSettings,
        failures: &mut Failures,
    ) -> Result<Self, Failure> {
        let mut words = vec![OsString::from(command.get_name())];
        words.extend(described.command.iter().cloned());
        if described.command.is_empty() {
            words.push("run".into());
        }
        let invoked = Invoked::parse(command, &words)
            .map_err(|error| Failure::bad_setting(super::sources::sentence(&error)))?;
        // A --config flag of the described command wins over the one of this command.
        let path = invoked
            .config_file(&|_| None)
            .or_else(|| config.config.clone())
            .or_else(|| invoked.config_file(&environment));
        let names = Names::of(command);
        let file = path.and_then(|path| ConfigFile::read(&path, &names, Scope::All, failures));
        Ok(Self {
            invoked,
            words,
            file,
        })
    }

    /// Returns the words for a person: `processor run`.
    fn name(&self, service: &str) -> String {
        let path = self.invoked.path.iter().map(String::as_str);
        std::iter::once(service)
            .chain(path)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
