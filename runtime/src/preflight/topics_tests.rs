use super::super::check_result::Level;
use super::super::cluster::PartitionFacts;
use super::*;
use crate::provision::{DEAD_LETTER_ROOM, MAX_MESSAGE_BYTES, topic_plans};
use crate::settings::TopicSettings;

const SERVERS: &str = "localhost:9092";

fn plans() -> Vec<TopicPlan> {
    let topics = TopicSettings {
        order_status_topic: "order-status".to_owned(),
        vouchers_topic: "vouchers".to_owned(),
    };
    topic_plans(&topics, 12)
}

/// Returns a topic that follows its plan.
fn as_planned(plan: &TopicPlan) -> TopicFacts {
    let planned = plan.config.iter();
    let config = planned.map(|(name, value)| ((*name).to_owned(), value.clone()));
    TopicFacts {
        name: plan.name.clone(),
        partitions: vec![partition(3, 3); 12],
        config: Ok(config
            .chain([("min.insync.replicas".to_owned(), "2".to_owned())])
            .collect()),
    }
}

const fn partition(replicas: usize, in_sync: usize) -> PartitionFacts {
    PartitionFacts {
        has_leader: true,
        replicas,
        in_sync,
    }
}

fn with(mut topic: TopicFacts, name: &str, value: &str) -> TopicFacts {
    if let Ok(config) = &mut topic.config {
        config.insert(name.to_owned(), value.to_owned());
    }
    topic
}

#[test]
fn topics_as_planned_are_fine() {
    for plan in plans() {
        let result = configuration(&plan, SERVERS, Some(&as_planned(&plan)));
        assert_eq!(result.level, Level::Ok, "{result:?}");
    }
}

#[test]
fn a_missing_topic_is_named_with_its_cluster() {
    let result = configuration(&plans()[0], SERVERS, None);
    assert_eq!(result.level, Level::Fail);
    assert_eq!(
        result.finding,
        "there is no topic order-status at localhost:9092"
    );
}

#[test]
fn what_loses_records_fails_and_what_may_lose_them_is_a_warning() {
    let dead_letters = (MAX_MESSAGE_BYTES + DEAD_LETTER_ROOM - 1).to_string();
    let cases = [
        (0, "cleanup.policy", "delete", Level::Fail),
        (0, "cleanup.policy", "compact,delete", Level::Fail),
        (0, "min.compaction.lag.ms", "0", Level::Warn),
        (0, "min.compaction.lag.ms", "604800001", Level::Ok),
        (0, "delete.retention.ms", "86400000", Level::Warn),
        (0, "max.message.bytes", "1000", Level::Fail),
        (1, "cleanup.policy", "compact", Level::Fail),
        (1, "retention.ms", "604800000", Level::Fail),
        (1, "retention.bytes", "1000000", Level::Fail),
        (2, "retention.ms", "604800000", Level::Fail),
        (2, "max.message.bytes", dead_letters.as_str(), Level::Fail),
        (2, "max.message.bytes", "2000000", Level::Ok),
    ];
    for (number, name, value, level) in cases {
        let plan = &plans()[number];
        let topic = with(as_planned(plan), name, value);
        let result = configuration(plan, SERVERS, Some(&topic));
        assert_eq!(result.level, level, "{name}={value}: {result:?}");
        let advised = result.advice.as_deref().unwrap_or_default();
        assert_eq!(
            advised.contains("--add-config"),
            level != Level::Ok,
            "{advised}"
        );
        assert_eq!(advised.contains(name), level != Level::Ok, "{advised}");
    }
}

#[test]
fn a_policy_that_deletes_nothing_is_fine() {
    let plan = &plans()[0];
    let level = |policy: &str, retention: &str, lag: &str| {
        let topic = with(as_planned(plan), "cleanup.policy", policy);
        let topic = with(topic, "retention.ms", retention);
        let topic = with(topic, "min.compaction.lag.ms", lag);
        configuration(plan, SERVERS, Some(&topic)).level
    };
    assert_eq!(level("compact,delete", "-1", "604800000"), Level::Ok);
    assert_eq!(level("compact,delete", "-1", "0"), Level::Warn);
    assert_eq!(level("delete", "-1", "0"), Level::Ok);
    assert_eq!(level("delete", "604800000", "0"), Level::Fail);
}

