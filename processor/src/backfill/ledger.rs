//! The offsets of a backfill's name, and its plan beside them: a consumer group that nobody joins.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::kafka::rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use runtime::kafka::rdkafka::error::KafkaError;
use runtime::kafka::rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use runtime::kafka::{KafkaSettings, TopicRange, committed_offsets};
use runtime::lifecycle::Failure;
use runtime::record::{Offset, Partition, Positions};

use super::plan::{Note, Plan};

/// See the module.
pub struct Ledger {
    client: BaseConsumer,
    topic: String,
}

/// What is kept of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Everything of the span before it is done.
    pub next: Offset,
    /// The note beside it, when it can be read.
    pub note: Option<Note>,
}

impl Ledger {
    /// The ledger of `group`.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
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

    /// What is kept of these partitions; waits for transactions under way to end.
    ///
    /// # Errors
    /// As the client says: ask again.
    pub fn read(
        &self,
        partitions: impl Iterator<Item = Partition>,
        timeout: Duration,
    ) -> Result<BTreeMap<Partition, Kept>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(&self.topic, partition);
        }
        let mut kept = BTreeMap::new();
        if asked.count() == 0 {
            return Ok(kept);
        }
        for element in committed_offsets(&self.client, asked, timeout)?.elements() {
            element.error()?;
            if let KafkaOffset::Offset(next) = element.offset() {
                let note = Note::read(element.metadata());
                kept.insert(element.partition(), Kept { next, note });
            }
        }
        Ok(kept)
    }

    /// Offsets with the plan beside them, as a transaction takes them.
    ///
    /// # Errors
    /// When an offset is negative, which none is.
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
            let note = Note {
                plan: plan.clone(),
                span: *span,
                times: range.times,
                at: Some(now),
            };
            element.set_metadata(note.write());
        }
        Ok(list)
    }

    /// The group's name, as a transaction takes it: without a member, for nobody joins.
    pub fn group(&self) -> Option<ConsumerGroupMetadata> {
        self.client.group_metadata()
    }
}
