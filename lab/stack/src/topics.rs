//! The topics of the design and their configuration.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

/// Chosen once: a key stays in its partition for ever, so that a topic can't grow partitions.
pub const PARTITIONS: i32 = 12;

/// The largest record batch of `order-status` and `vouchers` (Kafka's default), in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Room for the headers of a dead letter, so that the largest record fits with them, in bytes.
pub const DEAD_LETTER_ROOM: usize = 65_536;

const WEEK_MS: &str = "604800000";

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
        format!("{}.dlq", self.order_status)
    }

    /// The dead letters of the sink.
    #[must_use]
    pub fn vouchers_dead_letters(&self) -> String {
        format!("{}.dlq", self.vouchers)
    }
}

fn kept_for_ever(topic: NewTopic<'_>) -> NewTopic<'_> {
    topic
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1")
}

/// Creates the topics; those that exist stay as they are.
pub(crate) async fn create(servers: &str, topics: &Topics) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("log_level", "0")
        .create()?;
    let (order_dead, voucher_dead) = (
        topics.order_status_dead_letters(),
        topics.vouchers_dead_letters(),
    );
    let states = [&order_dead, &voucher_dead].map(|dead| format!("{dead}.state"));
    let largest = MAX_MESSAGE_BYTES.to_string();
    let largest_dead = (MAX_MESSAGE_BYTES + DEAD_LETTER_ROOM).to_string();
    let topic = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let wanted = [
        topic(&topics.order_status, topics.partitions)
            .set("cleanup.policy", "compact")
            .set("min.compaction.lag.ms", WEEK_MS)
            // A replay that is slower than this would miss that an order was deleted.
            .set("delete.retention.ms", WEEK_MS)
            .set("max.message.bytes", &largest),
        kept_for_ever(topic(&topics.vouchers, topics.partitions))
            .set("max.message.bytes", &largest),
        kept_for_ever(topic(&order_dead, 1)).set("max.message.bytes", &largest_dead),
        kept_for_ever(topic(&voucher_dead, 1)).set("max.message.bytes", &largest_dead),
        topic(&states[0], 1).set("cleanup.policy", "compact"),
        topic(&states[1], 1).set("cleanup.policy", "compact"),
    ];
    let options = AdminOptions::new()
        .operation_timeout(Some(Duration::from_secs(20)))
        .request_timeout(Some(Duration::from_secs(20)));
    let results = admin
        .create_topics(&wanted, &options)
        .await
        .context("the topics could not be created")?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("the topic {name} could not be created: {code}"),
        }
    }
    Ok(())
}
