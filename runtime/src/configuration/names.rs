//! The names of all settings, which are the keys of the configuration file.

use std::collections::{BTreeMap, BTreeSet};

use clap::Command;
use serde_json::Value;

use super::VARIABLE;
use super::misspelt::nearest;
use super::schema::{SCHEMA, variables};

/// The services, each of which may have a table in the file.
pub(super) const SERVICES: [&str; 4] = ["producer", "processor", "sink", "console"];

/// The keys of the top level and of each service's table. One file may serve all services, so the names
/// of the other services' settings come from the schema that a test compares with all of them.
#[derive(Debug)]
pub(super) struct Names {
    top: BTreeSet<String>,
    tables: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// Returns the names of all services, as the service of this command line knows them.
    pub(super) fn of(command: &Command) -> Self {
        let own = variables(command);
        Self::with(command.get_name(), own.iter().map(String::as_str))
    }

    /// Returns the names of the schema, and these variables of `service`.
    pub(super) fn with<'a>(service: &str, own: impl IntoIterator<Item = &'a str>) -> Self {
        // The schema can always be parsed: a test does it too.
        let schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
        let keys = |place: &Value| -> BTreeSet<String> {
            let properties = place.get("properties").and_then(Value::as_object);
            properties.map_or_else(BTreeSet::new, |keys| keys.keys().cloned().collect())
        };
        let mut names = Self {
            top: keys(&schema),
            tables: BTreeMap::new(),
        };
        for table in SERVICES {
            names.top.remove(table);
            let properties = schema.get("properties").and_then(|all| all.get(table));
            let known = properties.map_or_else(BTreeSet::new, keys);
            names.tables.insert(table.to_owned(), known);
        }
        for variable in own.into_iter().filter(|name| *name != VARIABLE) {
            let key = variable.to_ascii_lowercase();
            names.top.insert(key.clone());
            let table = names.tables.entry(service.to_owned()).or_default();
            table.insert(key);
        }
        names
    }

    /// Returns every key of the file's top level.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.top.iter().map(String::as_str)
    }

    /// Returns why a key cannot be in this place.
    pub(super) fn refuse(&self, table: Option<&str>, key: &str) -> Option<String> {
        let known = match table {
            Some(table) => self.tables.get(table)?,
            None => &self.top,
        };
        if known.contains(key) {
            return None;
        }
        let services = SERVICES.into_iter().filter(|_| table.is_none());
        let lower = key.to_ascii_lowercase();
        let meant = nearest(&lower, known.iter().map(String::as_str).chain(services));
        Some(match (meant, table) {
            (Some(meant), _) => format!("unknown setting {key}: write {meant}"),
            (None, Some(table)) if self.top.contains(key) => {
                format!("{key} is no setting of {table}: move it to the service that reads it")
            }
            (None, _) => format!(
                "unknown setting {key}: the keys are the variables' names in lower case; `config schema` \
                 lists all"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_the_settings_of_every_service() {
        let names = Names::with("processor", []);
        for (table, key) in [
            ("producer", "outbox_limit"),
            ("processor", "voucher_amount"),
            ("sink", "sink_tasks"),
            ("console", "console_http_addr"),
        ] {
            assert_eq!(names.refuse(Some(table), key), None);
            assert_eq!(names.refuse(None, key), None);
        }
    }

    #[test]
    fn a_setting_of_another_service_says_so() {
        let names = Names::with("processor", ["VOUCHER_AMOUNT"]);
        let refused = names.refuse(Some("sink"), "voucher_amount").unwrap();
        assert!(refused.contains("no setting of sink"), "{refused}");
        assert!(names.refuse(None, "checkout_config").is_some());
    }
}
