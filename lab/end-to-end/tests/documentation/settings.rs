//! The tables of `docs/settings.md` and the schema of the configuration file are generated from the help of
//! the commands.

use anyhow::Result;
use clap::{Arg, Command, CommandFactory};

use crate::generated::{compare, compare_file, escaped, row as cells};

/// A setting as the page shows it. Commands whose settings are equal share a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    variable: Option<String>,
    flag: String,
    default: String,
    meaning: String,
}

/// Rows, each with the commands that have it, in the order in which they first occur.
#[derive(Debug, Default)]
struct Table(Vec<(Row, Vec<String>)>);

impl Table {
    fn add(&mut self, row: Row, command: &str) {
        match self.0.iter_mut().find(|(other, _)| *other == row) {
            Some((_, commands)) => commands.push(command.to_owned()),
            None => self.0.push((row, vec![command.to_owned()])),
        }
    }
}

fn services() -> [Command; 4] {
    [
        producer::cli::Cli::command(),
        processor::cli::Cli::command(),
        sink::cli::Cli::command(),
        console::cli::Cli::command(),
    ]
}

/// Returns every visible command with its name (`processor dead-letters show`). The `run` commands come
/// first, because its help describes a setting best.
fn commands() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    for mut service in services() {
        // Propagates global arguments to the subcommands.
        service.build();
        let name = service.get_name().to_owned();
        below(&service, &name, &mut found);
    }
    found.sort_by_key(|(name, _)| !name.ends_with(" run"));
    found
}

fn below(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    let subcommands = command.get_subcommands();
    let shown =
        |subcommand: &&Command| !subcommand.is_hide_set() && subcommand.get_name() != "help";
    for subcommand in subcommands.filter(shown) {
        let name = format!("{name} {}", subcommand.get_name());
        found.push((name.clone(), subcommand.clone()));
        below(subcommand, &name, found);
    }
}

/// Returns the sentence of the help, and the default that it states in words.
fn meaning(arg: &Arg) -> (String, Option<String>) {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (words, default) = match words.split_once("[default: ") {
        Some((before, default)) => (
            before.trim_end().to_owned(),
            Some(
                default
                    .trim_end_matches('.')
                    .trim_end_matches(']')
                    .to_owned(),
            ),
        ),
        None => (words, None),
    };
    let values = arg.get_possible_values();
    let values: Vec<_> = values
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let mut sentence = escaped(&words);
    if !sentence.ends_with(['.', ':', ';']) {
        sentence.push('.');
    }
    if !values.is_empty() && arg.get_action().takes_values() {
        sentence = format!("{sentence} One of {}.", values.join(", "));
    }
    (sentence, default)
}

fn row(arg: &Arg) -> Row {
    let (meaning, described) = meaning(arg);
    let defaults = arg.get_default_values().iter();
    let defaults: Vec<_> = defaults
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let default = match described {
        _ if arg.is_required_set() => "required".to_owned(),
        Some(described) => escaped(&described),
        None if !arg.get_action().takes_values() => String::new(),
        None => defaults.join(" "),
    };
    let flag = match arg.get_long() {
        Some(long) => format!("`--{long}`"),
        None => format!("`{}`", arg.get_id().as_str().to_uppercase()),
    };
    let variable = arg.get_env();
    Row {
        variable: variable.map(|name| name.to_string_lossy().into_owned()),
        flag,
        default,
        meaning,
    }
}

/// Returns the arguments of a command without those that clap adds.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
}

/// Returns the commands that have a setting, in short: `producer`, `processor run, check`, or `sink (all
/// but check)`. A service alone stands for all of its commands.
fn names(having: &[String], all: &[String]) -> String {
    let mut parts = Vec::new();
    for service in ["producer", "processor", "sink", "console"] {
        let (mut having, all) = (of(service, having), of(service, all));
        let missing: Vec<_> = all.iter().filter(|name| !having.contains(name)).collect();
        // A command stands for its subcommands if they have the setting too.
        let parents = having.clone();
        having.retain(|name| {
            let parent = name.split_once(' ').map(|(parent, _)| parent);
            parent.is_none_or(|parent| !parents.contains(&parent))
        });
        parts.push(match (having.len(), missing.len()) {
            (0, _) => continue,
            (_, 0) => format!("`{service}`"),
            (2.., 1..=2) => format!("`{service}` (all but {})", join(missing.into_iter())),
            _ => format!("`{service}` {}", join(having.iter())),
        });
    }
    parts.join("; ")
}

