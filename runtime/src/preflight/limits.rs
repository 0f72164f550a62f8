//! The clients' timeouts against the limits of the brokers, and broker settings that lose records.

use rdkafka::ClientConfig;

use super::check_result::CheckResult;
use super::cluster::{BrokerFacts, Config, TopicFacts};
use crate::plural::count;
use crate::provision::DEAD_LETTER_ROOM;

/// Checks broker settings that lose records or keep the services from working.
pub(super) fn brokers(facts: &BrokerFacts) -> Vec<CheckResult> {
    let subject = "brokers";
    let config = match &facts.config {
        Ok(config) => config,
        Err(error) => return vec![unreadable(error)],
    };
    let mut results = Vec::new();
    if config
        .get("auto.create.topics.enable")
        .is_some_and(|value| value == "true")
    {
        results.push(CheckResult::warn(
            subject,
            "auto.create.topics.enable is true: a misspelt name creates a topic that deletes records \
             after a week",
            "set auto.create.topics.enable=false",
        ));
    }
    for name in [
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
    ] {
        let Some(replicas) = number(config, name) else {
            continue;
        };
        if replicas > i64::try_from(facts.count).unwrap_or(i64::MAX) {
            results.push(CheckResult::warn(
                subject,
                format!(
                    "{name} is {replicas} on a cluster of {}: unless Kafka's internal topic exists, \
                     groups and transactions wait forever",
                    facts.count
                ),
                format!(
                    "add brokers, or set {name}={} before the first start",
                    facts.count
                ),
            ));
        }
    }
    if results.is_empty() {
        let verb = if facts.count == 1 {
            "answers"
        } else {
            "answer"
        };
        let found = format!("{} {verb}", count(facts.count, "broker"));
        results.push(CheckResult::ok(subject, found));
    }
    results
}

/// Checks the timeouts that brokers refuse: a consumer's session timeout, and the transaction timeout
/// of a transactional producer.
pub(super) fn clients(
    facts: &BrokerFacts,
    consumer: Option<&ClientConfig>,
    producer: Option<&ClientConfig>,
) -> Vec<CheckResult> {
    let Ok(config) = &facts.config else {
        // `brokers` warns of this.
        return Vec::new();
    };
    let ours = |client: &ClientConfig, name: &str| client.get(name)?.parse::<i64>().ok();
    let mut results = Vec::new();
    if let Some(session) = consumer.and_then(|client| ours(client, "session.timeout.ms")) {
        let shortest = number(config, "group.min.session.timeout.ms").unwrap_or(6_000);
        let longest = number(config, "group.max.session.timeout.ms").unwrap_or(1_800_000);
        let found =
            format!("session.timeout.ms is {session}, brokers allow {shortest} to {longest}");
        results.push(if (shortest..=longest).contains(&session) {
            CheckResult::ok("session timeout", found)
        } else {
            CheckResult::fail(
                "session timeout",
                format!("{found}: no consumer can join the group"),
                format!(
                    "set KAFKA_PROPERTIES=session.timeout.ms={}",
                    session.clamp(shortest, longest)
                ),
            )
        });
    }
    if let Some(transaction) = producer.and_then(|client| ours(client, "transaction.timeout.ms")) {
        let longest = number(config, "transaction.max.timeout.ms").unwrap_or(900_000);
        let found =
            format!("transaction.timeout.ms is {transaction}, brokers allow up to {longest}");
        results.push(if transaction <= longest {
            CheckResult::ok("transaction timeout", found)
        } else {
            CheckResult::fail(
                "transaction timeout",
                format!("{found}: no transaction can begin"),
                format!(
                    "set transaction.max.timeout.ms={transaction} or more on the brokers, or \
                     KAFKA_PROPERTIES=transaction.timeout.ms={longest}"
                ),
            )
        });
    }
    results
}

