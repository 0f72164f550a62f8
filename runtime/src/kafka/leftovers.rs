//! What the broker forgot to end.
//!
//! A broker that restarts may skip a transaction's markers for partitions whose leader it does not
//! know yet ("Couldn't find leader endpoint ... likely deleted already and hence can be skipped",
//! Kafka 4.3, `TransactionMarkerChannelManager`): the transaction's coordinator takes it for ended,
//! and on those partitions, the group's offsets among them, it stays open. The next marker of the
//! same producer ends it, whichever that is: a commit would commit offsets of records whose vouchers
//! were never written.
//!
//! So whoever takes over an id asks whether offsets of its group are held back, and if so aborts what
//! is open. It may have been a commit whose markers were lost: nothing is lost with it as long as its
//! offsets are dropped too, since its records are read again. That is why nothing is done where the
//! offsets are not held back: what is open there may belong to offsets that count.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::settings::KafkaSettings;
use super::transaction::{Outgoing, Producer, TransactionError};
use crate::lifecycle::Failure;
use crate::record::Partition;

/// The key of the records that reopen a partition's transaction, to be aborted with it. Whoever
/// reads uncommitted records may see one: a deletion of an order of this name.
const KEY: &[u8] = b"aborted-at-takeover";

/// Between two looks: a transaction that goes on has moved by then.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Where an owner of transactional ids writes, and whose offsets it commits.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The group.
    pub group: String,
    /// The topic that the group reads.
    pub source: String,
    /// The topics that are written to.
    pub topics: Vec<String>,
}

/// Looks for transactions without an end within a [`Reach`].
pub(super) struct Leftovers {
    reach: Reach,
    /// Sees the last stable offset, and offsets that are held back as such.
    committed: BaseConsumer,
    /// Sees the ends of the logs, and offsets as they were last committed.
    uncommitted: BaseConsumer,
}

/// A partition that holds back records from `stable` on.
#[derive(Debug, PartialEq)]
struct Open {
    topic: String,
    partition: Partition,
    stable: i64,
}

/// What is open.
pub(super) struct Found {
    offsets: TopicPartitionList,
    nobody: ConsumerGroupMetadata,
    partitions: Vec<Open>,
}

impl Leftovers {
    /// Does not talk to the broker yet.
    pub(super) fn new(settings: &KafkaSettings, reach: Reach) -> Result<Self, Failure> {
        let client = |isolation| {
            let mut config: ClientConfig = settings.observer()?;
            config
                .set("group.id", &reach.group)
                .set("isolation.level", isolation)
                .create()
                .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))
        };
        Ok(Self {
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
            reach,
        })
    }

    /// What is open, of the partitions in two looks. Another's transaction that only takes long may
    /// be among it: what ours ends is ours alone.
    pub(super) fn find(&self, timeout: Duration) -> Result<Option<Found>, TransactionError> {
        self.look(timeout)
            .map_err(|error| TransactionError::Retriable(error.to_string()))
    }

    fn look(&self, timeout: Duration) -> Result<Option<Found>, KafkaError> {
        let Some((offsets, nobody)) = self.held_back(timeout)? else {
            return Ok(None);
        };
        let mut partitions = self.open_partitions(timeout)?;
        std::thread::sleep(SECOND_LOOK);
        let again = self.open_partitions(timeout)?;
        partitions.retain(|open| again.contains(open));
        Ok(Some(Found {
            offsets,
            nobody,
            partitions,
        }))
    }

    fn open_partitions(&self, timeout: Duration) -> Result<Vec<Open>, KafkaError> {
        let mut open = Vec::new();
        for topic in &self.reach.topics {
            for partition in self.partitions_of(topic, timeout)? {
                let (_, stable) = self.committed.fetch_watermarks(topic, partition, timeout)?;
                let (_, end) = self
                    .uncommitted
                    .fetch_watermarks(topic, partition, timeout)?;
                if stable < end {
                    open.push(Open {
                        topic: topic.clone(),
                        partition,
                        stable,
                    });
                }
            }
        }
        Ok(open)
    }

    fn partitions_of(&self, topic: &str, timeout: Duration) -> Result<Vec<Partition>, KafkaError> {
        let metadata = self.committed.fetch_metadata(Some(topic), timeout)?;
        let topics = metadata.topics().iter();
        Ok(topics
            .flat_map(|topic| topic.partitions())
            .map(|partition| partition.id())
            .collect())
    }

    /// If offsets of the group are held back: one of its offsets, as it was last committed. An end
    /// for one is an end for all that the producer left open there.
    fn held_back(
        &self,
        timeout: Duration,
    ) -> Result<Option<(TopicPartitionList, ConsumerGroupMetadata)>, KafkaError> {
        let topic = &self.reach.source;
        let partitions = self.partitions_of(topic, timeout)?;
        let mut asked = TopicPartitionList::new();
        for partition in &partitions {
            asked.add_partition(topic, *partition);
        }
        // What is held back does not come, until the time is over.
        let stable = self.committed.committed_offsets(asked.clone(), timeout);
        let is_stable = stable.is_ok_and(|list| {
            let elements = list.elements();
            elements.iter().all(|element| element.error().is_ok())
        });
        if is_stable {
            return Ok(None);
        }
        let last = self.uncommitted.committed_offsets(asked, timeout)?;
        let elements = last.elements();
        let Some(one) = elements.first() else {
            return Ok(None);
        };
        one.error()?;
        let offset = match one.offset() {
            committed @ Offset::Offset(_) => committed,
            _ => Offset::Offset(0),
        };
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, one.partition(), offset)?;
        let nobody = self.uncommitted.group_metadata();
        Ok(nobody.map(|nobody| (offsets, nobody)))
    }
}

impl Found {
    /// Opens a transaction of `producer` on all of it, and aborts it.
    pub(super) fn abort(
        &self,
        producer: &Producer,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        producer.begin()?;
        for Open {
            topic, partition, ..
        } in &self.partitions
        {
            let record = Outgoing {
                topic,
                key: Some(KEY),
                value: None,
                headers: &[],
            };
            producer.send_to(&record, Some(*partition), timeout)?;
        }
        producer.send_offsets(&self.offsets, &self.nobody, timeout)?;
        producer.drain(timeout)?;
        producer.abort(timeout)?;
        tracing::warn!(
            partitions = ?self.partitions,
            "the group's offsets were held back: what was open of ours is aborted"
        );
        Ok(())
    }
}
