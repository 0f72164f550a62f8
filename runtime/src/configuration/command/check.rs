//! `config check`: all errors at once, without connecting to anything.

use clap::Parser;

use super::super::sources::{
    Origin, Setting, sentence, variables_of, with_flags, without_variables,
};
use super::super::{ConfigSettings, VARIABLE, environment, refuse_misspelt, warn_of_misspelt};
use super::{Described, Description};
use crate::lifecycle::{Failure, Failures};
use crate::output;
use crate::plural::count;

/// Checks each setting by itself, then the rules between settings, then runs the service's own `check`.
pub(super) fn run<C: Parser>(
    described: &Described,
    config: &ConfigSettings,
    check: impl FnOnce(C) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let command = C::command();
    let service = command.get_name().to_owned();
    let mut failures = Failures::default();
    let description = Description::read(&command, described, config, &mut failures)?;
    let is_readable = description.file.is_some() || failures.is_empty();
    let invoked = &description.invoked;
    let settings = invoked.settings(&service, description.file.as_ref(), &environment);

    let known = variables_of(&command, invoked.path.first().map(String::as_str));
    failures.keep(refuse_misspelt(&known, &variables_that_are_set()));
    warn_of_misspelt(&command);

    let (mut flags, mut is_complete) = (Vec::new(), is_readable);
    for setting in &settings {
        match setting.check(description.file.as_ref()) {
            // Flags are among the words already, and a default needs no flag.
            Ok(()) if matches!(setting.origin, Origin::Flag | Origin::Default) => {}
            Ok(()) => flags.extend(setting.flag()),
            Err(failure) => {
                failures.push(failure);
                // Without its value, the setting would count as missing.
                is_complete &= !setting.arg.is_required_set();
            }
        }
    }
    if is_complete {
        let words = with_flags(description.words.clone(), flags);
        let parsed = without_variables(C::command())
            .try_get_matches_from(words)
            .and_then(|matches| C::from_arg_matches(&matches))
            .map_err(|error| Failure::bad_setting(sentence(&error)));
        if let Some(parsed) = failures.keep(parsed) {
            failures.keep(check(parsed));
        }
    }
    failures.into_result()?;
    let set = settings.iter().filter(|setting| is_set(setting)).count();
    output::print_line(&format!(
        "{}: {} set, no errors",
        description.name(&service),
        count(set, "setting")
    ))
}

fn is_set(setting: &Setting<'_>) -> bool {
    setting.origin != Origin::Default && setting.variable != VARIABLE
}

fn variables_that_are_set() -> Vec<String> {
    std::env::vars_os()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, _)| name.into_string().ok())
        .collect()
}
