//! `KAFKA_PROPERTIES`: more librdkafka properties, except those that a guarantee of the services depends
//! on (ADR 0028).
//!
//! This file parses the text and gives each property one name.
//!
//! | module | subject |
//! |---|---|
//! | `names` | the names of each property; which properties cannot be set, and what to do instead |
//! | `rules` | values and combinations that librdkafka accepts, and that would not do what they say |

mod names;
mod rules;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub(super) use self::names::canonical;
use self::names::why_refused;
use super::settings::{HEARTBEAT_INTERVAL, SESSION_TIMEOUT};
use crate::lifecycle::Failure;
use crate::settings::Secret;

const HEARTBEAT_MILLIS: u64 = HEARTBEAT_INTERVAL.as_millis() as u64;
const SESSION_MILLIS: u64 = SESSION_TIMEOUT.as_millis() as u64;

/// The text of the properties, which may contain passwords.
pub(super) enum PropertiesSource {
    /// The value of `KAFKA_PROPERTIES`.
    Variable(Secret),
    /// The content of `KAFKA_PROPERTIES_FILE`.
    File(Secret),
}

impl PropertiesSource {
    const fn name(&self) -> &'static str {
        match self {
            Self::Variable(_) => "KAFKA_PROPERTIES",
            Self::File(_) => "KAFKA_PROPERTIES_FILE",
        }
    }

    fn pairs(&self) -> Vec<String> {
        match self {
            Self::Variable(text) => split_unescaped(text.reveal()),
            Self::File(text) => text
                .reveal()
                .trim_start_matches('\u{feff}')
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// The properties that a user set, each once and under the name that the services use.
#[derive(Debug, Default)]
pub(super) struct UserProperties(Vec<(String, Secret)>);

impl UserProperties {
    /// Parses `k=v,k=v` (a comma in a value is written `\,`), or a file of `k=v` lines with `#`
    /// comments.
    ///
    /// # Errors
    /// Exit code 2 for text that is not `k=v`, and for properties that cannot be set or would not do
    /// what they say. The message contains no value, which may be a password.
    pub(super) fn parse(source: &PropertiesSource) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::bad_setting(format!("{}: {why}", source.name()));
        let mut properties = Self::default();
        for pair in source.pairs() {
            properties.add(&pair).map_err(wrong)?;
        }
        rules::check(&properties).map_err(wrong)?;
        Ok(properties)
    }

    fn add(&mut self, pair: &str) -> Result<(), String> {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(
                "a property has no '=': write name=value (in KAFKA_PROPERTIES, write \\, for a comma \
                 within a value)"
                    .to_owned(),
            );
        };
        let (name, value) = (name.trim(), value.trim());
        let property = canonical(name);
        if let Some(why) = why_refused(property) {
            return Err(format!("{name} cannot be set here: {why}"));
        }
        if self.get(property).is_some() {
            let other = if name == property {
                String::new()
            } else {
                format!(" ({property} is another name for it)")
            };
            return Err(format!("{name} is set twice{other}: leave one out"));
        }
        if value.is_empty() {
            // An empty value switches the check off in Java's clients; leaving it out means `https`.
            if property == "ssl.endpoint.identification.algorithm" {
                return Err(format!(
                    "{name} has no value: write {name}=none to switch off the check of the broker's host name"
                ));
            }
            return Err(format!(
                "{name} has no value: write {name}=VALUE, or leave it out"
            ));
        }
        self.0.push((property.to_owned(), Secret::new(value)));
        Ok(())
    }

    /// Returns the value of a property by the name that the services use.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(property, _)| property == name)
            .map(|(_, value)| value.reveal())
    }

    /// Returns the name of the first property that is wanted.
    fn first(&self, is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
        self.0
            .iter()
            .map(|(property, _)| property.as_str())
            .find(|property| is_wanted(property))
    }

    /// Sets all properties in `config`, replacing those that it has.
    pub(super) fn apply_to(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.0 {
            config.set(name, value.reveal());
        }
        if self.get("debug").is_some() {
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        config
    }
}

fn split_unescaped(text: &str) -> Vec<String> {
    let mut pairs = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&',') => {
                characters.next();
                if let Some(last) = pairs.last_mut() {
                    last.push(',');
                }
            }
            ',' => pairs.push(String::new()),
            other => {
                if let Some(last) = pairs.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    pairs.retain(|pair| !pair.trim().is_empty());
    pairs
}

#[cfg(test)]
mod tests;
