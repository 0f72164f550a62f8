//! The topics and their schemas, created as the product itself creates them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use runtime::kafka::KafkaSettings;
use runtime::provision;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::{TopicSettings, dead_letters_of};

use crate::process::pause;

pub use runtime::provision::{DEAD_LETTER_ROOM, MAX_MESSAGE_BYTES, PARTITIONS};

/// The names of the topics, and the number of partitions of the first two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Order statuses; compacted.
    pub order_status: String,
    /// Vouchers; kept for ever.
    pub vouchers: String,
    /// Partitions of both.
    pub partitions: i32,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            order_status: "order-status".to_owned(),
            vouchers: "vouchers".to_owned(),
            partitions: PARTITIONS,
        }
    }
}

impl Topics {
    /// Returns the topics of one test: the default names with a suffix.
    #[must_use]
    pub fn with_suffix(suffix: &str, partitions: i32) -> Self {
        Self {
            order_status: format!("order-status-{suffix}"),
            vouchers: format!("vouchers-{suffix}"),
            partitions,
        }
    }

    /// Returns the processor's dead-letter topic.
    #[must_use]
    pub fn order_status_dead_letters(&self) -> String {
        dead_letters_of(&self.order_status)
    }

    /// Returns the sink's dead-letter topic.
    #[must_use]
    pub fn vouchers_dead_letters(&self) -> String {
        dead_letters_of(&self.vouchers)
    }

    /// Returns the topics that records are written to.
    pub(super) fn names(&self) -> [String; 4] {
        [
            self.order_status.clone(),
            self.vouchers.clone(),
            self.order_status_dead_letters(),
            self.vouchers_dead_letters(),
        ]
    }

    fn settings(&self) -> TopicSettings {
        TopicSettings {
            order_status_topic: self.order_status.clone(),
            vouchers_topic: self.vouchers.clone(),
        }
    }
}

/// Creates the topics; those that exist stay as they are.
pub(super) async fn create(servers: &str, topics: &Topics) -> Result<()> {
    let plans = provision::topic_plans(&topics.settings(), topics.partitions);
    provision::create_topics(&kafka(servers), &plans).await?;
    Ok(())
}

/// Creates the topic of audit records; if it exists it stays as it is.
pub(super) async fn create_audit(servers: &str, name: &str) -> Result<()> {
    provision::create_topics(&kafka(servers), &[provision::audit_plan(name)]).await?;
    Ok(())
}

fn kafka(servers: &str) -> KafkaSettings {
    KafkaSettings {
        kafka_bootstrap_servers: servers.to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    }
}

/// Waits until this broker knows the leader of every partition of the topics. The controller answers
/// first; the brokers' metadata follows.
pub(super) async fn wait_until_known(broker: &str, names: &[String]) -> Result<()> {
    const DEADLINE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    loop {
        let (asked, names) = (broker.to_owned(), names.to_vec());
        let unknown = tokio::task::spawn_blocking(move || unknown_topic(&asked, &names)).await?;
        let missing = match unknown {
            Ok(None) => return Ok(()),
            Ok(Some(topic)) => format!("it does not know all leaders of {topic}"),
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > DEADLINE {
            bail!("broker {broker} did not know the new topics within 30 s: {missing}");
        }
        pause().await;
    }
}

/// Returns a topic of which the broker does not know every leader.
fn unknown_topic(broker: &str, names: &[String]) -> Result<Option<String>> {
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .create()?;
    for name in names {
        let metadata = observer.fetch_metadata(Some(name), Duration::from_secs(5))?;
        let is_known = metadata.topics().iter().any(|topic| {
            let partitions = topic.partitions();
            !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)
        });
        if !is_known {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Registers both schemas. A registry that has just started, on a busy machine, may need longer for its
/// first answers than a client waits; registering again changes nothing.
pub(super) async fn register_schemas(registry: &str, topics: &Topics) -> Result<()> {
    const DEADLINE: Duration = Duration::from_secs(30);
    let (client, topics) = (client(registry)?, topics.settings());
    let begun = Instant::now();
    loop {
        match provision::register_schemas(&client, &topics).await {
            Ok(()) => return Ok(()),
            Err(failure) if begun.elapsed() > DEADLINE => return Err(failure.into()),
            Err(_) => pause().await,
        }
    }
}

/// Registers one schema; returns its id.
pub(super) async fn register_schema(registry: &str, subject: &str, schema: &str) -> Result<i64> {
    Ok(
        provision::register_schema(&client(registry)?, subject, schema)
            .await?
            .into(),
    )
}

fn client(url: &str) -> Result<Registry> {
    Registry::of(&RegistrySettings::at(url))?.context("the registry has no URL")
}
