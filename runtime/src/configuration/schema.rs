//! The JSON schema of the configuration file, made from the command lines of all services.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use clap::{Arg, Command};
use serde_json::{Map, Value, json};

use super::VARIABLE;
use super::sources::variables_of;

/// The schema. `lab/end-to-end/tests/documentation` compares it with [`schema()`] of all services.
pub const SCHEMA: &str = include_str!("checkout.schema.json");

/// Returns the variables of a command and all its subcommands, each once.
pub(super) fn variables(command: &Command) -> Vec<String> {
    let mut names = variables_of(command, None);
    names.sort();
    names.dedup();
    names
}

/// Returns the schema of a file that these services read: every setting at the top level, and those of
/// a service in its table.
pub fn schema(services: &[Command]) -> String {
    let mut top = BTreeMap::new();
    let mut tables = BTreeMap::new();
    for service in services {
        let mut own = BTreeMap::new();
        add_settings(service, &mut own);
        for (key, property) in &own {
            top.entry(key.clone()).or_insert_with(|| property.clone());
        }
        let name = service.get_name();
        let about = format!("Settings of {name} alone. They win over those of the top level.");
        tables.insert(name.to_owned(), object(&about, own));
    }
    top.extend(tables);
    let mut schema = object(ABOUT, top);
    if let Some(schema) = schema.as_object_mut() {
        let dialect = json!("https://json-schema.org/draft/2020-12/schema");
        schema.insert("$schema".to_owned(), dialect);
        schema.insert("title".to_owned(), json!("checkout's configuration file"));
    }
    format!("{schema:#}\n")
}

const ABOUT: &str = "The keys are the variables' names in lower case. Keys of the top level are for every \
                     service that reads them.";

fn object(about: &str, properties: BTreeMap<String, Value>) -> Value {
    json!({
        "additionalProperties": false,
        "description": about,
        "properties": properties.into_iter().collect::<Map<_, _>>(),
        "type": "object",
    })
}

/// Adds the settings of a command and its subcommands. `run` comes first, because its help describes a
/// setting best.
fn add_settings(command: &Command, known: &mut BTreeMap<String, Value>) {
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let variable = arg.get_env().and_then(|name| name.to_str());
        if let Some(variable) = variable.filter(|name| *name != VARIABLE) {
            known
                .entry(variable.to_ascii_lowercase())
                .or_insert_with(|| property(arg));
        }
    }
    let shown = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    let (first, others): (Vec<_>, Vec<_>) = shown.partition(|below| below.get_name() == "run");
    for below in first.into_iter().chain(others) {
        add_settings(below, known);
    }
}

/// Returns the schema of a setting's value in the file.
fn property(arg: &Arg) -> Value {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let about = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut property = Map::new();
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !defaults.is_empty() {
        property.insert("default".to_owned(), json!(defaults.join(",")));
    }
    property.insert("description".to_owned(), json!(about));
    let kind = kind(arg);
    if kind == Kind::Name {
        let values = arg.get_possible_values();
        let names: Vec<_> = values.iter().map(|value| value.get_name()).collect();
        property.insert("enum".to_owned(), json!(names));
    }
    property.insert("type".to_owned(), kind.types());
    Value::Object(property)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Whole,
    /// One of several names.
    Name,
    Text,
}

impl Kind {
    fn types(self) -> Value {
        match self {
            Self::Switch => json!(["boolean", "string"]),
            Self::Whole => json!(["integer", "string"]),
            Self::Name => json!("string"),
            // A list is one text with commas.
            Self::Text => json!(["string", "number", "array"]),
        }
    }
}

fn kind(arg: &Arg) -> Kind {
    let of = arg.get_value_parser().type_id();
    let whole = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
        TypeId::of::<NonZeroU32>(),
    ];
    if of == TypeId::of::<bool>() {
        Kind::Switch
    } else if whole.iter().any(|whole| of == *whole) {
        Kind::Whole
    } else if arg.get_possible_values().is_empty() {
        Kind::Text
    } else {
        Kind::Name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::whole;

    fn service() -> Command {
        let tasks = Arg::new("tasks").long("sink-tasks").env("SINK_TASKS");
        let tasks = tasks
            .default_value("2")
            .value_parser(whole::<u16>(1..=64, "tasks"));
        let open = Arg::new("open")
            .long("open")
            .env("OPEN")
            .value_parser(clap::value_parser!(bool));
        let format = Arg::new("format")
            .long("format")
            .env("LOG_FORMAT")
            .value_parser(["text", "json"]);
        let url = Arg::new("url").long("url").env("DATABASE_URL");
        let file = Arg::new("config").long("config").env(VARIABLE);
        Command::new("sink")
            .arg(file)
            .subcommand(Command::new("check").arg(url.clone().help("Of check.")))
            .subcommand(Command::new("run").args([tasks, open, format, url.help("Of run.")]))
    }

    #[test]
    fn a_setting_has_its_type_its_default_and_its_help() {
        let schema: Value = serde_json::from_str(&schema(&[service()])).unwrap();
        let own = &schema["properties"]["sink"]["properties"];
        assert_eq!(own["sink_tasks"]["type"], json!(["integer", "string"]));
        assert_eq!(own["sink_tasks"]["default"], "2");
        assert_eq!(own["open"]["type"], json!(["boolean", "string"]));
        assert_eq!(own["log_format"]["enum"], json!(["text", "json"]));
        assert_eq!(own["database_url"]["description"], "Of run.");
        assert_eq!(schema["properties"]["sink_tasks"], own["sink_tasks"]);
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(own.get("checkout_config"), None);
    }

    #[test]
    fn the_schema_that_is_built_in_can_be_read() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["additionalProperties"], false);
    }
}