/// Warns of a dead letter topic that cannot take the largest records of its source. Even with the
/// planned limits a dead letter may be too large: a limit applies to the compressed batch.
pub(super) fn dead_letters(source: &TopicFacts, dead_letters: &TopicFacts) -> Option<CheckResult> {
    let limit = |topic: &TopicFacts| number(topic.config.as_ref().ok()?, "max.message.bytes");
    let (largest, room) = (limit(source)?, limit(dead_letters)?);
    let wanted = largest.saturating_add(i64::try_from(DEAD_LETTER_ROOM).unwrap_or(i64::MAX));
    (room < wanted).then(|| {
        CheckResult::warn(
            format!("size of {}", dead_letters.name),
            format!(
                "max.message.bytes is {room}, and a record of {} may have {largest}: a dead letter \
                 that does not fit omits the original value and names its position and SHA-256, so it \
                 can be redriven only while the original is in its topic",
                source.name
            ),
            format!(
                "set max.message.bytes={wanted} or more on {}",
                dead_letters.name
            ),
        )
    })
}

fn unreadable(error: &str) -> CheckResult {
    CheckResult::warn(
        "brokers",
        format!("cannot read the configuration: {error}"),
        "allow DescribeConfigs on the cluster, or run check as a user who may",
    )
}

fn number(config: &Config, name: &str) -> Option<i64> {
    config.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;

    fn facts(count: usize, config: &[(&str, &str)]) -> BrokerFacts {
        let config = config
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        BrokerFacts {
            count,
            config: Ok(config.collect()),
        }
    }

    fn client(name: &str, value: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set(name, value);
        config
    }

    fn topic(name: &str, max_message_bytes: Option<&str>) -> TopicFacts {
        let limit = max_message_bytes.map(|max| ("max.message.bytes".to_owned(), max.to_owned()));
        TopicFacts {
            name: name.to_owned(),
            partitions: Vec::new(),
            config: Ok(limit.into_iter().collect()),
        }
    }

    #[test]
    fn a_dead_letter_topic_has_room_for_the_largest_record_and_its_headers() {
        let level = |source, dead| {
            dead_letters(&topic("orders", source), &topic("orders.dlq", dead)).map(|v| v.level)
        };
        assert_eq!(level(Some("1000000"), Some("1065536")), None);
        assert_eq!(level(Some("1000000"), Some("1065535")), Some(Level::Warn));
        assert_eq!(level(Some("5242880"), Some("1114124")), Some(Level::Warn));
        assert_eq!(level(None, Some("1114124")), None);
    }

    #[test]
    fn a_transaction_may_not_last_longer_than_the_brokers_allow() {
        let producer = client("transaction.timeout.ms", "10000");
        let level = |longest: &str| {
            let facts = facts(1, &[("transaction.max.timeout.ms", longest)]);
            clients(&facts, None, Some(&producer))[0].level
        };
        assert_eq!(level("10000"), Level::Ok);
        assert_eq!(level("9999"), Level::Fail);
    }

    #[test]
    fn a_session_timeout_is_within_the_limits_of_the_brokers() {
        let level = |session: &str| {
            let bounds = [
                ("group.min.session.timeout.ms", "6000"),
                ("group.max.session.timeout.ms", "60000"),
            ];
            let consumer = client("session.timeout.ms", session);
            clients(&facts(1, &bounds), Some(&consumer), None)[0].level
        };
        assert_eq!(level("5999"), Level::Fail);
        assert_eq!(level("6000"), Level::Ok);
        assert_eq!(level("60001"), Level::Fail);
    }

    #[test]
    fn a_producer_without_transactions_has_no_transaction_timeout() {
        let producer = ClientConfig::new();
        assert!(clients(&facts(1, &[]), None, Some(&producer)).is_empty());
    }

    #[test]
    fn automatic_topics_and_too_few_brokers_are_warnings() {
        let fine = facts(3, &[("auto.create.topics.enable", "false")]);
        assert_eq!(brokers(&fine)[0].level, Level::Ok);
        let open = facts(3, &[("auto.create.topics.enable", "true")]);
        assert_eq!(brokers(&open)[0].level, Level::Warn);
        let few = facts(1, &[("transaction.state.log.replication.factor", "3")]);
        let result = &brokers(&few)[0];
        assert!(
            result.finding.contains("transaction.state.log"),
            "{result:?}"
        );
        let closed = BrokerFacts {
            count: 1,
            config: Err("not authorized".to_owned()),
        };
        assert!(brokers(&closed)[0].finding.contains("not authorized"));
    }
}
