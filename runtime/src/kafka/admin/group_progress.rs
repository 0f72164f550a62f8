//! How far a consumer group has read a topic, asked many times a second by a client that does not join
//! the group.

use std::time::Duration;

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::access_control::{Right, committed_offsets, is_refusal};
use super::log_ends::{ends_of, log_ends};
use crate::kafka::config::create_client;
use crate::kafka::range::partitions_of;
use crate::kafka::{KafkaSettings, partition_list};
use crate::lifecycle::Failure;
use crate::record::{Partition, Positions};

/// How long the first answers may take. When the coordinator refuses, this time passes in full.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// A group, and the topic that it reads.
pub struct GroupProgress {
    group: String,
    topic: String,
    partitions: Vec<Partition>,
    client: BaseConsumer,
}

impl GroupProgress {
    /// Connects, and asks for the group's offsets once. Blocks its thread.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work; 1 when this user may not describe the group or the
    /// topic, the topic does not exist, or no broker answers within a few seconds.
    pub fn open(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, Failure> {
        let mut config = settings.consumer(group)?;
        // A client that reads committed records waits for the offsets of open transactions, and a busy
        // processor always has one. The offsets that are committed already are enough here.
        config.set("isolation.level", "read_uncommitted");
        let client: BaseConsumer = create_client(&config, DefaultConsumerContext, "client")?;
        let failed = |right: Right<'_>, error: KafkaError| match is_refusal(&error) {
            true => settings.refusal(right),
            false => Failure::failed(format!(
                "Kafka at {} does not answer: {error}",
                settings.kafka_bootstrap_servers
            )),
        };
        let partitions = partitions_of(&client, topic)
            .map_err(|error| failed(Right::describe_topic(topic), error))?
            .ok_or_else(|| Failure::failed(format!("there is no topic {topic}")))?;
        let progress = Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partitions: partitions.into_iter().collect(),
            client,
        };
        match progress.committed(FIRST_ANSWER) {
            Ok(_) => Ok(progress),
            Err(error) => Err(failed(Right::describe_group(group), error)),
        }
    }

    /// Returns whether the group has members. Returns true as well when the coordinator cannot say at the
    /// moment.
    ///
    /// # Errors
    /// When no broker answers within `timeout`.
    pub fn has_members(&self, timeout: Duration) -> KafkaResult<bool> {
        let groups = self.client.fetch_group_list(Some(&self.group), timeout)?;
        let group = groups.groups().iter().find(|one| one.name() == self.group);
        Ok(group.is_some_and(|group| group.state().is_empty() || !group.members().is_empty()))
    }

    /// Returns the offsets that the group has committed; a partition without one is left out.
    ///
    /// # Errors
    /// When the coordinator refuses, or does not answer within `timeout`.
    pub fn committed(&self, timeout: Duration) -> KafkaResult<Positions> {
        let partitions = self.partitions.iter();
        let asked = partition_list(
            &self.topic,
            partitions.map(|partition| (*partition, KafkaOffset::Invalid)),
        )?;
        let mut committed = Positions::new();
        for element in committed_offsets(&self.client, asked, timeout)?.elements() {
            element.error()?;
            if let KafkaOffset::Offset(next) = element.offset() {
                committed.insert(element.partition(), next);
            }
        }
        Ok(committed)
    }

    /// Returns the end of each partition's log, records of open transactions included.
    ///
    /// # Errors
    /// When a broker does not answer within `timeout`.
    pub fn ends(&self, timeout: Duration) -> KafkaResult<Positions> {
        let asked = ends_of(&self.topic, self.partitions.iter().copied())?;
        log_ends(&self.client, asked, timeout)
    }

    /// Takes the client's own events, which must be done from time to time.
    pub fn serve_events(&self) {
        let _ = self.client.poll(Duration::ZERO);
    }
}
