//! How far a consumer group has read a topic, asked many times a second by clients that do not join
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

/// How long the first answers may take. A coordinator that refuses takes all of it.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// A group, and the topic that it reads.
pub struct GroupProgress {
    group: String,
    topic: String,
    partitions: Vec<Partition>,
    /// Returns the offsets of the group.
    member: BaseConsumer,
    /// Returns the ends of the logs for readers of committed records.
    reader: BaseConsumer,
}

impl GroupProgress {
    /// Connects, and asks for the group's offsets once. Blocks its thread.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work; 1 when this user may not describe the group or the
    /// topic, the topic does not exist, or no broker answers within a few seconds.
    pub fn open(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, Failure> {
        // A client that reads committed records waits for the offsets of open transactions too,
        // and a busy processor always has one. The offsets that are committed already will do.
        let mut member = settings.consumer(group)?;
        member.set("isolation.level", "read_uncommitted");
        let member: BaseConsumer = create_client(&member, DefaultConsumerContext, "client")?;
        let mut reader = settings.observer()?;
        reader.set("isolation.level", "read_committed");
        let reader: BaseConsumer = create_client(&reader, DefaultConsumerContext, "client")?;
        let failed = |right: Right<'_>, error: KafkaError| match is_refusal(&error) {
            true => settings.refusal(right),
            false => Failure::failed(format!(
                "Kafka at {} does not answer: {error}",
                settings.kafka_bootstrap_servers
            )),
        };
        let partitions = partitions_of(&reader, topic)
            .map_err(|error| failed(Right::describe_topic(topic), error))?
            .ok_or_else(|| Failure::failed(format!("there is no topic {topic}")))?;
        let progress = Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partitions: partitions.into_iter().collect(),
            member,
            reader,
        };
        match progress.committed(FIRST_ANSWER) {
            Ok(_) => Ok(progress),
            Err(error) => Err(failed(Right::describe_group(group), error)),
        }
    }

    /// Returns whether the group has members. A group whose coordinator cannot say so at the moment
    /// is taken for one that has.
    ///
    /// # Errors
    /// When no broker answers within `timeout`.
    pub fn has_members(&self, timeout: Duration) -> KafkaResult<bool> {
        let groups = self.member.fetch_group_list(Some(&self.group), timeout)?;
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
        for element in committed_offsets(&self.member, asked, timeout)?.elements() {
            element.error()?;
            if let KafkaOffset::Offset(next) = element.offset() {
                committed.insert(element.partition(), next);
            }
        }
        Ok(committed)
    }

    /// Returns the last stable offset of each partition.
    ///
    /// # Errors
    /// When a broker does not answer within `timeout`.
    pub fn ends(&self, timeout: Duration) -> KafkaResult<Positions> {
        let asked = ends_of(&self.topic, self.partitions.iter().copied())?;
        log_ends(&self.reader, asked, timeout)
    }

    /// Takes the clients' own events, which must be done from time to time.
    pub fn serve_events(&self) {
        let _ = self.member.poll(Duration::ZERO);
        let _ = self.reader.poll(Duration::ZERO);
    }
}
