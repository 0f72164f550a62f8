//! Reads flags and environment variables, the same way for all services.
//!
//! An empty variable counts as unset, which is what `FOO=` in a Compose file means. A variable whose
//! name is nearly one of the command's variables, while that one is unset, is refused: with a
//! misspelt amount the service would issue vouchers of the default amount.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Arg, Command, Parser};

use crate::lifecycle::{Failure, exit};
use crate::output;

/// Parses the command line and runs `body` with it. Prints the help to standard output, and an error
/// to standard error with exit code 2.
pub fn run<C: Parser>(body: impl FnOnce(C) -> ExitCode) -> ExitCode {
    run_with(std::env::args_os(), body)
}

/// Like [`run`], with other arguments than those of the process. The first one is the program's name.
pub fn run_with<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    body: impl FnOnce(C) -> ExitCode,
) -> ExitCode {
    let command = without_empty_variables(C::command());
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let is_set = !value.is_empty();
        is_set.then(|| name.into_string().ok()).flatten()
    });
    let matches = command.clone().try_get_matches_from(arguments);
    let invoked = match &matches {
        Ok(matches) => matches.subcommand_name(),
        Err(_) => None,
    };
    let known = variables(&command, invoked);
    let misspelt = refuse_misspelt(&known, &environment.collect::<Vec<_>>());
    let cli = matches.and_then(|matches| C::from_arg_matches(&matches));
    match (cli, misspelt) {
        (Ok(cli), Ok(())) => body(cli),
        (Err(error), Ok(())) => print_error(&error),
        (Err(error), Err(_)) if is_help(&error) => print_error(&error),
        // The variable that is missing may be the one that is misspelt.
        (_, Err(failure)) => exit(&failure),
    }
}

/// Returns the same command without the variables that are set to an empty value.
#[must_use]
pub fn without_empty_variables(command: Command) -> Command {
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

/// A name counts as misspelt when at most one character in this many is wrong, missing, added or
/// swapped. Kubernetes sets `DATABASE_PORT`, which is not `DATABASE_POOL`.
const CHARACTERS_PER_TYPO: usize = 8;

/// Typos in a name of any length: `SCHEMA_REGISTRY_CERT_FILE` is not `SCHEMA_REGISTRY_KEY_FILE`.
const MAX_TYPOS: usize = 2;

/// Refuses a variable whose name is nearly that of a known one, while the known one is unset. A file
/// of variables that all services share passes: no name of one service resembles another's.
fn refuse_misspelt(known: &[String], environment: &[String]) -> Result<(), Failure> {
    let is_unset = |name: &str| !environment.iter().any(|set| set == name);
    for set in environment {
        if known.contains(set) {
            continue;
        }
        let meant = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(set, name), name))
            .filter(|(typos, name)| *typos <= MAX_TYPOS.min(name.len() / CHARACTERS_PER_TYPO))
            .filter(|(_, name)| is_unset(name))
            .min();
        if let Some((_, meant)) = meant {
            return Err(Failure::bad_setting(format!(
                "unknown environment variable {set}: write {meant}, or unset it if it belongs to another \
                 program"
            )));
        }
    }
    Ok(())
}

/// Returns the variables of a command and of its invoked subcommand, or of all its subcommands when
/// the invoked one is not known.
fn variables(command: &Command, invoked: Option<&str>) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let mut names: Vec<String> = own
        .filter_map(|name| name.to_str().map(str::to_owned))
        .collect();
    let subcommands = command
        .get_subcommands()
        .filter(|subcommand| invoked.is_none_or(|name| subcommand.get_name() == name));
    names.extend(subcommands.flat_map(|subcommand| variables(subcommand, None)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let arg = |name: &'static str| Arg::new(name).long(name).env(name);
        let run = ["VOUCHER_AMOUNT", "RUST_LOG", "ORDER_DEFAULT_CURRENCY"].map(arg);
        let check = ["DATABASE_URL", "DATABASE_POOL"].map(arg);
        Command::new("service")
            .subcommand(Command::new("run").args(run))
            .subcommand(Command::new("check").args(check))
    }

    fn refusal(environment: &[&str]) -> Option<String> {
        refusal_of(None, environment)
    }

    fn refusal_of(invoked: Option<&str>, environment: &[&str]) -> Option<String> {
        let known = variables(&command(), invoked);
        let environment: Vec<_> = environment.iter().map(|name| (*name).to_owned()).collect();
        let refused = refuse_misspelt(&known, &environment).err();
        refused.map(|failure| failure.to_string())
    }

    #[test]
    fn a_misspelt_variable_is_refused_with_the_one_that_was_meant() {
        for (misspelt, meant) in [
            ("VOUCHER_AMOUT", "VOUCHER_AMOUNT"),
            ("VOUCHER_AMONUT", "VOUCHER_AMOUNT"),
            ("VOUCHERS_AMOUNT", "VOUCHER_AMOUNT"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("RUST_LOGS", "RUST_LOG"),
            ("ORDERS_DEFAULT_CURENCY", "ORDER_DEFAULT_CURRENCY"),
        ] {
            let message = refusal(&["PATH", misspelt]).unwrap();
            assert!(message.contains(&format!("write {meant}")), "{message}");
        }
    }

    #[test]
    fn variables_of_other_programs_are_accepted() {
        for others in [
            &["VOUCHER_AMOUNT", "VOUCHER_AMOUT"][..],
            &["DATABASE_URL", "DATABASE_URI"],
            &[
                "VOUCHER_CURRENCY",
                "DATABASE_PORT",
                "KAFKA_PORT",
                "HTTP_PROXY",
            ],
        ] {
            assert_eq!(refusal(others), None);
        }
        // Only `check` reads DATABASE_URL.
        assert_eq!(refusal_of(Some("run"), &["DATABASE_URI"]), None);
        assert!(refusal_of(Some("check"), &["DATABASE_URI"]).is_some());
    }
}
