//! Our clients' timeouts against the brokers' bounds, and broker settings that a promise rests on.

use rdkafka::ClientConfig;

use super::check_result::CheckResult;
use super::cluster::{BrokerFacts, Config, TopicFacts};
use crate::provision::DEAD_LETTER_ROOM;
use crate::wording::count;

/// Broker settings: what they would lose, or keep from starting.
pub(super) fn brokers(facts: &BrokerFacts) -> Vec<CheckResult> {
    let subject = "brokers";
    let config = match &facts.config {
        Ok(config) => config,
        Err(error) => return vec![unreadable(error)],
    };
    let mut verdicts = Vec::new();
    if config
        .get("auto.create.topics.enable")
        .is_some_and(|value| value == "true")
    {
        verdicts.push(CheckResult::warn(
            subject,
            "auto.create.topics.enable is true: a mistyped name becomes a topic that deletes \
             records after a week",
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
            verdicts.push(CheckResult::warn(
                subject,
                format!(
                    "{name} is {replicas} on a cluster of {}: unless Kafka's own topic is there \
                     already, groups and transactions wait for ever",
                    facts.count
                ),
                format!(
                    "add brokers, or set {name}={} before the first start",
                    facts.count
                ),
            ));
        }
    }
    if verdicts.is_empty() {
        let verb = if facts.count == 1 {
            "answers"
        } else {
            "answer"
        };
        let found = format!("{} {verb}", count(facts.count, "broker"));
        verdicts.push(CheckResult::ok(subject, found));
    }
    verdicts
}

/// The pairs of timeouts of which the brokers refuse a wrong one: a consumer's session, and a
/// producer's transactions when it has any.
pub fn clients(
    facts: &BrokerFacts,
    consumer: Option<&ClientConfig>,
    producer: Option<&ClientConfig>,
) -> Vec<CheckResult> {
    let Ok(config) = &facts.config else {
        // Said once, by `brokers`.
        return Vec::new();
    };
    let ours = |client: &ClientConfig, name: &str| client.get(name)?.parse::<i64>().ok();
    let mut verdicts = Vec::new();
    if let Some(session) = consumer.and_then(|client| ours(client, "session.timeout.ms")) {
        let shortest = number(config, "group.min.session.timeout.ms").unwrap_or(6_000);
        let longest = number(config, "group.max.session.timeout.ms").unwrap_or(1_800_000);
        let found =
            format!("session.timeout.ms is {session}, the brokers allow {shortest} to {longest}");
        verdicts.push(if (shortest..=longest).contains(&session) {
            CheckResult::ok("session timeout", found)
        } else {
            CheckResult::fail(
                "session timeout",
                format!("{found}: no member can join"),
                format!(
                    "KAFKA_PROPERTIES=session.timeout.ms={}",
                    session.clamp(shortest, longest)
                ),
            )
        });
    }
    if let Some(transaction) = producer.and_then(|client| ours(client, "transaction.timeout.ms")) {
        let longest = number(config, "transaction.max.timeout.ms").unwrap_or(900_000);
        let found =
            format!("transaction.timeout.ms is {transaction}, the brokers allow up to {longest}");
        verdicts.push(if transaction <= longest {
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
    verdicts
}

/// Warns of dead letters that can't hold the largest records of their topic. Where both limits are as
/// planned a dead letter may be too large all the same: a limit is of a batch as it was compressed.
pub(super) fn dead_letters(source: &TopicFacts, dead_letters: &TopicFacts) -> Option<CheckResult> {
    let limit = |topic: &TopicFacts| number(topic.config.as_ref().ok()?, "max.message.bytes");
    let (largest, room) = (limit(source)?, limit(dead_letters)?);
    let wanted = largest.saturating_add(i64::try_from(DEAD_LETTER_ROOM).unwrap_or(i64::MAX));
    (room < wanted).then(|| {
        CheckResult::warn(
            format!("size of {}", dead_letters.name),
            format!(
                "max.message.bytes is {room}, and a record of {} may have {largest}: a dead letter \
                 that does not fit leaves out the original's value and names its place and SHA-256, \
                 so it can be redriven only while the original is in its topic",
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
        format!("their configuration can't be read: {error}"),
        "allow DescribeConfigs on the cluster, or check with a user who may",
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
        let judged = |source, dead| {
            dead_letters(&topic("orders", source), &topic("orders.dlq", dead)).map(|v| v.level)
        };
        assert_eq!(judged(Some("1000000"), Some("1065536")), None);
        assert_eq!(judged(Some("1000000"), Some("1065535")), Some(Level::Warn));
        assert_eq!(judged(Some("5242880"), Some("1114124")), Some(Level::Warn));
        assert_eq!(judged(None, Some("1114124")), None);
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
    fn a_session_lies_within_the_brokers_bounds() {
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
    fn topics_that_come_by_themselves_and_too_few_brokers_are_told() {
        let fine = facts(3, &[("auto.create.topics.enable", "false")]);
        assert_eq!(brokers(&fine)[0].level, Level::Ok);
        let open = facts(3, &[("auto.create.topics.enable", "true")]);
        assert_eq!(brokers(&open)[0].level, Level::Warn);
        let few = facts(1, &[("transaction.state.log.replication.factor", "3")]);
        let said = &brokers(&few)[0];
        assert!(said.finding.contains("transaction.state.log"), "{said:?}");
        let closed = BrokerFacts {
            count: 1,
            config: Err("not authorized".to_owned()),
        };
        assert!(brokers(&closed)[0].finding.contains("not authorized"));
    }
}
