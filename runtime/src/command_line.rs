//! Reads flags, environment variables and the configuration file, the same way for all services.
//!
//! An empty variable counts as unset, which is what `FOO=` in a Compose file means. A variable whose
//! name is nearly one of the command's variables, while that one is unset, is refused: with a
//! misspelt amount the service would issue vouchers of the default amount.

mod cli;
mod tools;

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Command, Parser, Subcommand as _};

use crate::configuration::{self, refuse_misspelt, variables_of, without_variables};
use crate::lifecycle::exit;
use crate::output;

pub use cli::{Cli, Commands};
pub use tools::Tools;

/// Parses the command line and runs `body` with it. Prints the help to standard output, and an error
/// to standard error with exit code 2.
pub fn run<C: Parser>(body: impl FnOnce(C) -> ExitCode) -> ExitCode {
    run_with(std::env::args_os(), body)
}

/// Does what [`run`] does, with these arguments. The first one is the program's name.
pub fn run_with<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    body: impl FnOnce(C) -> ExitCode,
) -> ExitCode {
    let all = C::command();
    let words: Vec<_> = arguments.into_iter().collect();
    let tool = configuration::invoked_command(&all, &words);
    if tool.is_some_and(|name| Tools::has_subcommand(&name)) {
        // These commands are about settings, or need none, so a wrong setting must not stop them.
        let matches = without_variables(all).try_get_matches_from(words);
        let cli = matches.and_then(|matches| C::from_arg_matches(&matches));
        return cli.map_or_else(|error| print_error(&error), body);
    }
    let words = match configuration::with_file(&all, words) {
        Ok(words) => words,
        Err(failure) => return exit(&failure),
    };
    let command = without_empty_variables(all.clone());
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let is_set = !value.is_empty();
        is_set.then(|| name.into_string().ok()).flatten()
    });
    let matches = command.clone().try_get_matches_from(words);
    let invoked = match &matches {
        Ok(matches) => matches.subcommand_name(),
        Err(_) => None,
    };
    let is_service = invoked == Some("run");
    let known = variables_of(&command, invoked);
    let misspelt = refuse_misspelt(&known, &environment.collect::<Vec<_>>());
    let cli = matches.and_then(|matches| C::from_arg_matches(&matches));
    match (cli, misspelt) {
        (Ok(cli), Ok(())) => {
            if is_service {
                configuration::warn_of_misspelt(&all);
            }
            body(cli)
        }
        (Err(error), Ok(())) => print_error(&error),
        (Err(error), Err(_)) if is_help(&error) => print_error(&error),
        // The variable that is missing may be the one that is misspelt.
        (_, Err(failure)) => exit(&failure),
    }
}

/// Returns the same command without the variables that are set to an empty value.
#[must_use]
pub(crate) fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(None::<&'static str>),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// Returns whether clap reports help or version, which are results.
fn is_help(error: &clap::Error) -> bool {
    !error.use_stderr()
}

fn print_error(error: &clap::Error) -> ExitCode {
    if !is_help(error) {
        // If standard error is gone there is nowhere left to report it.
        let _ = error.print();
        if let Some(path) = configuration::active_path() {
            output::eprint_line(&format!(
                "The settings of {} count too; `config show --origin` says where each value comes from.",
                path.display()
            ));
        }
        return ExitCode::from(2);
    }
    let text = error.render();
    let text = if std::io::stdout().is_terminal() {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    match output::print(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit(&failure),
    }
}
