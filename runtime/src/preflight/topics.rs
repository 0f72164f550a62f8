//! Topics: existence, configuration and replication.

use std::time::Duration;

use super::check_result::CheckResult;
use super::cluster::{BrokerFacts, Config, TopicFacts};
use crate::duration::human_duration;
use crate::plural::count;
use crate::provision::TopicPlan;

/// Returns the result for topics that do not exist; `run` refuses to start with the same sentence.
pub(super) fn missing(names: &str, servers: &str) -> CheckResult {
    CheckResult::fail(
        format!("topic {names}"),
        format!("there is no topic {names} at {servers}"),
        "run processor check --fix, which creates all topics with the required configuration",
    )
}

/// Checks the configuration of a topic against its plan.
pub(super) fn configuration(
    plan: &TopicPlan,
    servers: &str,
    topic: Option<&TopicFacts>,
) -> CheckResult {
    let Some(topic) = topic else {
        return missing(&plan.name, servers);
    };
    let subject = format!("topic {}", plan.name);
    let partitions = count(topic.partitions.len(), "partition");
    let config = match &topic.config {
        Ok(config) => config,
        Err(error) => {
            return CheckResult::warn(
                subject,
                format!("{partitions}; cannot read the configuration: {error}"),
                "allow DescribeConfigs on it, or run check as a user who may",
            );
        }
    };
    let mut lossy = Vec::new();
    let mut weak = Vec::new();
    let mut alter = Vec::new();
    let mut found = vec![partitions];
    let cleanup = Cleanup::of(config);
    for (name, wanted) in &plan.config {
        let value = config.get(*name).map_or("", String::as_str);
        let Some(flaw) = flaw(name, wanted, value, cleanup) else {
            found.push(setting_text(name, value));
            continue;
        };
        alter.push(format!("{name}={wanted}"));
        let sentence = format!("{}, {}", setting_text(name, value), flaw.why);
        if flaw.loses {
            lossy.push(sentence)
        } else {
            weak.push(sentence)
        }
    }
    let advice = format!(
        "kafka-configs --bootstrap-server {servers} --alter --entity-type topics --entity-name {} \
         --add-config {}",
        plan.name,
        alter.join(",")
    );
    if !lossy.is_empty() {
        lossy.append(&mut weak);
        return CheckResult::fail(subject, lossy.join("; "), advice);
    }
    if !weak.is_empty() {
        return CheckResult::warn(subject, weak.join("; "), advice);
    }
    CheckResult::ok(subject, found.join(", "))
}

/// A setting that differs from its plan.
struct Flaw {
    /// Whether records are lost.
    loses: bool,
    why: &'static str,
}

/// The effect of a topic's cleanup policy on its records.
#[derive(Debug, Clone, Copy)]
struct Cleanup {
    compacts: bool,
    /// Whether records are deleted by age or size. With both limits at -1, the policy `delete`
    /// deletes nothing.
    deletes: bool,
}

impl Cleanup {
    fn of(config: &Config) -> Self {
        let setting = |name: &str| config.get(name).map_or("", String::as_str);
        let policy = setting("cleanup.policy");
        // Kafka's default size limit is none, its default age limit is a week.
        let is_unlimited =
            setting("retention.ms") == "-1" && matches!(setting("retention.bytes"), "-1" | "");
        Self {
            compacts: policy.contains("compact"),
            deletes: policy.contains("delete") && !is_unlimited,
        }
    }
}

/// Returns what is wrong with a value that differs from the planned one. More than planned is fine.
fn flaw(name: &str, wanted: &str, value: &str, cleanup: Cleanup) -> Option<Flaw> {
    if value == wanted {
        return None;
    }
    let at_least = || {
        let number = |text: &str| text.parse::<i64>().ok();
        number(value) >= number(wanted)
    };
    let (loses, why) = match name {
        "cleanup.policy" if wanted == "compact" && !cleanup.deletes => return None,
        "min.compaction.lag.ms" | "delete.retention.ms" if !cleanup.compacts => return None,
        "cleanup.policy" if wanted == "compact" => (
            true,
            "so records are deleted by age, including the last record of an order",
        ),
        "cleanup.policy" => (
            true,
            "so only the last record of a key is kept, but earlier ones count as well",
        ),
        "retention.ms" | "retention.bytes" => {
            (true, "so records are deleted that must be kept forever")
        }
        _ if at_least() => return None,
        "min.compaction.lag.ms" => (
            false,
            "so a status can be compacted away before a stopped processor has read it",
        ),
        "delete.retention.ms" => (false, "so a slow replay misses that an order was deleted"),
        "max.message.bytes" => (true, "so a large record is refused"),
        _ => (false, "which differs from the plan"),
    };
    Some(Flaw { loses, why })
}

