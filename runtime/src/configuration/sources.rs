//! Where the value of each setting comes from.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Arg, ArgMatches, Command, Id};

use super::VARIABLE;
use super::file::ConfigFile;
use crate::lifecycle::Failure;

/// Where a value comes from. An earlier one wins over a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Variable,
    /// A line of the configuration file.
    File {
        line: usize,
    },
    Default,
}

/// A setting of a command: a flag that has a variable.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub(super) arg: &'a Arg,
    pub(super) variable: &'a str,
    /// The value as the variable would have it; `None` when the setting is unset and has no default.
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
}

/// A command line parsed by its flags alone: without variables, without the file, and without checking
/// that required settings are there.
#[derive(Debug)]
pub(super) struct Invoked<'a> {
    /// The names of the subcommands, from the outermost to the one that is run.
    pub(super) path: Vec<String>,
    /// Whether words are passed on to another command line as they are.
    pub(super) passes_words_on: bool,
    arguments: Vec<&'a Arg>,
    matches: ArgMatches,
}

impl<'a> Invoked<'a> {
    /// Parses the flags.
    pub(super) fn parse(command: &'a Command, words: &[OsString]) -> Result<Self, clap::Error> {
        let parsed = by_flags_alone(command.clone()).try_get_matches_from(words)?;
        let (mut at, mut matches) = (command, &parsed);
        let mut path = Vec::new();
        let mut globals = Vec::new();
        let mut passes_words_on = false;
        while let Some((name, below)) = matches.subcommand() {
            let Some(next) = at.find_subcommand(name) else {
                passes_words_on = true;
                break;
            };
            globals.extend(at.get_arguments().filter(|arg| arg.is_global_set()));
            path.push(name.to_owned());
            (at, matches) = (next, below);
        }
        Ok(Self {
            path,
            passes_words_on,
            arguments: at.get_arguments().chain(globals).collect(),
            matches: matches.clone(),
        })
    }

    /// Returns the configuration file that a flag or else the environment names.
    pub(super) fn config_file(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<PathBuf> {
        let arg = self
            .arguments
            .iter()
            .find(|arg| variable_of(arg) == Some(VARIABLE))?;
        let flag = self.flag_of(arg).map(PathBuf::from);
        flag.or_else(|| environment(VARIABLE).map(PathBuf::from))
    }

    /// Returns the settings of the command, each with its value and where that comes from.
    pub(super) fn settings(
        &self,
        service: &str,
        file: Option<&ConfigFile>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<Setting<'a>> {
        let settings = self.arguments.iter().copied();
        settings
            .filter_map(|arg| variable_of(arg).map(|variable| (arg, variable)))
            .map(|(arg, variable)| {
                let (value, origin) = if let Some(value) = self.flag_of(arg) {
                    (Some(value), Origin::Flag)
                } else if let Some(value) = environment(variable) {
                    (Some(value), Origin::Variable)
                } else if let Some(entry) = file.and_then(|file| file.entry(service, variable)) {
                    let origin = Origin::File { line: entry.line };
                    (Some(entry.value.reveal().to_owned()), origin)
                } else {
                    (default_of(arg), Origin::Default)
                };
                Setting {
                    arg,
                    variable,
                    value,
                    origin,
                }
            })
            .collect()
    }

    /// Returns the value of the setting's flag.
    fn flag_of(&self, arg: &Arg) -> Option<String> {
        let id = arg.get_id().as_str();
        let is_flag = self.matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
        let words = self.matches.get_raw(id).filter(|_| is_flag)?;
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        // For a switch without a value, clap returns the value that the switch stands for.
        Some(words.join(","))
    }
}

impl Setting<'_> {
    /// Returns whether the value must not be shown: a password, a key, or a URL that may contain one.
    pub(super) fn is_secret(&self) -> bool {
        let value = self.value.as_deref().unwrap_or_default();
        let is_shown = if self.arg.is_hide_env_values_set() {
            // A password may look like a URL, so only a setting that is a URL is judged by its value.
            self.variable.ends_with("_URL") && is_plain_url(&value.to_ascii_lowercase())
        } else {
            // A URL with a password must not be shown, even where the service refuses it.
            !(value.contains("://") && value.contains('@'))
        };
        !is_shown
    }

