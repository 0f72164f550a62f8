//! One run of `check`: a service calls a method for each of its dependencies, and prints the report.

use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;

use super::check_result::{CheckResult, Report};
use super::cluster::{BrokerFacts, Cluster, TopicFacts};
use super::database::{self, DatabaseSchema};
use super::{CheckFlags, group, limits, schemas, topics};
use crate::lifecycle::Failure;
use crate::postgres::Database;
use crate::provision::{self, Subject, TopicPlan};
use crate::record::OwnedRecord;
use crate::registry::Registry;
use crate::service::SharedSettings;
use crate::settings::dead_letters_of;

/// The dependencies of a service, and what was found out about them so far.
pub struct Check {
    flags: CheckFlags,
    registry: Option<Registry>,
    cluster: Cluster,
    /// `None` until the brokers have answered.
    found: Option<Found>,
    report: Report,
}

/// Brokers and topics that answered.
struct Found {
    brokers: BrokerFacts,
    topics: Vec<TopicFacts>,
}

/// A consumer group as one service configures it.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The name of the group.
    pub name: &'a str,
    /// The topic that it reads.
    pub topic: &'a str,
    /// The tasks of one process, and the variable that sets their number.
    pub tasks: (&'a str, u16),
}

impl Check {
    /// Prepares the clients; nothing is connected yet.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub fn new(settings: &SharedSettings, flags: CheckFlags) -> Result<Self, Failure> {
        Ok(Self {
            flags,
            registry: Registry::of(&settings.registry)?,
            cluster: Cluster::new(&settings.kafka)?,
            found: None,
            report: Report::default(),
        })
    }

    /// Returns the schema registry, if one is configured.
    pub const fn registry(&self) -> Option<&Registry> {
        self.registry.as_ref()
    }

    /// Adds results of a service's own checks.
    pub fn add(&mut self, results: impl IntoIterator<Item = CheckResult>) {
        self.report.add(results);
    }

    /// Prints the report.
    ///
    /// # Errors
    /// Exit code 1 when a check failed.
    pub fn finish(self) -> Result<(), Failure> {
        self.report.finish(self.flags.json)
    }

    /// Checks the brokers and the topics. `--fix` creates missing topics first. When no broker
    /// answers, the later checks of Kafka are skipped.
    pub async fn topics(&mut self, plans: &[TopicPlan]) {
        if self.flags.fix {
            match provision::create_topics(self.cluster.settings(), plans).await {
                Ok(created) => self.made("topic", created),
                Err(failure) => self.fix_failed("topics", &failure.to_string()),
            }
        }
        let brokers = match self.cluster.brokers().await {
            Ok(brokers) => brokers,
            Err(result) => return self.add([result]),
        };
        self.add(limits::brokers(&brokers));
        let mut found = Found {
            brokers,
            topics: Vec::new(),
        };
        for plan in plans {
            match self.cluster.topic(&plan.name).await {
                Ok(topic) => {
                    let servers = &self.cluster.settings().kafka_bootstrap_servers;
                    let result = topics::configuration(plan, servers, topic.as_ref());
                    self.add([result]);
                    found.topics.extend(topic);
                }
                Err(result) => self.add([result]),
            }
        }
        self.add(topics::together(&found.topics, &found.brokers));
        for source in &found.topics {
            let dead_letters = found.topic(&dead_letters_of(&source.name));
            self.add(dead_letters.and_then(|topic| limits::dead_letters(source, topic)));
        }
        self.found = Some(found);
    }

    /// Checks the timeouts of the service's clients against the limits of the brokers.
    pub fn clients(&mut self, consumer: Option<&ClientConfig>, producer: Option<&ClientConfig>) {
        if let Some(found) = &self.found {
            let results = limits::clients(&found.brokers, consumer, producer);
            self.add(results);
        }
    }

    /// Checks a consumer group: its lag, how long its offsets are kept, and its number of tasks.
    pub async fn group(&mut self, group: Group<'_>) {
        let Some(found) = &self.found else { return };
        let Some(topic) = found.topic(group.topic) else {
            return;
        };
        let (variable, tasks) = group.tasks;
        let mut results: Vec<_> = topics::tasks(variable, tasks, topic).into_iter().collect();
        match self.cluster.group(group.name, topic).await {
            Ok(facts) => {
                results.push(group::lag(&facts, topic, now_millis()));
                results.push(group::offsets_kept(&facts, &found.brokers));
            }
            Err(result) => results.push(result),
        }
        self.add(results);
    }

    /// Checks every address of the registry, and the schemas of `subjects`. `--fix` registers
    /// missing schemas first.
    pub async fn schemas(&mut self, subjects: &[Subject]) {
        let Some(registry) = self.registry.clone() else {
            return self.add([CheckResult::ok(
                "schemas",
                "SCHEMA_REGISTRY_URL is not set: JSON is written, Avro cannot be read",
            )]);
        };
        if self.flags.fix {
            for subject in subjects {
                let is_new = registry.id_of(&subject.name, subject.schema).await.is_err();
                match provision::register_schema(&registry, &subject.name, subject.schema).await {
                    Ok(_) if is_new => self.made("schema", [&subject.name]),
                    Ok(_) => {}
                    Err(failure) => self.fix_failed("schemas", &failure.to_string()),
                }
            }
        }
        if let Some(Subject { name, schema }) = subjects.first() {
            let mut answers = Vec::new();
            for registry in registry.each() {
                let answer = registry.id_of(name, schema).await;
                answers.push((registry.answered(), answer));
            }
            self.add(schemas::answering(&answers));
        }
        for Subject { name, schema } in subjects {
            let id = registry.id_of(name, schema).await;
            let level = registry.compatibility(name).await;
            self.add([schemas::registered(name, id, level)]);
        }
    }

    /// Checks the database of a service. `--fix` applies missing migrations first.
    pub async fn database(&mut self, database: &Database, schema: &DatabaseSchema<'_>) {
        if self.flags.fix {
            match schema.migrations.apply(database).await {
                Ok(applied) => self.made("migration", applied),
                Err(error) => self.fix_failed("migrations", &error.to_string()),
            }
        }
        self.add(database::check(database, schema).await);
    }

    /// Returns a topic, if the brokers have answered and it exists.
    pub fn topic(&self, name: &str) -> Option<&TopicFacts> {
        self.found.as_ref()?.topic(name)
    }

    /// Returns the newest committed records of a topic.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn newest_records(&self, topic: &TopicFacts) -> Result<Vec<OwnedRecord>, String> {
        self.cluster.tail(topic).await
    }

    fn made<T: std::fmt::Display>(&mut self, kind: &str, names: impl IntoIterator<Item = T>) {
        for name in names {
            self.report.made(format!("{kind} {name}"));
        }
    }

    fn fix_failed(&mut self, what: &str, why: &str) {
        self.add([CheckResult::fail(
            format!("--fix {what}"),
            why,
            "create them by hand, or run --fix as a user who may",
        )]);
    }
}

impl Found {
    fn topic(&self, name: &str) -> Option<&TopicFacts> {
        self.topics.iter().find(|topic| topic.name == name)
    }
}

fn now_millis() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
