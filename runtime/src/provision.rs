//! Topics and schemas with the required configuration. `check --fix` and the local stack create them;
//! `run` never does, because the guarantees depend on their configuration.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use schemas::{ORDER_STATUS_AVSC, VOUCHER_AVSC};

use crate::kafka::KafkaSettings;
use crate::lifecycle::Failure;
use crate::registry::Registry;
use crate::settings::{TopicSettings, dead_letters_of, states_of};

pub use crate::registry::subject_of;

/// Default number of partitions. It is chosen once: a key stays in its partition forever, so
/// partitions cannot be added.
pub const PARTITIONS: i32 = 12;

/// The largest record batch of `order-status` and `vouchers` (Kafka's default), in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Room for a dead letter's own headers on top of its source's largest record, in bytes.
pub const DEAD_LETTER_ROOM: usize = 65_536;

/// The longest outage of the processor that loses nothing. Compaction keeps every status for this
/// time, and later removes only those whose order has a later one (which has `sent_at`).
const WEEK_MS: &str = "604800000";

const TIMEOUT: Duration = Duration::from_secs(20);

/// A topic and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// The name of the topic.
    pub name: String,
    /// The number of partitions.
    pub partitions: i32,
    /// Settings that differ from the broker's defaults, or that a guarantee depends on.
    pub config: Vec<(&'static str, String)>,
}

impl TopicPlan {
    /// Returns whether it is `topic` itself, its dead letter topic or the states of these.
    pub fn belongs_to(&self, topic: &str) -> bool {
        let dead_letters = dead_letters_of(topic);
        self.name == topic || self.name.starts_with(&dead_letters)
    }
}

/// Returns a topic whose records are kept for ever.
fn kept_forever(name: &str, partitions: i32, max_message_bytes: usize) -> TopicPlan {
    TopicPlan {
        name: name.to_owned(),
        partitions,
        config: vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("max.message.bytes", max_message_bytes.to_string()),
        ],
    }
}

/// Returns the topic of audit records. Its one partition keeps the records of all runs in order.
pub fn audit_plan(name: &str) -> TopicPlan {
    kept_forever(name, 1, MAX_MESSAGE_BYTES)
}

/// Returns all topics but that of audit records; order statuses and vouchers have `partitions`
/// partitions.
pub fn topic_plans(topics: &TopicSettings, partitions: i32) -> Vec<TopicPlan> {
    const MAX_DEAD_LETTER_BYTES: usize = MAX_MESSAGE_BYTES + DEAD_LETTER_ROOM;
    let latest_state = |name| TopicPlan {
        name,
        partitions: 1,
        config: vec![("cleanup.policy", "compact".to_owned())],
    };
    vec![
        TopicPlan {
            name: topics.order_status_topic.clone(),
            partitions,
            config: vec![
                ("cleanup.policy", "compact".to_owned()),
                ("min.compaction.lag.ms", WEEK_MS.to_owned()),
                // A replay that takes longer would miss that an order was deleted.
                ("delete.retention.ms", WEEK_MS.to_owned()),
                ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
            ],
        },
        kept_forever(&topics.vouchers_topic, partitions, MAX_MESSAGE_BYTES),
        kept_forever(
            &topics.order_status_dead_letters(),
            1,
            MAX_DEAD_LETTER_BYTES,
        ),
        kept_forever(&topics.voucher_dead_letters(), 1, MAX_DEAD_LETTER_BYTES),
        latest_state(states_of(&topics.order_status_dead_letters())),
        latest_state(states_of(&topics.voucher_dead_letters())),
    ]
}

/// Creates missing topics and returns their names. Existing topics are not changed.
///
/// # Errors
/// When the broker does not answer, or refuses to create a topic.
pub async fn create_topics(
    settings: &KafkaSettings,
    plans: &[TopicPlan],
) -> Result<Vec<String>, Failure> {
    let admin: AdminClient<DefaultClientContext> = settings
        .observer()?
        .create()
        .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
    let wanted = plans.iter().map(|plan| {
        plan.config.iter().fold(
            // The broker's own default.
            NewTopic::new(&plan.name, plan.partitions, TopicReplication::Fixed(-1)),
            |topic, (name, value)| topic.set(name, value),
        )
    });
    let options = AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT));
    let wanted: Vec<_> = wanted.collect();
    let results = admin
        .create_topics(&wanted, &options)
        .await
        .map_err(|error| Failure::failed(format!("cannot create the topics: {error}")))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(Failure::failed(format!(
                    "cannot create the topic {name}: {code}"
                )));
            }
        }
    }
    Ok(created)
}

/// A subject of the registry, and the schema that this version uses for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name of the subject.
    pub name: String,
    /// The Avro schema.
    pub schema: &'static str,
}

impl Subject {
    /// Returns the subject of order statuses.
    pub fn order_status(topics: &TopicSettings) -> Self {
        Self {
            name: subject_of(&topics.order_status_topic),
            schema: ORDER_STATUS_AVSC,
        }
    }

    /// Returns the subject of vouchers.
    pub fn voucher(topics: &TopicSettings) -> Self {
        Self {
            name: subject_of(&topics.vouchers_topic),
            schema: VOUCHER_AVSC,
        }
    }
}

/// Registers both schemas as [`register_schema`] does.
///
/// # Errors
/// When the registry does not answer or refuses one.
pub async fn register_schemas(registry: &Registry, topics: &TopicSettings) -> Result<(), Failure> {
    for Subject { name, schema } in [Subject::order_status(topics), Subject::voucher(topics)] {
        register_schema(registry, &name, schema).await?;
    }
    Ok(())
}

/// Registers a schema and sets the compatibility level of its subject, so that every version can be
/// read by every other. Returns the id of the schema.
///
/// The level is set second: Apicurio knows no subject without a version.
///
/// # Errors
/// When the registry does not answer or refuses the schema or the level.
pub async fn register_schema(
    registry: &Registry,
    subject: &str,
    schema: &str,
) -> Result<u32, Failure> {
    let id = registry
        .register(subject, schema)
        .await
        .map_err(|error| Failure::failed(format!("cannot register the schema: {error}")))?;
    registry
        .hold_compatible(subject)
        .await
        .map_err(|error| Failure::failed(format!("cannot set the compatibility level: {error}")))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_record_fits_into_a_dead_letter_with_its_headers() {
        let topics = TopicSettings {
            order_status_topic: "order-status".to_owned(),
            vouchers_topic: "vouchers".to_owned(),
        };
        let largest = |plan: &TopicPlan| -> usize {
            let (_, value) = plan
                .config
                .iter()
                .find(|(name, _)| *name == "max.message.bytes")
                .unwrap();
            value.parse().unwrap()
        };
        let plans = topic_plans(&topics, PARTITIONS);
        for (source, dead) in [(0, 2), (1, 3)] {
            assert_eq!(plans[dead].name, format!("{}.dlq", plans[source].name));
            assert_eq!(
                largest(&plans[dead]),
                largest(&plans[source]) + DEAD_LETTER_ROOM
            );
        }
    }
}