/// Returns the commands of a service without its name.
fn of<'a>(service: &str, commands: &'a [String]) -> Vec<&'a str> {
    let named = commands
        .iter()
        .filter_map(|name| name.strip_prefix(service));
    named.map(str::trim_start).collect()
}

fn join<'a>(names: impl Iterator<Item = &'a &'a str>) -> String {
    names.copied().collect::<Vec<_>>().join(", ")
}

/// Returns the generated part of the page. A variable is listed under the first command that reads it.
fn tables() -> String {
    let mut sections: Vec<(String, Table)> = Vec::new();
    let mut flags = Table::default();
    let (mut readers, mut all) = (Vec::new(), Vec::new());
    for (name, command) in commands() {
        // `health` reads only the address of a running service. If it were counted, nearly every other
        // setting would have to list it as an exception.
        let is_counted = !name.ends_with(" health");
        if is_counted {
            all.push(name.clone());
        }
        for arg in arguments(&command) {
            let row = row(arg);
            if row.variable.is_none() {
                flags.add(row, &name);
                continue;
            }
            if is_counted && !arg.is_global_set() && !readers.contains(&name) {
                readers.push(name.clone());
            }
            let heading = arg.get_help_heading().unwrap_or("Other");
            let known = sections.iter().position(|(_, table)| {
                let mut rows = table.0.iter();
                rows.any(|(other, _)| other.variable == row.variable)
            });
            let at = known.or_else(|| sections.iter().position(|(other, _)| other == heading));
            let at = at.unwrap_or_else(|| {
                sections.push((heading.to_owned(), Table::default()));
                sections.len() - 1
            });
            sections[at].1.add(row, &name);
        }
    }
    let mut page = String::from("## Variables\n");
    for (heading, Table(mut rows)) in sections {
        page += &format!("\n### {heading}\n\n");
        page += "| variable | flag | default | read by | meaning |\n|---|---|---|---|---|\n";
        // All rows of a variable are placed after its first row.
        let order: Vec<_> = rows.iter().map(|(row, _)| row.variable.clone()).collect();
        rows.sort_by_key(|(row, _)| order.iter().position(|name| *name == row.variable));
        for (row, commands) in rows {
            let variable = row.variable.unwrap_or_default();
            page += &cells(&[
                &format!("`{variable}`"),
                &row.flag,
                &row.default,
                &names(&commands, &readers),
                &row.meaning,
            ]);
        }
    }
    page += "\n## Flags without a variable\n\n";
    page += "| flag | default | commands | meaning |\n|---|---|---|---|\n";
    let Table(mut rows) = flags;
    rows.sort_by(|(one, _), (other, _)| one.flag.cmp(&other.flag));
    for (row, commands) in rows {
        page += &cells(&[
            &row.flag,
            &row.default,
            &names(&commands, &all),
            &row.meaning,
        ]);
    }
    page
}

#[test]
fn the_schema_of_the_configuration_file_has_the_settings_of_all_services() -> Result<()> {
    let schema = runtime::configuration::schema(&services());
    compare_file("runtime/src/configuration/checkout.schema.json", &schema)
}

/// The configuration file's settings are added to the command line as `--flag=value`.
#[test]
fn every_setting_with_a_variable_can_be_in_the_configuration_file() {
    for (name, command) in commands() {
        for arg in arguments(&command).filter(|arg| arg.get_env().is_some()) {
            let is_flag = arg.get_long().is_some() && arg.get_action().takes_values();
            assert!(is_flag, "{name}: {} takes no value", arg.get_id());
        }
    }
}

#[test]
fn the_settings_page_says_what_the_commands_say() -> Result<()> {
    compare("docs/settings.md", &tables())
}
