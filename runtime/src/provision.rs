//! Topics and schemas as the design has them: created by `check --fix` and the local stack, never
//! by `run`, because their configuration is part of the promise.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use schemas::{ORDER_STATUS_AVSC, VOUCHER_AVSC};

use crate::kafka::KafkaSettings;
use crate::lifecycle::Failure;
use crate::registry::Registry;
use crate::settings::{TopicSettings, dead_letters_of, states_of};

/// Chosen once: a key stays in its partition for ever, so a topic can't grow partitions.
pub const PARTITIONS: i32 = 12;

/// The largest record batch of `order-status` and `vouchers` (Kafka's default), in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Room for a dead letter's own headers on top of its source's largest record, in bytes.
pub const DEAD_LETTER_ROOM: usize = 65_536;

/// Longer than any outage of the processor that shall lose nothing: until then compaction eats no
/// status, and after it only those whose order has a later one (which carries `sent_at`).
const WEEK_MS: &str = "604800000";

const TIMEOUT: Duration = Duration::from_secs(20);

/// A topic and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Topic settings that differ from the broker's defaults, or that a promise rests on.
    pub config: Vec<(&'static str, String)>,
}

impl TopicPlan {
    /// Whether it is `topic` itself, or holds what could not be used of it.
    pub fn belongs_to(&self, topic: &str) -> bool {
        let dead_letters = dead_letters_of(topic);
        self.name == topic || self.name.starts_with(&dead_letters)
    }
}

/// The topics of the flow, and what became of its dead letters; `partitions` is of the order statuses and the vouchers.
pub fn topic_plans(topics: &TopicSettings, partitions: i32) -> Vec<TopicPlan> {
    let source = MAX_MESSAGE_BYTES.to_string();
    let dead = (MAX_MESSAGE_BYTES + DEAD_LETTER_ROOM).to_string();
    let kept_for_ever = |name: &str, partitions, largest: &str| TopicPlan {
        name: name.to_owned(),
        partitions,
        config: vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("max.message.bytes", largest.to_owned()),
        ],
    };
    let newest_of_each = |name| TopicPlan {
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
                // A replay that is slower than this would miss that an order was deleted.
                ("delete.retention.ms", WEEK_MS.to_owned()),
                ("max.message.bytes", source.clone()),
            ],
        },
        kept_for_ever(&topics.vouchers_topic, partitions, &source),
        kept_for_ever(&topics.order_status_dead_letters(), 1, &dead),
        kept_for_ever(&topics.voucher_dead_letters(), 1, &dead),
        newest_of_each(states_of(&topics.order_status_dead_letters())),
        newest_of_each(states_of(&topics.voucher_dead_letters())),
    ]
}

/// Creates topics; those that exist stay as they are. Gives the names of those that it created.
///
/// # Errors
/// When the broker does not answer or refuses one.
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
        .map_err(|error| Failure::failed(format!("the topics could not be created: {error}")))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(Failure::failed(format!(
                    "the topic {name} could not be created: {code}"
                )));
            }
        }
    }
    Ok(created)
}

/// The flow's subjects, each with its schema.
pub fn subjects(topics: &TopicSettings) -> [(String, &'static str); 2] {
    [
        (subject_of(&topics.order_status_topic), ORDER_STATUS_AVSC),
        (subject_of(&topics.vouchers_topic), VOUCHER_AVSC),
    ]
}

/// The subject of a topic's values.
pub fn subject_of(topic: &str) -> String {
    format!("{topic}-value")
}

/// Registers the flow's schemas, and makes the registry hold later ones to them: old readers must
/// read new records and new readers old ones, over the whole history.
///
/// # Errors
/// When the registry does not answer or refuses one.
pub async fn register_schemas(registry: &Registry, topics: &TopicSettings) -> Result<(), Failure> {
    for (subject, schema) in subjects(topics) {
        register_schema(registry, &subject, schema).await?;
    }
    Ok(())
}

/// Registers one schema and its subject's compatibility level; gives its id. The level comes
/// second: Apicurio knows no subject without a version.
///
/// # Errors
/// As [`register_schemas`].
pub async fn register_schema(
    registry: &Registry,
    subject: &str,
    schema: &str,
) -> Result<u32, Failure> {
    let id = registry
        .register(subject, schema)
        .await
        .map_err(|error| Failure::failed(format!("the schema could not be registered: {error}")))?;
    registry
        .hold_compatible(subject)
        .await
        .map_err(|error| Failure::failed(format!("the compatibility level of {error}")))?;
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
