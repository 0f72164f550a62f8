//! Reads the configuration file: TOML, with the variables' names in lower case as keys.
//!
//! ```toml
//! kafka_bootstrap_servers = ["kafka-1:9092", "kafka-2:9092"]   # for every service that reads it
//!
//! [processor]                                                  # for one service, over the top level
//! voucher_amount = 5.00
//! ```

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike, Value};

use super::names::{Names, SERVICES};
use crate::lifecycle::{Failure, Failures};
use crate::settings::Secret;

/// A configuration file that was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Whether users who are neither the owner nor in the file's group may read it.
    is_open_to_others: bool,
}

/// What the file says about a setting.
#[derive(Debug)]
pub(super) struct Entry {
    /// The service's table; `None` is the top level.
    table: Option<String>,
    key: String,
    /// The value as the setting's variable would have it.
    pub(super) value: Secret,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The part of the file in which errors are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// The top level, and the table of this service. The tables of other services may have settings that
    /// only a newer version knows.
    Of(&'a str),
    /// Everything.
    All,
}

impl Scope<'_> {
    fn has(self, table: Option<&str>) -> bool {
        match (self, table) {
            (Self::Of(service), Some(table)) => service == table,
            _ => true,
        }
    }
}

impl ConfigFile {
    /// Reads the file. Adds unknown keys, and values that no setting can have, to `failures`. Returns
    /// `None`, and adds a failure, when the file cannot be read or is not TOML.
    pub(super) fn read(
        path: &Path,
        names: &Names,
        scope: Scope<'_>,
        failures: &mut Failures,
    ) -> Option<Self> {
        let read = std::fs::read_to_string(path)
            .and_then(|text| Ok((text, std::fs::metadata(path)?.permissions().mode())));
        let (text, mode) = failures.keep(read.map_err(|error| {
            Failure::bad_setting(format!(
                "cannot read the configuration file {}: {error}",
                path.display()
            ))
        }))?;
        let mut file = Self {
            path: path.to_owned(),
            entries: Vec::new(),
            is_open_to_others: mode & 0o004 != 0,
        };
        file.parse(&text, names, scope, failures)?;
        Some(file)
    }

    /// Returns the path as it was named.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether every user of the machine may read the file.
    pub(super) const fn is_open_to_others(&self) -> bool {
        self.is_open_to_others
    }

    /// Returns what the file says about a variable of `service`. The service's table wins over the top
    /// level, and an empty text means that the setting is not set, like an empty variable.
    pub(super) fn entry(&self, service: &str, variable: &str) -> Option<&Entry> {
        let key = variable.to_ascii_lowercase();
        let of = |table: Option<&str>| {
            self.entries
                .iter()
                .find(|entry| entry.table.as_deref() == table && entry.key == key)
        };
        of(Some(service))
            .or_else(|| of(None))
            .filter(|entry| !entry.value.reveal().is_empty())
    }

    /// Returns a failure that names the file and the line.
    pub(super) fn failure(&self, line: usize, message: impl std::fmt::Display) -> Failure {
        Failure::bad_setting(format!("{}:{line}: {message}", self.path.display()))
    }

    fn parse(
        &mut self,
        text: &str,
        names: &Names,
        scope: Scope<'_>,
        failures: &mut Failures,
    ) -> Option<()> {
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                failures.push(self.failure(line, format!("not TOML: {}", error.message())));
                return None;
            }
        };
        for (key, item) in document.as_table().iter() {
            let line = line_of_key(text, document.as_table(), key);
            match item.as_table_like() {
                Some(table) if SERVICES.contains(&key) => {
                    for (name, item) in table.iter() {
                        let line = line_of_key(text, table, name);
                        let place = (Some(key), name, line);
                        self.add(text, place, item, names, scope, failures);
                    }
                }
                _ => self.add(text, (None, key, line), item, names, scope, failures),
            }
        }
        Some(())
    }

    fn add(
        &mut self,
        text: &str,
        (table, key, line): (Option<&str>, &str, usize),
        item: &Item,
        names: &Names,
        scope: Scope<'_>,
        failures: &mut Failures,
    ) {
        let refused = match names.refuse(table, key) {
            Some(why) => Err(why),
            None => item
                .as_value()
                .ok_or_else(|| NO_VALUE.to_owned())
                .and_then(|value| text_of(value, text))
                .map_err(|why| format!("{key}: {why}")),
        };
        match refused {
            Ok(value) => self.entries.push(Entry {
                table: table.map(str::to_owned),
                key: key.to_owned(),
                value: Secret::new(value),
                line,
            }),
            Err(why) if scope.has(table) => failures.push(self.failure(line, why)),
            Err(_) => {}
        }
    }
}

const NO_VALUE: &str = "write a text, a number, true or false, a time, or a list of them";

/// Returns a value as a variable would have it. Fractions and times are taken as they are written: money
/// never passes through a binary float.
fn text_of(value: &Value, source: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.value().clone()),
        Value::Integer(number) => Ok(number.value().to_string()),
        Value::Boolean(switch) => Ok(switch.value().to_string()),
        Value::Float(_) | Value::Datetime(_) => value
            .span()
            .and_then(|span| source.get(span))
            .map(|written| written.replace('_', ""))
            .ok_or_else(|| NO_VALUE.to_owned()),
        Value::Array(values) => {
            let texts: Result<Vec<_>, _> = values.iter().map(|value| part(value, source)).collect();
            Ok(texts?.join(","))
        }
        Value::InlineTable(_) => Err(NO_VALUE.to_owned()),
    }
}