/// Returns a setting as text.
fn setting_text(name: &str, value: &str) -> String {
    match value.parse::<u64>() {
        Ok(millis) if name.ends_with(".ms") => {
            format!(
                "{name} is {}",
                human_duration(Duration::from_millis(millis))
            )
        }
        _ if value.is_empty() => format!("{name} is not set"),
        _ => format!("{name} is {value}"),
    }
}

/// Checks whether a topic can lose brokers without losing records and stays writable.
pub(super) fn replication(topic: &TopicFacts, brokers: &BrokerFacts) -> CheckResult {
    let subject = "replication";
    let fewest = |of: fn(&super::cluster::PartitionFacts) -> usize| {
        topic.partitions.iter().map(of).min().unwrap_or_default()
    };
    let (replicas, in_sync) = (fewest(|p| p.replicas), fewest(|p| p.in_sync));
    let config = topic.config.as_ref().ok();
    let setting = |name: &str| {
        config
            .and_then(|config| config.get(name))
            .map(String::as_str)
    };
    let required = setting("min.insync.replicas")
        .and_then(|value| value.parse().ok())
        .unwrap_or(1);
    let leaderless = topic.partitions.iter().filter(|p| !p.has_leader).count();
    let found = format!(
        "{}, {in_sync} in sync, min.insync.replicas is {required}",
        count(replicas, "replica")
    );
    if leaderless > 0 {
        return CheckResult::fail(
            subject,
            format!(
                "{} without a leader, which cannot be written or read",
                count(leaderless, "partition")
            ),
            "restart the brokers that hold them",
        );
    }
    if required > in_sync {
        return CheckResult::fail(
            subject,
            format!("{found}: nothing can be written"),
            if required > replicas {
                "lower min.insync.replicas, or give the topic more replicas"
            } else {
                "restart the brokers that hold the other replicas"
            },
        );
    }
    if setting("unclean.leader.election.enable") == Some("true") {
        return CheckResult::warn(
            subject,
            format!(
                "{found}, and unclean.leader.election.enable is true: acknowledged records can be lost"
            ),
            "set unclean.leader.election.enable=false",
        );
    }
    if replicas == 1 {
        return CheckResult::warn(
            subject,
            format!(
                "1 replica on a cluster of {}: a lost disk loses the topic",
                brokers.count
            ),
            "fine for development; in production use 3 replicas and min.insync.replicas=2",
        );
    }
    if required == 1 {
        return CheckResult::warn(
            subject,
            format!("{found}: a record is acknowledged when only one broker has it"),
            "set min.insync.replicas=2",
        );
    }
    if in_sync < replicas {
        return CheckResult::warn(
            subject,
            format!("{found}: a replica is behind"),
            "restart its broker",
        );
    }
    if required == replicas {
        return CheckResult::warn(
            subject,
            format!("{found}: without one broker nothing can be written"),
            "give the topic one more replica than min.insync.replicas",
        );
    }
    CheckResult::ok(subject, found)
}

/// Checks the replication of all topics, and merges equal results.
pub(super) fn together(topics: &[TopicFacts], brokers: &BrokerFacts) -> Vec<CheckResult> {
    let mut together: Vec<(CheckResult, Vec<&str>)> = Vec::new();
    for topic in topics {
        let result = replication(topic, brokers);
        match together.iter_mut().find(|(other, _)| *other == result) {
            Some((_, names)) => names.push(&topic.name),
            None => together.push((result, vec![&topic.name])),
        }
    }
    let named = together.into_iter().map(|(result, names)| CheckResult {
        finding: format!("{}: {}", names.join(", "), result.finding),
        ..result
    });
    named.collect()
}

/// Warns when one process has more tasks than there are partitions.
pub(super) fn tasks(setting: &str, tasks: u16, topic: &TopicFacts) -> Option<CheckResult> {
    let partitions = topic.partitions.len();
    (usize::from(tasks) > partitions).then(|| {
        CheckResult::warn(
            format!("tasks on {}", topic.name),
            format!(
                "{tasks} tasks share {}: some of them are idle",
                count(partitions, "partition")
            ),
            format!("set {setting} to {partitions} or less"),
        )
    })
}

/// Returns how long a topic keeps every record, which is how long a group may be stopped. `None` where
/// that is for ever, or not known.
pub(super) fn kept_uncompacted(topic: &TopicFacts) -> Option<Duration> {
    guaranteed_retention(topic.config.as_ref().ok()?)
}

/// Returns how long a topic of this configuration keeps every record; `None` where that is for ever.
pub(super) fn guaranteed_retention(config: &Config) -> Option<Duration> {
    let setting = |name: &str| config.get(name).and_then(|value| value.parse::<u64>().ok());
    let policy = config.get("cleanup.policy")?;
    let compaction = policy
        .contains("compact")
        .then(|| setting("min.compaction.lag.ms"))
        .flatten();
    // -1 means forever.
    let retention = policy
        .contains("delete")
        .then(|| setting("retention.ms"))
        .flatten();
    let shortest = [compaction, retention].into_iter().flatten().min()?;
    Some(Duration::from_millis(shortest))
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
