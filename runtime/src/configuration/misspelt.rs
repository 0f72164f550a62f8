//! Variables whose names are nearly those of settings.

use std::ffi::OsStr;

use super::VARIABLE;
use super::names::Names;
use crate::lifecycle::Failure;
use crate::output::eprint_line;

/// A name counts as misspelt when it has at most one typo (a wrong, missing, added or swapped character)
/// for this many characters of the setting's name. Kubernetes sets `DATABASE_PORT`, which is not a
/// misspelt `DATABASE_POOL`.
const CHARACTERS_PER_TYPO: usize = 8;

/// The most typos in a name of any length: `SCHEMA_REGISTRY_CERT_FILE` is not a misspelt
/// `SCHEMA_REGISTRY_KEY_FILE`.
const MAX_TYPOS: usize = 2;

/// Returns the known name that is nearest to `name`, if one is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(typos, _)| *typos <= MAX_TYPOS);
    near.min().map(|(_, known)| known)
}

/// Refuses a variable whose name is nearly that of a known one, while the known one is unset. Services
/// can share one file of variables, because no variable of one service resembles one of another service.
pub(crate) fn refuse_misspelt(known: &[String], environment: &[String]) -> Result<(), Failure> {
    match misspelt(known, environment) {
        None => Ok(()),
        Some((set, meant)) => Err(Failure::bad_setting(format!(
            "unknown environment variable {set}: write {meant}, or unset it if it belongs to another \
             program"
        ))),
    }
}

/// Returns the first variable that [`refuse_misspelt`] refuses, and the one that was meant.
fn misspelt<'a>(known: &'a [String], environment: &'a [String]) -> Option<(&'a str, &'a str)> {
    let is_unset = |name: &str| !environment.iter().any(|set| set == name);
    let mut unknown = environment.iter().filter(|set| !known.contains(set));
    unknown.find_map(|set| {
        let near = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(set, name), name))
            .filter(|(typos, name)| *typos <= MAX_TYPOS.min(name.len() / CHARACTERS_PER_TYPO))
            .filter(|(_, name)| is_unset(name));
        near.min().map(|(_, meant)| (set.as_str(), meant.as_str()))
    })
}

/// Warns on standard error of variables that [`refuse_misspelt`] accepts although they resemble settings.
pub(crate) fn warn_of_misspelt(command: &clap::Command) {
    let names = Names::of(command);
    // Kubernetes sets variables with `tcp:` URLs for each of its services. No setting has such a value.
    let is_ours = |value: &OsStr| !value.is_empty() && !value.to_string_lossy().starts_with("tcp:");
    let environment: Vec<_> = std::env::vars_os()
        .filter(|(_, value)| is_ours(value))
        .filter_map(|(name, _)| name.into_string().ok())
        .collect();
    for (set, meant) in suspicious(&names, &environment) {
        eprint_line(&format!(
            "warning: the environment variable {set} is unknown and ignored; the nearest setting is {meant}"
        ));
    }
}

/// Returns the variables that are not settings, but begin with the first word of a setting and differ
/// from one by two typos at most, each with the nearest setting.
fn suspicious<'a>(names: &Names, environment: &'a [String]) -> Vec<(&'a str, String)> {
    let known: Vec<String> = names.all().map(str::to_ascii_uppercase).collect();
    let prefixes: Vec<_> = known.iter().map(|name| first_word(name)).collect();
    let ours = environment
        .iter()
        .filter(|set| prefixes.contains(&first_word(set)))
        .filter(|set| !known.contains(set) && *set != VARIABLE);
    ours.filter_map(|set| {
        let near = nearest(set, known.iter().map(String::as_str))?;
        Some((set.as_str(), near.to_owned()))
    })
    .collect()
}

/// Returns what a name begins with: `DATABASE` of `DATABASE_URL`.
fn first_word(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::super::sources::variables_of;
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
        let known = variables_of(&command(), invoked);
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

    #[test]
    fn what_is_accepted_and_looks_like_a_setting_is_warned_of() {
        let names = Names::of(&command());
        let warned = |set: &str| {
            let environment = [set.to_owned()];
            let found = suspicious(&names, &environment);
            found.first().map(|(_, meant)| meant.clone())
        };
        for (set, meant) in [
            ("VOUCHER_AMOUT", "VOUCHER_AMOUNT"),
            ("DATABASE_POLS", "DATABASE_POOL"),
            ("SINK_TAKS", "SINK_TASKS"),
        ] {
            assert_eq!(warned(set).as_deref(), Some(meant));
        }
        for other in [
            "VOUCHER_AMOUNT",
            "SINK_TASKS",
            "CHECKOUT_CONFIG",
            "KAFKA_PORT",
            "HTTP_PROXY",
            "SERVICE_AMOUNT",
            "PATH",
        ] {
            assert_eq!(warned(other), None, "{other}");
        }
    }
}