#[test]
fn a_configuration_that_may_not_be_read_is_a_warning() {
    let plan = &plans()[0];
    let mut topic = as_planned(plan);
    topic.config = Err("TopicAuthorizationFailed".to_owned());
    let result = configuration(plan, SERVERS, Some(&topic));
    assert_eq!(result.level, Level::Warn);
    assert!(result.finding.contains("TopicAuthorizationFailed"));
}

#[test]
fn a_topic_survives_a_broker_and_stays_writable() {
    let plan = &plans()[0];
    let check = |partitions: PartitionFacts, required: &str| {
        let mut topic = with(as_planned(plan), "min.insync.replicas", required);
        topic.partitions[3] = partitions;
        let brokers = BrokerFacts {
            count: 3,
            config: Ok([].into()),
        };
        replication(&topic, &brokers)
    };
    let leaderless = PartitionFacts {
        has_leader: false,
        ..partition(3, 3)
    };
    assert_eq!(check(partition(3, 3), "2").level, Level::Ok);
    assert_eq!(check(partition(3, 2), "2").level, Level::Warn);
    assert_eq!(check(partition(3, 1), "2").level, Level::Fail);
    assert_eq!(check(partition(1, 1), "1").level, Level::Warn);
    assert_eq!(check(partition(1, 1), "2").level, Level::Fail);
    assert_eq!(check(partition(3, 3), "1").level, Level::Warn);
    assert_eq!(check(partition(3, 3), "3").level, Level::Warn);
    assert_eq!(check(leaderless, "2").level, Level::Fail);
    let unclean = with(as_planned(plan), "unclean.leader.election.enable", "true");
    let brokers = BrokerFacts {
        count: 3,
        config: Ok([].into()),
    };
    assert_eq!(replication(&unclean, &brokers).level, Level::Warn);
}

#[test]
fn more_tasks_than_partitions_are_idle() {
    let topic = as_planned(&plans()[0]);
    assert_eq!(tasks("PROCESSOR_TASKS", 12, &topic), None);
    let result = tasks("PROCESSOR_TASKS", 13, &topic).unwrap();
    assert!(
        result.sentence().contains("PROCESSOR_TASKS to 12"),
        "{result:?}"
    );
}

#[test]
fn a_topic_keeps_records_for_the_shorter_of_compaction_and_retention() {
    let kept = |config: &[(&str, &str)]| {
        let topic = TopicFacts {
            name: "t".to_owned(),
            partitions: Vec::new(),
            config: Ok(config
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect()),
        };
        kept_uncompacted(&topic).map(|kept| kept.as_millis())
    };
    let compact = ("cleanup.policy", "compact");
    let delete = ("cleanup.policy", "delete");
    let lag = ("min.compaction.lag.ms", "5");
    let retention = ("retention.ms", "3");
    assert_eq!(kept(&[compact, lag, retention]), Some(5));
    assert_eq!(kept(&[delete, lag, retention]), Some(3));
    assert_eq!(
        kept(&[("cleanup.policy", "compact,delete"), lag, retention]),
        Some(3)
    );
    assert_eq!(kept(&[delete, ("retention.ms", "-1")]), None);
}

#[test]
fn topics_that_are_replicated_alike_are_named_in_one_line() {
    let brokers = BrokerFacts {
        count: 3,
        config: Ok([].into()),
    };
    let mut topics: Vec<_> = plans().iter().take(3).map(as_planned).collect();
    topics[1].partitions[0] = partition(3, 1);
    let results = together(&topics, &brokers);
    assert_eq!(results.len(), 2);
    assert!(
        results[0]
            .finding
            .starts_with("order-status, order-status.dlq: 3 replicas")
    );
    assert!(results[1].finding.starts_with("vouchers: "));
    assert_eq!(results[1].level, Level::Fail);
}
