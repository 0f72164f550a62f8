//! The configuration file, and where the value of each setting comes from.
//!
//! ```text
//! flag  >  variable  >  [service] table of the file  >  top level of the file  >  default
//! ```
//! The file is an alternative to variables: its keys are their names in lower case. What it sets is
//! added to the command line as flags before the command line is parsed, unless a flag or a variable
//! sets it already. So a setting has one parser, and the rules between settings (required, requires,
//! conflicts) hold wherever a value comes from. There is no interpolation (ADR 0049).

mod command;
mod file;
mod misspelt;
mod names;
mod schema;
mod sources;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::{ArgMatches, Args, Command};

use crate::command_line::without_empty_variables;
use crate::lifecycle::{Failure, Failures};

pub use command::{ConfigCommand, Described, ShowSettings};
pub use schema::{SCHEMA, schema};

pub(crate) use misspelt::{refuse_misspelt, warn_of_misspelt};
pub(crate) use sources::{variables_of, without_variables};

use file::{ConfigFile, Scope};
use names::Names;
use sources::{Invoked, Origin};

/// The variable that names the file.
pub const VARIABLE: &str = "CHECKOUT_CONFIG";

/// The flag that names the file, the same for every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigSettings {
    /// TOML file of settings. Its keys are the variables' names in lower case. A flag or a variable
    /// wins over the file.
    #[arg(long, env = "CHECKOUT_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// The file of this process. Commands that read settings again (the variables alone, or those of other
/// commands) read the same file.
static ACTIVE: OnceLock<ConfigFile> = OnceLock::new();

/// Returns the path of the file that this process has read, if it has read one.
pub fn active_path() -> Option<&'static Path> {
    ACTIVE.get().map(ConfigFile::path)
}

/// Returns what the file of this process says about a variable of `service`.
pub fn active_value(service: &str, variable: &str) -> Option<String> {
    let entry = ACTIVE.get()?.entry(service, variable)?;
    Some(entry.value.reveal().to_owned())
}

/// Returns a variable's value. An empty one counts as unset.
pub(crate) fn environment(variable: &str) -> Option<String> {
    let value = std::env::var_os(variable)?;
    (!value.is_empty()).then(|| value.to_string_lossy().into_owned())
}

/// Returns the name of the command that a command line runs, if its flags can be parsed.
pub(crate) fn invoked_command(command: &Command, words: &[OsString]) -> Option<String> {
    let invoked = Invoked::parse(command, words).ok()?;
    invoked.path.into_iter().next()
}

/// Returns the words of a command line, with the settings of the configuration file added as flags. The
/// words or the environment name the file. Words that cannot be parsed are returned unchanged: the parser
/// of the whole command line reports them.
///
/// # Errors
/// Exit code 2 with everything that is wrong in the file.
pub(crate) fn with_file(command: &Command, words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let Ok(invoked) = Invoked::parse(command, &words) else {
        return Ok(words);
    };
    let named = invoked.config_file(&environment);
    let Some(path) = named.filter(|_| !invoked.passes_words_on) else {
        return Ok(words);
    };
    let service = command.get_name();
    let mut failures = Failures::default();
    let names = Names::of(command);
    let Some(file) = ConfigFile::read(&path, &names, Scope::Of(service), &mut failures) else {
        return Err(failures.into());
    };
    let flags = flags_of(&invoked, service, &file, &mut failures);
    failures.into_result()?;
    // A process reads one file; only tests call this more than once.
    let _ = ACTIVE.set(file);
    Ok(sources::with_flags(words, flags))
}

/// Reads settings from variables, the file of this process and defaults, without flags.
///
/// # Errors
/// Exit code 2 for a wrong variable, or a wrong value in the file.
pub fn without_flags<T: Args>(service: &'static str) -> Result<T, Failure> {
    let command = T::augment_args(Command::new(service).no_binary_name(true));
    let matches = parse(command, Vec::new()).map_err(Failure::bad_setting)?;
    T::from_arg_matches(&matches).map_err(Failure::bad_setting)
}

/// Parses a command line of a service with the variables and the file of this process.
///
/// # Errors
/// The text that the command would print before it ends with exit code 2.
pub fn parse(command: Command, mut words: Vec<OsString>) -> Result<ArgMatches, String> {
    if let (Some(file), Ok(invoked)) = (ACTIVE.get(), Invoked::parse(&command, &words)) {
        let mut failures = Failures::default();
        let flags = flags_of(&invoked, command.get_name(), file, &mut failures);
        let checked = failures.into_result();
        checked.map_err(|failure| failure.to_string())?;
        words = sources::with_flags(words, flags);
    }
    let parsed = without_empty_variables(command).try_get_matches_from(words);
    parsed.map_err(|error| error.to_string())
}

/// Returns the settings of the file as flags. Values that a setting's parser refuses become failures.
fn flags_of(
    invoked: &Invoked<'_>,
    service: &str,
    file: &ConfigFile,
    failures: &mut Failures,
) -> Vec<OsString> {
    let settings = invoked.settings(service, Some(file), &environment);
    let from_file = settings
        .iter()
        .filter(|setting| matches!(setting.origin, Origin::File { .. }));
    let mut flags = Vec::new();
    for setting in from_file {
        match setting.check(Some(file)) {
            Ok(()) => flags.extend(setting.flag()),
            Err(failure) => failures.push(failure),
        }
    }
    flags
}
