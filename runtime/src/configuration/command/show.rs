//! `config show`: the value of each setting, and where it comes from.

use clap::Command;
use serde_json::{Value, json};

use super::super::file::ConfigFile;
use super::super::sources::{Origin, Setting};
use super::super::{ConfigSettings, VARIABLE, environment};
use super::{Description, ShowSettings};
use crate::lifecycle::{Failure, Failures};
use crate::output;

/// Shows the settings that are effective. What is wrong in the file is reported after that.
pub(super) fn run(
    command: &Command,
    settings: &ShowSettings,
    config: &ConfigSettings,
) -> Result<(), Failure> {
    let service = command.get_name();
    let mut failures = Failures::default();
    let description = Description::read(command, &settings.described, config, &mut failures)?;
    let file = description.file.as_ref();
    let mut shown = description.invoked.settings(service, file, &environment);
    shown.retain(|setting| setting.variable != VARIABLE && !setting.arg.is_hide_set());
    if settings.json {
        let all: Vec<_> = shown.iter().map(|setting| object(setting, file)).collect();
        output::print_line(&format!("{:#}", Value::Array(all)))?;
    } else {
        let heading = format!("# The settings of {}.\n", description.name(service));
        let lines = shown
            .iter()
            .map(|setting| line(setting, file, settings.origin));
        output::print(&(heading + &lines.collect::<String>()))?;
    }
    failures.into_result()
}

/// Returns a line of a configuration file. A value that is unset or secret is a comment.
fn line(setting: &Setting<'_>, file: Option<&ConfigFile>, with_origin: bool) -> String {
    let key = setting.key();
    let value = match &setting.value {
        None => format!("# {key} is not set"),
        Some(_) if setting.is_secret() => format!("# {key} is set, and secret"),
        // JSON's escapes are TOML's too.
        Some(value) => format!("{key} = {}", Value::from(value.as_str())),
    };
    match with_origin && setting.value.is_some() {
        true => format!("{value}  # {}\n", origin(setting, file)),
        false => format!("{value}\n"),
    }
}

fn origin(setting: &Setting<'_>, file: Option<&ConfigFile>) -> String {
    match (setting.origin, file) {
        (Origin::Flag, _) => format!("--{}", setting.arg.get_long().unwrap_or_default()),
        (Origin::Variable, _) => setting.variable.to_owned(),
        (Origin::File { line }, Some(file)) => format!("{}:{line}", file.path().display()),
        (Origin::File { line }, None) => format!("line {line}"),
        (Origin::Default, _) => "default".to_owned(),
    }
}

fn object(setting: &Setting<'_>, file: Option<&ConfigFile>) -> Value {
    let is_secret = setting.value.is_some() && setting.is_secret();
    let source = match setting.origin {
        Origin::Flag => "flag",
        Origin::Variable => "variable",
        Origin::File { .. } => "file",
        Origin::Default => "default",
    };
    let mut object = json!({
        "flag": setting.arg.get_long().map(|long| format!("--{long}")),
        "key": setting.key(),
        "origin": source,
        "secret": is_secret,
        "value": setting.value.as_ref().filter(|_| !is_secret),
        "variable": setting.variable,
    });
    if let (Origin::File { line }, Some(file)) = (setting.origin, file) {
        object["file"] = json!(file.path().display().to_string());
        object["line"] = json!(line);
    }
    object
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn shown(value: Option<&str>, origin: Origin, is_secret: bool) -> (String, Value) {
        let arg = Arg::new("url")
            .long("database-url")
            .env("DATABASE_URL")
            .hide_env_values(is_secret);
        let setting = Setting {
            arg: &arg,
            variable: "DATABASE_URL",
            value: value.map(str::to_owned),
            origin,
        };
        (line(&setting, None, true), object(&setting, None))
    }

    #[test]
    fn a_value_is_a_line_of_a_file_with_its_origin() {
        let (line, object) = shown(Some("a \"b\"\n"), Origin::Variable, false);
        assert_eq!(line, "database_url = \"a \\\"b\\\"\\n\"  # DATABASE_URL\n");
        assert_eq!(object["value"], "a \"b\"\n");
        assert_eq!(object["origin"], "variable");
        let (line, object) = shown(Some("x"), Origin::Flag, false);
        assert_eq!(line, "database_url = \"x\"  # --database-url\n");
        assert_eq!(object["flag"], "--database-url");
    }

    #[test]
    fn what_is_unset_or_secret_is_a_comment() {
        let (line, object) = shown(None, Origin::Default, true);
        assert_eq!(line, "# database_url is not set\n");
        assert_eq!(object["value"], Value::Null);
        assert_eq!(object["secret"], false);
        let (line, object) = shown(Some("postgres://u:hunter2@h/d"), Origin::Variable, true);
        assert_eq!(line, "# database_url is set, and secret  # DATABASE_URL\n");
        assert_eq!(object["secret"], true);
        assert!(!object.to_string().contains("hunter2"));
        let (line, _) = shown(Some("postgres://h/d"), Origin::Default, true);
        assert!(
            line.starts_with("database_url = \"postgres://h/d\""),
            "{line}"
        );
        let (line, _) = shown(Some("http://u:hunter2@h/"), Origin::Variable, false);
        assert!(!line.contains("hunter2"), "{line}");
    }

    #[test]
    fn a_password_that_looks_like_a_url_is_secret() {
        let arg = Arg::new("key")
            .long("voucher-signing-key")
            .env("VOUCHER_SIGNING_KEY")
            .hide_env_values(true);
        let setting = Setting {
            arg: &arg,
            variable: "VOUCHER_SIGNING_KEY",
            value: Some("hunter://2".to_owned()),
            origin: Origin::Variable,
        };
        assert!(!line(&setting, None, true).contains("hunter"));
    }
}
