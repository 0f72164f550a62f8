//! The search's view of a real cluster.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::super::Producer;
use super::super::settings::KafkaSettings;
use super::super::transaction::{GroupOffsets, Outgoing, TransactionError};
use super::{Aborter, Cluster, NOTHING_COMMITTED, Offsets, OpenPartition, TransactionScope};
use crate::lifecycle::Failure;
use crate::record::Partition;

/// How long each call of an abort may take. A client that was just made has to find the coordinator
/// and to connect to it first.
const ABORT: Duration = Duration::from_secs(4);

/// The key of the records that reopen a partition's transaction, to be aborted with it. Whoever
/// reads uncommitted records may see one: a deletion of an order of this name.
const KEY: &[u8] = b"aborted-at-takeover";

/// The cluster, as two clients see it.
pub(super) struct KafkaCluster {
    scope: TransactionScope,
    /// Sees the last stable offset, and offsets that are held back as such.
    committed: BaseConsumer,
    /// Sees the ends of the logs, and offsets as they were last committed.
    uncommitted: BaseConsumer,
}

impl KafkaCluster {
    /// Does not talk to the broker yet.
    pub(super) fn new(settings: &KafkaSettings, scope: TransactionScope) -> Result<Self, Failure> {
        let client = |isolation| {
            let mut config: ClientConfig = settings.observer()?;
            config
                .set("group.id", &scope.group)
                .set("isolation.level", isolation)
                .create()
                .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))
        };
        Ok(Self {
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
            scope,
        })
    }

    fn partitions_of(&self, topic: &str, timeout: Duration) -> Result<Vec<Partition>, KafkaError> {
        let metadata = self.uncommitted.fetch_metadata(Some(topic), timeout)?;
        let topics = metadata.topics().iter();
        Ok(topics
            .flat_map(|topic| topic.partitions())
            .map(|partition| partition.id())
            .collect())
    }

    /// The offsets that the group committed, as `client` sees them; of all `partitions`, or an error.
    fn offsets(
        &self,
        client: &BaseConsumer,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Offsets, KafkaError> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            asked.add_partition(&self.scope.source, *partition);
        }
        let told = client.committed_offsets(asked, timeout)?;
        let elements = told.elements();
        let offsets = elements.iter().map(|element| {
            element.error()?;
            Ok(match element.offset() {
                Offset::Offset(offset) => (element.partition(), offset),
                _ => (element.partition(), NOTHING_COMMITTED),
            })
        });
        offsets.collect()
    }

    /// Halves until it is known which: one that does not come holds back the answer of all.
    /// What there is no time to ask for counts as held back, until the next look.
    fn held_back_by(
        &self,
        partitions: &[Partition],
        timeout: Duration,
        until: Instant,
        held_back: &mut Vec<Partition>,
    ) -> Result<(), KafkaError> {
        if partitions.is_empty() {
            return Ok(());
        }
        if Instant::now() < until {
            match self.offsets(&self.committed, partitions, timeout) {
                Ok(_) => return Ok(()),
                // The client asks for what is held back again and again until the time is over.
                Err(error) if is_held_back(&error) => {}
                Err(error) => return Err(error),
            }
            if partitions.len() > 1 {
                let (one, other) = partitions.split_at(partitions.len() / 2);
                self.held_back_by(one, timeout, until, held_back)?;
                return self.held_back_by(other, timeout, until, held_back);
            }
        }
        held_back.extend(partitions);
        Ok(())
    }

    fn watermarks(&self, timeout: Duration) -> Result<Vec<OpenPartition>, KafkaError> {
        let mut open = Vec::new();
        for topic in &self.scope.topics {
            for partition in self.partitions_of(topic, timeout)? {
                let (_, stable) = self.committed.fetch_watermarks(topic, partition, timeout)?;
                let (_, end) = self
                    .uncommitted
                    .fetch_watermarks(topic, partition, timeout)?;
                if stable < end {
                    open.push(OpenPartition {
                        topic: topic.clone(),
                        partition,
                        stable,
                    });
                }
            }
        }
        Ok(open)
    }
}

fn is_held_back(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::UnstableOffsetCommit)
    )
}

/// The same question again: nothing is decided by an error.
fn again(error: KafkaError) -> TransactionError {
    TransactionError::Retriable(error.to_string())
}

impl Cluster for KafkaCluster {
    fn committed(
        &self,
        partitions: Option<&[Partition]>,
        timeout: Duration,
    ) -> Result<Offsets, TransactionError> {
        let all;
        let partitions = match partitions {
            Some(partitions) => partitions,
            None => {
                all = self
                    .partitions_of(&self.scope.source, timeout)
                    .map_err(again)?;
                &all
            }
        };
        self.offsets(&self.uncommitted, partitions, timeout)
            .map_err(again)
    }

    fn held_back(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Partition>, TransactionError> {
        let mut held_back = Vec::new();
        let until = Instant::now() + timeout * 2;
        self.held_back_by(partitions, timeout, until, &mut held_back)
            .map_err(again)?;
        Ok(held_back)
    }

    fn open_partitions(&self, timeout: Duration) -> Result<Vec<OpenPartition>, TransactionError> {
        self.watermarks(timeout).map_err(again)
    }
}

/// One of the owner's producers.
pub(super) struct ProducerAborter<'a> {
    producer: &'a Producer,
    cluster: &'a KafkaCluster,
}

impl<'a> ProducerAborter<'a> {
    pub(super) const fn new(producer: &'a Producer, cluster: &'a KafkaCluster) -> Self {
        Self { producer, cluster }
    }
}

impl Aborter for ProducerAborter<'_> {
    fn abort(
        &self,
        (partition, offset): (Partition, i64),
        open: &[OpenPartition],
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let timeout = timeout.max(ABORT);
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(
                &self.cluster.scope.source,
                partition,
                Offset::Offset(offset.max(0)),
            )
            .map_err(again)?;
        // In no group: its metadata names the group alone.
        let group = self
            .cluster
            .uncommitted
            .group_metadata()
            .ok_or_else(|| TransactionError::Fatal("the client has no group".to_owned()))?;
        self.producer.begin()?;
        for OpenPartition {
            topic, partition, ..
        } in open
        {
            let record = Outgoing {
                topic,
                key: Some(KEY),
                value: None,
                headers: &[],
            };
            self.producer.send_to(&record, *partition, timeout)?;
        }
        self.producer
            .send_offsets(GroupOffsets::new(offsets, group), timeout)?;
        self.producer.drain(timeout)?;
        self.producer.abort(timeout)
    }
}
