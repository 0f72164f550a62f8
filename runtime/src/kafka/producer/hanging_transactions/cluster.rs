//! The cluster that the search asks, through clients of its own.

use std::time::{Duration, Instant};

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Aborter, ClusterView, NOTHING_COMMITTED, OpenPartition, TransactionScope};
use crate::kafka::config::create_client;
use crate::kafka::producer::bounded_producer::Producer;
use crate::kafka::producer::limits::ABORT_CALL_TIMEOUT;
use crate::kafka::producer::transaction::{GroupOffsets, Outgoing, TransactionError};
use crate::kafka::{KafkaSettings, partition_list};
use crate::lifecycle::Failure;
use crate::record::{Offset, Partition, Positions};

/// The key of the records that are written to a partition so that its transaction is aborted with
/// them. A reader of uncommitted records may see one: the tombstone of an order of this name.
const KEY: &[u8] = b"aborted-at-takeover";

/// A cluster, asked by two clients of different isolation levels.
pub(super) struct KafkaCluster {
    scope: TransactionScope,
    /// Gets the last stable offsets of logs, and no answer for committed offsets that are held back.
    read_committed: BaseConsumer,
    /// Gets the ends of logs, and offsets as they were last committed.
    read_uncommitted: BaseConsumer,
}

impl KafkaCluster {
    /// Builds the clients. Does not talk to the broker.
    pub(super) fn new(settings: &KafkaSettings, scope: TransactionScope) -> Result<Self, Failure> {
        let client = |isolation| {
            let mut config = settings.observer()?;
            config
                .set("group.id", &scope.group)
                .set("isolation.level", isolation);
            create_client(&config, DefaultConsumerContext, "client")
        };
        Ok(Self {
            read_committed: client("read_committed")?,
            read_uncommitted: client("read_uncommitted")?,
            scope,
        })
    }

    fn partitions_of(&self, topic: &str, timeout: Duration) -> Result<Vec<Partition>, KafkaError> {
        let metadata = self.read_uncommitted.fetch_metadata(Some(topic), timeout)?;
        let topics = metadata.topics().iter();
        Ok(topics
            .flat_map(|topic| topic.partitions())
            .map(|partition| partition.id())
            .collect())
    }

    /// Returns the offsets that the group committed, as `client` gets them: those of all `partitions`,
    /// or an error.
    fn offsets(
        &self,
        client: &BaseConsumer,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Positions, KafkaError> {
        let partitions = partitions.iter();
        let list = partition_list(
            &self.scope.source,
            partitions.map(|partition| (*partition, KafkaOffset::Invalid)),
        )?;
        let committed = client.committed_offsets(list, timeout)?;
        let elements = committed.elements();
        let offsets = elements.iter().map(|element| {
            element.error()?;
            Ok(match element.offset() {
                KafkaOffset::Offset(offset) => (element.partition(), offset),
                _ => (element.partition(), NOTHING_COMMITTED),
            })
        });
        offsets.collect()
    }

    /// Adds to `held_back` those of `partitions` whose offsets are held back. One such offset delays the
    /// answer for all partitions of a request, so they are bisected. Partitions that were not asked for
    /// before `until` count as held back until the next check.
    fn bisect_held_back(
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
            match self.offsets(&self.read_committed, partitions, timeout) {
                Ok(_) => return Ok(()),
                // The client retries what is held back until its timeout.
                Err(error) if is_held_back(&error) => {}
                Err(error) => return Err(error),
            }
            if partitions.len() > 1 {
                let (left, right) = partitions.split_at(partitions.len() / 2);
                self.bisect_held_back(left, timeout, until, held_back)?;
                return self.bisect_held_back(right, timeout, until, held_back);
            }
        }
        held_back.extend(partitions);
        Ok(())
    }

    fn partitions_with_open_records(
        &self,
        timeout: Duration,
    ) -> Result<Vec<OpenPartition>, KafkaError> {
        let mut open = Vec::new();
        for topic in &self.scope.topics {
            for partition in self.partitions_of(topic, timeout)? {
                let (_, stable) = self
                    .read_committed
                    .fetch_watermarks(topic, partition, timeout)?;
                let (_, end) = self
                    .read_uncommitted
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

/// Makes every error retriable: an error decides nothing, and the same request is sent again.
fn retriable(error: KafkaError) -> TransactionError {
    TransactionError::Retriable(error.to_string())
}

impl ClusterView for KafkaCluster {
    fn committed(
        &self,
        partitions: Option<&[Partition]>,
        timeout: Duration,
    ) -> Result<Positions, TransactionError> {
        let all;
        let partitions = match partitions {
            Some(partitions) => partitions,
            None => {
                all = self
                    .partitions_of(&self.scope.source, timeout)
                    .map_err(retriable)?;
                &all
            }
        };
        self.offsets(&self.read_uncommitted, partitions, timeout)
            .map_err(retriable)
    }

    fn held_back(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Partition>, TransactionError> {
        let mut held_back = Vec::new();
        let until = Instant::now() + timeout * 2;
        self.bisect_held_back(partitions, timeout, until, &mut held_back)
            .map_err(retriable)?;
        Ok(held_back)
    }

    fn open_partitions(&self, timeout: Duration) -> Result<Vec<OpenPartition>, TransactionError> {
        self.partitions_with_open_records(timeout)
            .map_err(retriable)
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
        (partition, offset): (Partition, Offset),
        open: &[OpenPartition],
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let timeout = timeout.max(ABORT_CALL_TIMEOUT);
        let offset = KafkaOffset::Offset(offset.max(0));
        let source = &self.cluster.scope.source;
        let offsets = partition_list(source, [(partition, offset)]).map_err(retriable)?;
        // This client is no member: its metadata has only the group's name.
        let group = self
            .cluster
            .read_uncommitted
            .group_metadata()
            .ok_or_else(|| {
                TransactionError::Fatal("the client has no group metadata".to_owned())
            })?;
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
