//! `KAFKA_PROPERTIES`: more librdkafka properties, without those that our promises rest on.
//!
//! | module | subject |
//! |---|---|
//! | here | reading the text, one name for each property, none of them twice |
//! | `names` | which names are one property; which can't be set, and what to do instead |
//! | `rules` | values and combinations that librdkafka takes and that would not do what they say |

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

/// Where the properties come from; both hold secrets.
pub(super) enum Source {
    /// `KAFKA_PROPERTIES`
    Variable(Secret),
    /// `KAFKA_PROPERTIES_FILE`, its content
    File(Secret),
}

impl Source {
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

/// What a user set, each property under the name that this project uses, and none of them twice.
#[derive(Debug, Default)]
pub(super) struct UserProperties(Vec<(String, Secret)>);

impl UserProperties {
    /// Reads `k=v,k=v` (a comma in a value is written `\,`), or a file of `k=v` lines with `#`
    /// comments.
    ///
    /// # Errors
    /// Exit code 2, for text that is no `k=v`, and for properties that can't be set or would not do
    /// what they say. No value is shown: it may be a password.
    pub(super) fn parse(source: &Source) -> Result<Self, Failure> {
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
                "every property is written name=value, and one has no '=' (in KAFKA_PROPERTIES, a \
                 comma within a value is written \\,)"
                    .to_owned(),
            );
        };
        let (name, value) = (name.trim(), value.trim());
        let property = canonical(name);
        if let Some(why) = why_refused(property) {
            return Err(format!("{name} can't be set here: {why}"));
        }
        if self.get(property).is_some() {
            let other = if name == property {
                String::new()
            } else {
                format!(" ({property} is another name of it)")
            };
            return Err(format!("{name} is set twice{other}: leave one out"));
        }
        if value.is_empty() {
            // Java's clients switch the check off with an empty value; leaving it out means `https`.
            if property == "ssl.endpoint.identification.algorithm" {
                return Err(format!(
                    "{name} has no value: write {name}=none to leave the broker's host name unchecked"
                ));
            }
            return Err(format!(
                "{name} has no value: write {name}=VALUE, or leave it out"
            ));
        }
        self.0.push((property.to_owned(), Secret::new(value)));
        Ok(())
    }

    /// Returns the value of a property by the name that this project uses.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(property, _)| property == name)
            .map(|(_, value)| value.reveal())
    }

    fn first(&self, is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
        self.0
            .iter()
            .map(|(property, _)| property.as_str())
            .find(|property| is_wanted(property))
    }

    /// Sets them all, in place of what is there.
    pub(super) fn on_top_of(&self, mut config: ClientConfig) -> ClientConfig {
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