/// Returns a part of a list, which a variable separates by commas.
fn part(value: &Value, source: &str) -> Result<String, String> {
    let text = match value {
        Value::Array(_) => return Err(NO_VALUE.to_owned()),
        value => text_of(value, source)?,
    };
    if text.contains(',') {
        return Err(
            "a text with a comma cannot be a part of a list: write the list as one text, as its variable \
             would have it"
                .to_owned(),
        );
    }
    Ok(text)
}

fn line_of_key(text: &str, table: &dyn TableLike, key: &str) -> usize {
    let span = table.key(key).and_then(toml_edit::Key::span);
    span.map_or(1, |span| line_of(text, span.start))
}

/// Returns the line of a byte, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let own = [
            "VOUCHER_AMOUNT",
            "VOUCHER_SENT_FROM",
            "HTTP_BODY_LIMIT",
            "CONSOLE_HOSTS",
        ];
        Names::with("processor", own)
    }

    fn parse(text: &str, scope: Scope<'_>) -> (Option<ConfigFile>, Vec<String>) {
        let mut failures = Failures::default();
        let mut file = ConfigFile {
            path: PathBuf::from("checkout.toml"),
            entries: Vec::new(),
            is_open_to_others: false,
        };
        let parsed = file.parse(text, &names(), scope, &mut failures);
        let said = match failures.into_result() {
            Ok(()) => Vec::new(),
            Err(failure) => failure
                .to_string()
                .split("\nerror: ")
                .map(str::to_owned)
                .collect(),
        };
        (parsed.map(|()| file), said)
    }

    fn value(text: &str, variable: &str) -> Option<String> {
        let (file, failures) = parse(text, Scope::All);
        assert_eq!(failures, Vec::<String>::new());
        let file = file.unwrap();
        let entry = file.entry("processor", variable)?;
        Some(entry.value.reveal().to_owned())
    }

    #[test]
    fn a_service_has_its_own_table_over_the_top_level() {
        let text =
            "voucher_amount = '5'\n[processor]\nvoucher_amount = '7'\n[sink]\nsink_tasks = 3\n";
        assert_eq!(value(text, "VOUCHER_AMOUNT").as_deref(), Some("7"));
        let (file, _) = parse(text, Scope::All);
        let file = file.unwrap();
        assert_eq!(file.entry("producer", "VOUCHER_AMOUNT").unwrap().line, 1);
        assert_eq!(file.entry("processor", "VOUCHER_AMOUNT").unwrap().line, 3);
        assert!(file.entry("processor", "SINK_TASKS").is_none());
        let dotted = "processor.voucher_amount = '7'";
        assert_eq!(value(dotted, "VOUCHER_AMOUNT").as_deref(), Some("7"));
    }

    #[test]
    fn values_are_as_a_variable_would_have_them() {
        for (written, expected) in [
            ("'5.00'", "5.00"),
            ("5.00", "5.00"),
            ("100_000.10", "100000.10"),
            ("5", "5"),
            ("1_000_000", "1000000"),
            ("true", "true"),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("['a', 'b']", "a,b"),
            ("'${HOME}'", "${HOME}"),
        ] {
            let text = format!("voucher_amount = {written}");
            assert_eq!(value(&text, "VOUCHER_AMOUNT").as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_empty_text_is_no_setting() {
        let text = "voucher_amount = '5'\n[processor]\nvoucher_amount = ''";
        assert_eq!(value(text, "VOUCHER_AMOUNT"), None);
    }

    #[test]
    fn every_error_names_its_line() {
        let (_, said) = parse(
            "voucher_amout = 5\nnothing_like_it = 1\nVOUCHER_AMOUNT = 5\n\
             voucher_amount = { a = 1 }\nconsole_hosts = ['a,b']\n[processer]\na = 1\n",
            Scope::All,
        );
        let expected = [
            "checkout.toml:1: unknown setting voucher_amout: write voucher_amount",
            "checkout.toml:2: unknown setting nothing_like_it",
            "checkout.toml:3: unknown setting VOUCHER_AMOUNT: write voucher_amount",
            "checkout.toml:4: voucher_amount: write a text",
            "checkout.toml:5: console_hosts: a text with a comma",
            "checkout.toml:6: unknown setting processer: write processor",
        ];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}, not {expected}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_says_where() {
        let (file, said) = parse("voucher_amount = '5'\nvoucher_amount == 1\n", Scope::All);
        assert!(file.is_none());
        assert!(
            said[0].starts_with("checkout.toml:2: not TOML: "),
            "{said:?}"
        );
    }

    #[test]
    fn the_tables_of_other_services_are_theirs() {
        let text = "[sink]\nof_a_newer_version = 1\n";
        assert!(parse(text, Scope::Of("processor")).1.is_empty());
        assert_eq!(parse(text, Scope::All).1.len(), 1);
        assert_eq!(parse(text, Scope::Of("sink")).1.len(), 1);
    }
}
