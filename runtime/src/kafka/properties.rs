//! `KAFKA_PROPERTIES`: more librdkafka properties, without those that our promises rest on.

use crate::lifecycle::Failure;
use crate::settings::Secret;

/// Properties that are ours, each with why it can't be set from outside.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "set KAFKA_BOOTSTRAP_SERVERS"),
    ("metadata.broker.list", "set KAFKA_BOOTSTRAP_SERVERS"),
    ("group.id", "set PROCESSOR_GROUP or SINK_GROUP"),
    ("group.instance.id", "set PROCESSOR_INSTANCE_ID"),
    ("transactional.id", "set PROCESSOR_INSTANCE_ID"),
    (
        "enable.auto.commit",
        "offsets are committed only after the work is durable",
    ),
    (
        "auto.commit.interval.ms",
        "offsets are committed only after the work is durable",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed only after the work is durable",
    ),
    (
        "auto.offset.reset",
        "a client that chooses an offset would skip records or read them twice",
    ),
    ("isolation.level", "aborted records must never be read"),
    (
        "enable.idempotence",
        "a retry must not write a record twice",
    ),
    ("acks", "an acknowledged record must survive a broker"),
    (
        "request.required.acks",
        "an acknowledged record must survive a broker",
    ),
    (
        "partitioner",
        "every writer of a key must choose the same partition (murmur2_random)",
    ),
    (
        "enable.partition.eof",
        "the services need to know where a partition ends",
    ),
    (
        "group.protocol",
        "the services need the classic protocol (librdkafka 2.12, see docs/adr)",
    ),
    (
        "partition.assignment.strategy",
        "the services hand over cooperatively",
    ),
];

/// `k=v,k=v` (a comma in a value is written `\,`), or a file of `k=v` lines with `#` comments.
///
/// # Errors
/// Exit code 2, for text that is no `k=v` and for properties that are ours.
pub(super) fn parse(source: &Source) -> Result<Vec<(String, Secret)>, Failure> {
    let pairs = match source {
        Source::Variable(text) => split_unescaped(text.reveal()),
        Source::File(text) => text
            .reveal()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect(),
    };
    pairs.iter().map(|pair| parse_pair(source, pair)).collect()
}

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
}

fn parse_pair(source: &Source, pair: &str) -> Result<(String, Secret), Failure> {
    let variable = source.name();
    // The pair itself may hold a password: only its name is ever repeated.
    let Some((name, value)) = pair.split_once('=') else {
        return Err(Failure::bad_setting(format!(
            "{variable}: every property is written name=value, and one has no '='"
        )));
    };
    let name = name.trim();
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Err(Failure::bad_setting(format!(
            "{variable}: {name} can't be set here: {why}"
        )));
    }
    Ok((name.to_owned(), Secret::new(value.trim())))
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
mod tests {
    use super::*;

    fn variable(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(&Source::Variable(Secret::new(text)))
            .map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(name, value)| (name, value.reveal().to_owned()))
                    .collect()
            })
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn properties_are_pairs_and_an_escaped_comma_is_a_comma() {
        assert_eq!(
            variable(r"security.protocol=SASL_SSL, sasl.password=a=b\,c,").unwrap(),
            [
                ("security.protocol".to_owned(), "SASL_SSL".to_owned()),
                ("sasl.password".to_owned(), "a=b,c".to_owned()),
            ]
        );
    }

    #[test]
    fn what_a_promise_rests_on_is_refused_with_the_reason() {
        let message = variable("partitioner=random").unwrap_err();
        assert!(message.contains("same partition"), "{message}");
    }

    #[test]
    fn a_wrong_pair_is_refused_without_repeating_it() {
        let message = variable("hunter2").unwrap_err();
        assert!(
            message.contains("name=value") && !message.contains("hunter2"),
            "{message}"
        );
    }

    #[test]
    fn a_file_may_hold_comments() {
        let source = Source::File(Secret::new(
            "# the cluster\nssl.ca.location=/etc/ca.pem\n\n",
        ));
        assert_eq!(parse(&source).unwrap().len(), 1);
    }
}
