//! The committed offsets of a named backfill, with its plan as their metadata: a consumer group
//! that no member joins.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::kafka::rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use runtime::kafka::rdkafka::error::KafkaError;
use runtime::kafka::rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use runtime::kafka::{KafkaSettings, TopicRange, committed_offsets};
use runtime::lifecycle::Failure;
use runtime::record::{Offset, Partition, Positions};

use super::plan::{OffsetMetadata, Plan};

/// Reads and prepares the offsets of a named backfill.
pub struct BackfillOffsets {
    client: BaseConsumer,
    topic: String,
}

/// What is committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
    /// Everything of the span before this offset is done.
    pub next: Offset,
    /// The metadata of the offset, unless it cannot be parsed.
    pub metadata: Option<OffsetMetadata>,
}

impl BackfillOffsets {
    /// Refers to the offsets of `group`.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub fn open(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, Failure> {
        let client = settings
            .consumer(group)?
            .create()
            .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
        Ok(Self {
            client,
            topic: topic.to_owned(),
        })
    }

    /// Returns what is committed for these partitions. Waits until open transactions have ended.
    ///
    /// # Errors
    /// The error of the client; call again.
    pub fn read(
        &self,
        partitions: impl Iterator<Item = Partition>,
        timeout: Duration,
    ) -> Result<BTreeMap<Partition, StoredOffset>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(&self.topic, partition);
        }
        let mut stored = BTreeMap::new();
        if asked.count() == 0 {
            return Ok(stored);
        }
        for element in committed_offsets(&self.client, asked, timeout)?.elements() {
            element.error()?;
            if let KafkaOffset::Offset(next) = element.offset() {
                let metadata = OffsetMetadata::parse(element.metadata());
                stored.insert(element.partition(), StoredOffset { next, metadata });
            }
        }
        Ok(stored)
    }

    /// Returns the offsets to commit in a transaction, with the plan as their metadata.
    ///
    /// # Errors
    /// When an offset is negative, which does not happen.
    pub fn list(
        &self,
        plan: &Plan,
        range: &TopicRange,
        positions: &Positions,
    ) -> Result<TopicPartitionList, KafkaError> {
        let now = chrono::Utc::now().timestamp_millis();
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            let Some(span) = range.spans.get(partition) else {
                continue;
            };
            let mut element = list.add_partition(&self.topic, *partition);
            element.set_offset(KafkaOffset::Offset(*offset))?;
            let metadata = OffsetMetadata {
                plan: plan.clone(),
                span: *span,
                times: range.times,
                committed_at: Some(now),
            };
            element.set_metadata(metadata.to_string());
        }
        Ok(list)
    }

    /// Returns the group for a transaction; without a member, because no member joins it.
    pub fn group(&self) -> Option<ConsumerGroupMetadata> {
        self.client.group_metadata()
    }
}