    /// Returns the key of the configuration file.
    pub(super) fn key(&self) -> String {
        self.variable.to_ascii_lowercase()
    }

    /// Returns the flag with the value, as a word of a command line.
    pub(super) fn flag(&self) -> Option<OsString> {
        let (long, value) = (self.arg.get_long()?, self.value.as_deref()?);
        Some(format!("--{long}={value}").into())
    }

    /// Checks the value with the setting's own parser. `file` is the file that the value may come from.
    ///
    /// # Errors
    /// What to write instead, and where.
    pub(super) fn check(&self, file: Option<&ConfigFile>) -> Result<(), Failure> {
        let refused = match self.flag() {
            None => return Ok(()),
            Some(flag) => Command::new("setting")
                .no_binary_name(true)
                .disable_help_flag(true)
                .arg(alone(self.arg.clone()).conflicts_with(Resettable::<Id>::Reset))
                .try_get_matches_from([flag])
                .err(),
        };
        match (self.origin, file) {
            (Origin::File { line }, Some(file)) => {
                if self.is_secret() && file.is_open_to_others() {
                    return Err(file.failure(line, self.too_open(file)));
                }
                refused.map_or(Ok(()), |error| {
                    let message = format!("{}: {}", self.key(), sentence(&error));
                    Err(file.failure(line, message))
                })
            }
            _ => refused.map_or(Ok(()), |error| {
                let message = format!("{}: {}", self.variable, sentence(&error));
                Err(Failure::bad_setting(message))
            }),
        }
    }

    fn too_open(&self, file: &ConfigFile) -> String {
        format!(
            "{} may be secret, and every user of this machine may read the file: take that right away \
             (chmod o= {}), or set the variable {}",
            self.key(),
            file.path().display(),
            self.variable
        )
    }
}

/// Returns the words with flags added, before the words after `--`.
pub(super) fn with_flags(mut words: Vec<OsString>, flags: Vec<OsString>) -> Vec<OsString> {
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    drop(words.splice(end..end, flags));
    words
}

/// Returns the variables of a command and of its invoked subcommand, or of all its subcommands when
/// the invoked one is not known.
pub(crate) fn variables_of(command: &Command, invoked: Option<&str>) -> Vec<String> {
    let own = command.get_arguments().filter_map(variable_of);
    let mut names: Vec<String> = own.map(str::to_owned).collect();
    let subcommands = command
        .get_subcommands()
        .filter(|subcommand| invoked.is_none_or(|name| subcommand.get_name() == name));
    names.extend(subcommands.flat_map(|subcommand| variables_of(subcommand, None)));
    names
}

