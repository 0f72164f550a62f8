//! Fetches facts and has them judged: what the services' checks have in common.

use std::time::{SystemTime, UNIX_EPOCH};

use super::check_result::CheckResult;
use super::cluster::{BrokerFacts, Cluster, TopicFacts};
use super::{group, limits, schemas, topics};
use crate::provision::TopicPlan;
use crate::registry::Registry;
use crate::settings::dead_letters_of;

/// Brokers and topics that answered.
#[derive(Debug)]
pub struct Found {
    /// The brokers.
    pub brokers: BrokerFacts,
    /// Those of the topics that exist.
    pub topics: Vec<TopicFacts>,
}

impl Found {
    /// A topic, if it exists.
    pub fn topic(&self, name: &str) -> Option<&TopicFacts> {
        self.topics.iter().find(|topic| topic.name == name)
    }
}

/// Who reads what, and how.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// What it reads.
    pub topic: &'a str,
    /// How many tasks one process has, and the variable that says so.
    pub tasks: (&'a str, u16),
}

/// Looks at the brokers and topics. Without an answer there is nothing more to find out in Kafka.
pub async fn kafka(
    cluster: &Cluster,
    plans: &[TopicPlan],
    verdicts: &mut Vec<CheckResult>,
) -> Option<Found> {
    let brokers = match cluster.brokers().await {
        Ok(brokers) => brokers,
        Err(verdict) => {
            verdicts.push(verdict);
            return None;
        }
    };
    verdicts.extend(limits::brokers(&brokers));
    let mut found = Found {
        brokers,
        topics: Vec::new(),
    };
    for plan in plans {
        match cluster.topic(&plan.name).await {
            Ok(topic) => {
                let servers = cluster.servers();
                verdicts.push(topics::configuration(plan, servers, topic.as_ref()));
                found.topics.extend(topic);
            }
            Err(verdict) => verdicts.push(verdict),
        }
    }
    verdicts.extend(topics::together(&found.topics, &found.brokers));
    for source in &found.topics {
        let dead_letters = found.topic(&dead_letters_of(&source.name));
        verdicts.extend(dead_letters.and_then(|letters| limits::dead_letters(source, letters)));
    }
    Some(found)
}

/// Looks at a consumer group.
pub async fn reader(cluster: &Cluster, found: &Found, reader: Reader<'_>) -> Vec<CheckResult> {
    let Some(topic) = found.topic(reader.topic) else {
        return Vec::new();
    };
    let (setting, tasks) = reader.tasks;
    let mut verdicts: Vec<_> = topics::tasks(setting, tasks, topic).into_iter().collect();
    match cluster.group(reader.group, topic).await {
        Ok(facts) => {
            verdicts.push(group::lag(&facts, topic, now_millis()));
            verdicts.push(group::offsets_kept(&facts, &found.brokers));
        }
        Err(verdict) => verdicts.push(verdict),
    }
    verdicts
}

/// Looks at the registry, by each of its addresses, and at its subjects, each with our schema.
pub async fn registry<'a>(
    registry: Option<&Registry>,
    subjects: impl IntoIterator<Item = &'a (String, &'static str)>,
) -> Vec<CheckResult> {
    let Some(registry) = registry else {
        return vec![CheckResult::ok(
            "schemas",
            "SCHEMA_REGISTRY_URL is not set: JSON is written, Avro is not read",
        )];
    };
    let subjects: Vec<_> = subjects.into_iter().collect();
    let mut verdicts = Vec::new();
    if let Some((subject, schema)) = subjects.first() {
        let mut answers = Vec::new();
        for registry in registry.each() {
            let answer = registry.id_of(subject, schema).await;
            answers.push((registry.answered(), answer));
        }
        verdicts.extend(schemas::answering(&answers));
    }
    for (subject, schema) in subjects {
        let id = registry.id_of(subject, schema).await;
        let level = registry.compatibility(subject).await;
        verdicts.push(schemas::registered(subject, id, level));
    }
    verdicts
}

fn now_millis() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
