//! The design's topics and schemas, as the product itself creates them, under this stack's names.

use anyhow::{Context, Result};
use runtime::kafka::KafkaSettings;
use runtime::provision;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::{Secret, TopicSettings, dead_letters_of};

pub use runtime::provision::{DEAD_LETTER_ROOM, MAX_MESSAGE_BYTES, PARTITIONS};

/// The names of the topics, and how many partitions the first two have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Order statuses: compacted.
    pub order_status: String,
    /// Vouchers: kept for ever.
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
    /// The topics of one test: the usual names with a suffix of its own.
    #[must_use]
    pub fn with_suffix(suffix: &str, partitions: i32) -> Self {
        Self {
            order_status: format!("order-status-{suffix}"),
            vouchers: format!("vouchers-{suffix}"),
            partitions,
        }
    }

    /// The dead letters of the processor.
    #[must_use]
    pub fn order_status_dead_letters(&self) -> String {
        dead_letters_of(&self.order_status)
    }

    /// The dead letters of the sink.
    #[must_use]
    pub fn vouchers_dead_letters(&self) -> String {
        dead_letters_of(&self.vouchers)
    }

    fn settings(&self) -> TopicSettings {
        TopicSettings {
            order_status_topic: self.order_status.clone(),
            vouchers_topic: self.vouchers.clone(),
        }
    }
}

/// Creates the topics; those that exist stay as they are.
pub(crate) async fn create(servers: &str, topics: &Topics) -> Result<()> {
    let kafka = KafkaSettings {
        kafka_bootstrap_servers: servers.to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let plans = provision::topic_plans(&topics.settings(), topics.partitions);
    provision::create_topics(&kafka, &plans).await?;
    Ok(())
}

/// Registers both schemas.
pub(crate) async fn register_schemas(registry: &str, topics: &Topics) -> Result<()> {
    Ok(provision::register_schemas(&client(registry)?, &topics.settings()).await?)
}

/// Registers one schema; its id.
pub(crate) async fn register_schema(registry: &str, subject: &str, schema: &str) -> Result<i64> {
    Ok(
        provision::register_schema(&client(registry)?, subject, schema)
            .await?
            .into(),
    )
}

fn client(url: &str) -> Result<Registry> {
    Registry::of(&RegistrySettings {
        schema_registry_url: Some(Secret::new(url)),
    })?
    .context("there is a URL")
}
