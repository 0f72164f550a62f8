//! Access that the brokers refuse, as sentences: which user, which operation on which resource, and the
//! command that allows it.

use std::fmt;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::KafkaSettings;
use crate::lifecycle::Failure;

/// The right to an operation on a resource, as in Kafka's access control lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right<'a> {
    operation: &'static str,
    resource: &'static str,
    name: &'a str,
}

impl<'a> Right<'a> {
    const fn new(operation: &'static str, resource: &'static str, name: &'a str) -> Self {
        Self {
            operation,
            resource,
            name,
        }
    }

    /// Returns the right to see that a topic exists, its partitions and its offsets.
    pub const fn describe_topic(name: &'a str) -> Self {
        Self::new("Describe", "topic", name)
    }

    /// Returns the right to read a topic's records.
    pub const fn read_topic(name: &'a str) -> Self {
        Self::new("Read", "topic", name)
    }

    /// Returns the right to see a group's members and offsets.
    pub const fn describe_group(name: &'a str) -> Self {
        Self::new("Describe", "group", name)
    }

    /// Returns the resource, such as `topic vouchers`.
    pub(crate) fn resource_in_words(self) -> String {
        format!("{} {}", self.resource, self.name)
    }

    /// Returns the right to commit a group's offsets.
    pub const fn read_group(name: &'a str) -> Self {
        Self::new("Read", "group", name)
    }
}

/// Returns whether the brokers refuse access. A retry is refused too, until somebody grants the access.
pub fn is_refusal(error: &KafkaError) -> bool {
    error
        .rdkafka_error_code()
        .is_some_and(|code| advice(code).is_some())
}

/// Returns the committed offsets of the client's group.
///
/// While this user may not see the group, the client keeps asking for its coordinator until `timeout`,
/// and reports the refusal only as an event. That event becomes the error here.
///
/// # Errors
/// The refusal, or the client's error.
pub fn committed_offsets(
    client: &BaseConsumer,
    partitions: TopicPartitionList,
    timeout: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let answer = client.committed_offsets(partitions, timeout);
    if answer.is_err() {
        while let Some(event) = client.poll(Duration::ZERO) {
            if let Err(error) = event
                && is_refusal(&error)
            {
                return Err(error);
            }
        }
    }
    answer
}

/// Returns the error's message, and for a refusal what to allow.
pub(in crate::kafka) fn explained(error: &KafkaError) -> String {
    match error.rdkafka_error_code().and_then(advice) {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

const fn advice(code: RDKafkaErrorCode) -> Option<&'static str> {
    Some(match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            "allow this user Write and Describe on the topics that it writes, Read and Describe on \
             those that it reads"
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => "allow this user Read on the group",
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            "allow this user Write and Describe on the transactional id"
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "allow this user IdempotentWrite on the cluster, or Write on a topic"
        }
        _ => return None,
    })
}

impl KafkaSettings {
    /// Returns the failure of a command that lacks a right. A retry would not help.
    pub fn refusal(&self, right: Right<'_>) -> Failure {
        Failure::failed(self.refusal_in_words(right))
    }

    /// Returns the refusal and the advice as one sentence.
    pub(in crate::kafka) fn refusal_in_words(&self, right: Right<'_>) -> String {
        let (what, advice) = self.refusal_and_advice(right);
        format!("{what}; {advice}")
    }

    /// Returns what is refused, and the command that allows it.
    pub(crate) fn refusal_and_advice(&self, right: Right<'_>) -> (String, String) {
        let Right {
            operation,
            resource,
            name,
        } = right;
        let (servers, principal) = (&self.kafka_bootstrap_servers, self.principal());
        let what = format!(
            "Kafka at {servers} does not allow {principal} to {} {resource} {name}",
            operation.to_lowercase(),
        );
        let advice = format!(
            "allow it with kafka-acls --bootstrap-server {servers} --add --allow-principal {} \
             --{resource} {name} --operation {operation}",
            principal.name(),
        );
        (what, advice)
    }

    /// Returns the name that the brokers know this user by, as far as the settings contain it.
    fn principal(&self) -> Principal {
        let Ok(config) = self.observer() else {
            return Principal::Unknown;
        };
        let is_set = |name| config.get(name).is_some_and(|value| !value.is_empty());
        match config.get("sasl.username") {
            Some(user) if !user.is_empty() => Principal::User(user.to_owned()),
            _ if is_set("ssl.certificate.location") || is_set("ssl.keystore.location") => {
                Principal::Certificate
            }
            _ => Principal::Unknown,
        }
    }
}

/// The user, as the brokers authenticate it.
enum Principal {
    /// The name of a SASL user (PLAIN, SCRAM).
    User(String),
    /// The subject of a client certificate, unless the brokers have mapping rules.
    Certificate,
    /// Another mechanism, or none.
    Unknown,
}

impl Principal {
    /// Returns the principal as kafka-acls takes it.
    fn name(&self) -> String {
        match self {
            Self::User(user) => format!("User:{user}"),
            Self::Certificate => "User:CN=...".to_owned(),
            Self::Unknown => "User:...".to_owned(),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(_) => f.write_str(&self.name()),
            Self::Certificate => f.write_str("the user of the client certificate"),
            Self::Unknown => f.write_str("this user"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    fn words(properties: &str) -> String {
        let settings = KafkaSettings {
            kafka_bootstrap_servers: "kafka:9092".to_owned(),
            kafka_properties: Some(Secret::new(properties)),
            kafka_properties_file: None,
        };
        settings.refusal_in_words(Right::read_topic("vouchers"))
    }

    #[test]
    fn a_refusal_names_who_lacks_what_and_the_command_that_allows_it() {
        let said = words(
            "security.protocol=SASL_SSL,sasl.mechanism=PLAIN,sasl.username=sink,sasl.password=secret",
        );
        assert_eq!(
            said,
            "Kafka at kafka:9092 does not allow User:sink to read topic vouchers; allow it with \
             kafka-acls --bootstrap-server kafka:9092 --add --allow-principal User:sink --topic \
             vouchers --operation Read"
        );
        let said = words(
            "security.protocol=SSL,ssl.certificate.location=/sink.pem,ssl.key.location=/sink.key",
        );
        assert!(
            said.contains("the user of the client certificate"),
            "{said}"
        );
        assert!(words("client.rack=a").contains("this user"));
    }

    #[test]
    fn only_an_authorization_error_is_a_refusal() {
        let error = KafkaError::MetadataFetch;
        assert!(is_refusal(&error(
            RDKafkaErrorCode::TopicAuthorizationFailed
        )));
        assert!(is_refusal(&error(
            RDKafkaErrorCode::GroupAuthorizationFailed
        )));
        assert!(!is_refusal(&error(
            RDKafkaErrorCode::BrokerTransportFailure
        )));
        let group = explained(&error(RDKafkaErrorCode::GroupAuthorizationFailed));
        assert!(
            group.ends_with("allow this user Read on the group"),
            "{group}"
        );
    }
}
