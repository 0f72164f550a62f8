//! The command line of `console`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Subcommand;
use runtime::command_line::{self, Commands, Tools};
use runtime::configuration::ConfigSettings;
use runtime::lifecycle::{self, Failure};

use crate::service;
use crate::settings::{HealthSettings, RunSettings};

/// The command line of `console`.
pub type Cli = command_line::Cli<Command>;

/// The commands of `console`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the console until stopped. Start it with the variables of the services, because the
    /// commands that its pages run inherit them.
    Run(Box<RunSettings>),
    /// Ask the running service whether it is ready. Exit code 0: it is; 1: it is not, or does not
    /// answer, and the last line says why.
    Health(HealthSettings),
    /// Run a command of the processor or the sink, as the console does for its pages.
    #[command(hide = true, subcommand, disable_help_subcommand = true)]
    Exec(Exec),
    /// The commands about the command line itself.
    #[command(flatten)]
    Tools(Tools),
}

/// The command that is run: the name of its service, then its arguments.
#[derive(Debug, Subcommand)]
pub enum Exec {
    /// Any words.
    #[command(external_subcommand)]
    Words(Vec<OsString>),
}

impl Commands for Command {
    const NAME: &'static str = "console";
    const ABOUT: &'static str =
        "Shows the flow in a browser, and runs the commands of the services from there";

    fn run(self, config: &ConfigSettings) -> ExitCode {
        match self {
            Self::Run(settings) => lifecycle::run(|shutdown| service::run(*settings, shutdown)),
            Self::Health(settings) => lifecycle::run_until_interrupted(|_| settings.run()),
            Self::Exec(Exec::Words(words)) => exec(words),
            Self::Tools(tools) => tools.run::<Self>(config),
        }
    }

    fn check(self) -> Result<(), Failure> {
        match self {
            Self::Run(settings) => settings.prepare().map(drop),
            _ => Ok(()),
        }
    }

    fn has_log(&self) -> bool {
        !matches!(self, Self::Exec(_))
    }
}

/// Runs a service's own command line in this process. So the console needs one binary only, and a page
/// runs exactly the command line that it shows.
fn exec(words: Vec<OsString>) -> ExitCode {
    let program = words.first().and_then(|word| word.to_str());
    match program {
        Some("processor") => command_line::run_with(words, processor::cli::Cli::run),
        Some("sink") => command_line::run_with(words, sink::cli::Cli::run),
        _ => lifecycle::exit(&Failure::bad_setting(
            "write the service first: console exec processor COMMAND, or console exec sink COMMAND",
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_words_of_a_command_are_passed_on_as_they_are() {
        let words = ["processor", "explain", "--json", "--", "-17"];
        let all = ["console", "exec"].iter().chain(&words);
        let cli = Cli::try_parse_from(all).unwrap();
        let Command::Exec(Exec::Words(passed)) = cli.command else {
            panic!("{:?}", cli.command);
        };
        assert_eq!(passed, words);
    }

    #[test]
    fn the_log_of_a_command_that_is_run_is_its_own() {
        let has_log = |words: &[&str]| Cli::try_parse_from(words).unwrap().command.has_log();
        assert!(!has_log(&["console", "exec", "processor", "explain", "17"]));
        assert!(has_log(&["console", "completions", "bash"]));
    }

    #[test]
    fn the_help_begins_with_what_the_service_does() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.starts_with(Command::ABOUT), "{help}");
    }

    #[test]
    fn exec_is_not_shown() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("run") && !help.contains("exec"), "{help}");
    }
}