/// Returns the command line with all its rules, but without its variables.
pub(crate) fn without_variables(command: Command) -> Command {
    command
        .mut_args(|arg| arg.env(None::<&'static str>))
        .mut_subcommands(without_variables)
}

/// Returns the command line without its variables, and without the rules that require its settings.
fn by_flags_alone(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_env() {
            Some(_) => alone(arg),
            None => arg,
        })
        .mut_subcommands(by_flags_alone)
}

/// Returns the setting without its variable, as one that is not required and that requires no other.
fn alone(arg: Arg) -> Arg {
    arg.env(None::<&'static str>)
        .required(false)
        .requires(Resettable::<Id>::Reset)
}

/// Returns whether this is a URL, or several, without a user and without a parameter that may contain a
/// secret.
fn is_plain_url(value: &str) -> bool {
    value.contains("://")
        && !value.contains('@')
        && ["password", "token", "secret"]
            .iter()
            .all(|word| !value.contains(word))
}

fn variable_of(arg: &Arg) -> Option<&str> {
    arg.get_env().and_then(|name| name.to_str())
}

fn default_of(arg: &Arg) -> Option<String> {
    let values = arg.get_default_values();
    let texts: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    (!values.is_empty()).then(|| texts.join(","))
}

/// Returns clap's message on one line, without the usage that follows it.
pub(super) fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().take_while(|line| !line.trim().is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches, Subcommand};

    use super::super::ConfigSettings;
    use super::super::file::Scope;
    use super::super::names::Names;
    use super::*;
    use crate::lifecycle::Failures;
    use crate::settings::{Secret, whole};

    /// A command line with every kind of setting.
    #[allow(dead_code)] // the tests check how the flags are parsed, and read few of the fields
    #[derive(Debug, clap::Parser)]
    #[command(name = "sink")]
    struct Cli {
        #[command(subcommand)]
        command: Commands,
        #[command(flatten)]
        config: ConfigSettings,
    }

    #[derive(Debug, Subcommand)]
    enum Commands {
        Run(Run),
        /// Passes its words on.
        #[command(subcommand)]
        Exec(Exec),
    }

    #[allow(dead_code)]
    #[derive(Debug, Subcommand)]
    enum Exec {
        #[command(external_subcommand)]
        Words(Vec<OsString>),
    }

    #[allow(dead_code)]
    #[derive(Debug, Args)]
    struct Run {
        #[arg(long, env = "SINK_TASKS", default_value = "2", value_parser = whole::<u16>(1..=64, "tasks"))]
        sink_tasks: u16,
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: Secret,
        #[arg(long, env = "API_KEYS_FILE")]
        api_keys_file: Option<PathBuf>,
        #[arg(long, env = "API_KEY_RATE", requires = "api_keys_file")]
        api_key_rate: Option<u32>,
        #[arg(long, env = "CONSOLE_HOSTS", value_delimiter = ',')]
        console_hosts: Vec<String>,
        /// Ids that may begin with a dash.
        ids: Vec<String>,
    }

    fn command() -> Command {
        <Cli as clap::CommandFactory>::command()
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// Returns the file as every service reads it, with these rights.
    fn file(text: &str, mode: u32) -> ConfigFile {
        use std::os::unix::fs::PermissionsExt;
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("checkout-sources-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut failures = Failures::default();
        let names = Names::of(&command());
        let file = ConfigFile::read(&path, &names, Scope::All, &mut failures);
        std::fs::remove_file(&path).unwrap();
        failures.into_result().unwrap();
        file.unwrap()
    }

    /// Returns the value of `variable` and its origin.
    fn effective(
        flags: &[&str],
        environment: &[(&str, &str)],
        file: Option<&ConfigFile>,
        variable: &str,
    ) -> (Option<String>, Origin) {
        let command = command();
        let all = words(&[["sink", "run"].as_slice(), flags].concat());
        let invoked = Invoked::parse(&command, &all).unwrap();
        let environment = |name: &str| {
            let set = environment.iter().find(|(other, _)| *other == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        let mut settings = invoked.settings("sink", file, &environment).into_iter();
        let setting = settings.find(|setting| setting.variable == variable);
        let setting = setting.unwrap();
        (setting.value, setting.origin)
    }

    #[test]
    fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
        let file = file("sink_tasks = 5\n[sink]\nsink_tasks = 6\n", 0o600);
        let variable = [("SINK_TASKS", "4")];
        let of = |flags: &[&str], environment: &[(&str, &str)], file| {
            let (value, origin) = effective(flags, environment, file, "SINK_TASKS");
            (value.unwrap(), origin)
        };
        let some = Some(&file);
        let flag = &["--sink-tasks=3"];
        assert_eq!(of(flag, &variable, some), ("3".into(), Origin::Flag));
        assert_eq!(of(&[], &variable, some), ("4".into(), Origin::Variable));
        let from_file = ("6".into(), Origin::File { line: 3 });
        assert_eq!(of(&[], &[], some), from_file);
        assert_eq!(of(&[], &[], None), ("2".into(), Origin::Default));
        let unset = effective(&[], &[], None, "DATABASE_URL");
        assert_eq!(unset, (None, Origin::Default));
    }

    /// Returns the settings of `run` with what the file adds to the words.
    fn run(given: &[&str], file: &ConfigFile) -> Result<Run, String> {
        let command = command();
        let given = words(&[["sink", "run"].as_slice(), given].concat());
        let invoked = Invoked::parse(&command, &given).map_err(|error| error.to_string())?;
        let settings = invoked.settings("sink", Some(file), &|_| None);
        let mut flags = Vec::new();
        for setting in &settings {
            if matches!(setting.origin, Origin::File { .. }) {
                let checked = setting.check(Some(file));
                checked.map_err(|failure| failure.to_string())?;
                flags.extend(setting.flag());
            }
        }
        let matches = by_flags_alone(command.clone())
            .mut_subcommand("run", |run| {
                run.mut_arg("database_url", |arg| arg.required(true))
                    .mut_arg("api_key_rate", |arg| arg.requires("api_keys_file"))
            })
            .try_get_matches_from(with_flags(given, flags))
            .map_err(|error| error.to_string())?;
        match Cli::from_arg_matches(&matches).map_err(|error| error.to_string())? {
            Cli {
                command: Commands::Run(run),
                ..
            } => Ok(run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_rules_between_settings_hold_for_the_file() {
        let text = "database_url = 'postgres://u:p@h/d'\napi_key_rate = 5\n\
                    api_keys_file = '/keys'\nconsole_hosts = ['a', 'b']\n";
        let settings = run(&["--", "-17"], &file(text, 0o600)).unwrap();
        assert_eq!(settings.database_url.reveal(), "postgres://u:p@h/d");
        assert_eq!(settings.api_key_rate, Some(5));
        assert_eq!(settings.console_hosts, ["a", "b"]);
        assert_eq!(settings.ids, ["-17"]);
        assert_eq!(settings.sink_tasks, 2);
        let nothing = run(&[], &file("", 0o600)).unwrap_err();
        assert!(nothing.contains("--database-url"), "{nothing}");
        let without_keys = "database_url = 'postgres://h/d'\napi_key_rate = 5\n";
        let refused = run(&[], &file(without_keys, 0o600)).unwrap_err();
        assert!(refused.contains("--api-keys-file"), "{refused}");
    }

    #[test]
    fn a_wrong_value_names_its_line_and_says_what_to_write() {
        let refused = run(&[], &file("\nsink_tasks = 65\n", 0o600)).unwrap_err();
        assert!(refused.contains(".toml:2: sink_tasks: "), "{refused}");
        assert!(refused.contains("tasks from 1 to 64"), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }

    #[test]
    fn a_secret_in_a_file_that_everybody_may_read_is_refused() {
        let secret = "database_url = 'postgres://u:hunter2@h/d'\n";
        let refused = run(&[], &file(secret, 0o644)).unwrap_err();
        assert!(refused.contains("chmod o="), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
        assert!(run(&[], &file(secret, 0o640)).is_ok());
        // Nothing in it is secret.
        let plain = "database_url = 'postgres://h/d?sslmode=verify-full'\n";
        assert!(run(&[], &file(plain, 0o644)).is_ok());
        let parameter = "database_url = 'postgres://h/d?password=hunter2'\n";
        assert!(run(&[], &file(parameter, 0o644)).is_err());
    }

    #[test]
    fn words_for_another_command_line_are_recognized() {
        let command = command();
        let all = words(&["sink", "exec", "processor", "explain", "--config", "a"]);
        let invoked = Invoked::parse(&command, &all).unwrap();
        assert!(invoked.passes_words_on);
        assert_eq!(invoked.path, ["exec"]);
        let run = words(&["sink", "run", "--config", "a.toml"]);
        let invoked = Invoked::parse(&command, &run).unwrap();
        assert!(!invoked.passes_words_on);
        let flag = invoked.config_file(&|_| Some("b.toml".to_owned()));
        assert_eq!(flag, Some(PathBuf::from("a.toml")));
    }

    #[test]
    fn flags_are_added_before_the_words_after_two_dashes() {
        let flags = || words(&["--a=1"]);
        assert_eq!(
            with_flags(words(&["sink", "x", "--", "-1"]), flags()),
            words(&["sink", "x", "--a=1", "--", "-1"])
        );
        assert_eq!(
            with_flags(words(&["sink"]), flags()),
            words(&["sink", "--a=1"])
        );
    }
}
