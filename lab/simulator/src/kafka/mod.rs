//! A model of Kafka: what of it the promises rest on, and no more.

pub mod group;
pub mod log;
pub mod transactions;

use std::time::Duration;

use runtime::record::{Partition, Positions};

use crate::random::Random;
use group::Group;
use log::{PartitionLog, ProducerId, Record};
use transactions::{Coordinator, Ending, Identity, Refused};

/// The topics, by number.
pub const TOPICS: [&str; 5] = [
    "order-status",
    "vouchers",
    "order-status.dlq",
    "vouchers.dlq",
    "relayed",
];
/// `order-status`.
pub const ORDER_STATUS: usize = 0;
/// `vouchers`.
pub const VOUCHERS: usize = 1;
/// `order-status.dlq`.
pub const ORDER_STATUS_DLQ: usize = 2;
/// `vouchers.dlq`.
pub const VOUCHERS_DLQ: usize = 3;
/// What the relay publishes: an `order-status` of its own, since what the processor reads has its
/// expectations written down place by place.
pub const RELAYED: usize = 4;
/// Those that are compacted: they take no record without a key.
pub const COMPACTED: [usize; 2] = [ORDER_STATUS, RELAYED];

/// The broker: topics, two groups, one transaction coordinator.
#[derive(Debug)]
pub struct Broker {
    topics: [Vec<PartitionLog>; 5],
    /// The processor's group and the sink's, by the number of the topic that they read.
    pub groups: [Group; 2],
    /// All transactional ids.
    pub transactions: Coordinator,
    /// A relayed order whose newest record is not its highest version: none may be.
    pub regression: Option<String>,
}

impl Broker {
    /// Empty topics with so many partitions each.
    pub fn new(partitions: Partition) -> Self {
        let topic = || (0..partitions).map(|_| PartitionLog::default()).collect();
        Self {
            topics: [topic(), topic(), topic(), topic(), topic()],
            regression: None,
            groups: [Group::new(partitions), Group::new(partitions)],
            transactions: Coordinator::default(),
        }
    }

    /// A topic's partitions.
    pub fn topic(&self, topic: usize) -> &[PartitionLog] {
        &self.topics[topic]
    }

    /// One partition.
    pub fn log(&self, topic: usize, partition: Partition) -> &PartitionLog {
        &self.topics[topic][index(partition)]
    }

    /// One partition, to be written.
    pub fn log_mut(&mut self, topic: usize, partition: Partition) -> &mut PartitionLog {
        &mut self.topics[topic][index(partition)]
    }

    /// The partition of a key, the same for every producer.
    pub fn partition_of(&self, key: Option<&[u8]>) -> Partition {
        let hash = key.unwrap_or_default().iter().fold(7_u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(u32::from(*byte))
        });
        let count = self.topics[ORDER_STATUS].len() as u32;
        Partition::try_from(hash % count).unwrap_or(0)
    }

    /// Appends outside of a transaction.
    pub fn append(&mut self, topic: usize, record: Record) {
        let partition = self.partition_of(record.key.as_deref());
        self.log_mut(topic, partition).append(record, None);
    }

    /// Appends within the producer's transaction.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn produce(
        &mut self,
        identity: Identity,
        topic: usize,
        record: Record,
        now: Duration,
    ) -> Result<(), Refused> {
        let partition = self.partition_of(record.key.as_deref());
        self.transactions
            .add(identity, Some((topic, partition)), now)?;
        self.log_mut(topic, partition)
            .append(record, Some(identity.producer));
        Ok(())
    }

    /// Takes over a transactional id.
    pub fn init(&mut self, id: &str, fences: bool) -> Identity {
        let (identity, ending) = self.transactions.init(id, fences);
        self.finish(ending);
        identity
    }

    /// Adds a group's offsets to the producer's transaction; the caller checked the member.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn add_offsets(
        &mut self,
        identity: Identity,
        group: usize,
        positions: &Positions,
        now: Duration,
    ) -> Result<(), Refused> {
        self.transactions.add(identity, None, now)?;
        self.groups[group].add_pending(identity.producer, positions);
        Ok(())
    }

    /// Ends a transaction.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn end(&mut self, identity: Identity, commit: bool) -> Result<(), Refused> {
        let ending = self.transactions.end(identity, commit)?;
        self.finish(ending);
        Ok(())
    }

    /// What time does: silent members are put out, old transactions aborted.
    pub fn expire(&mut self, now: Duration, random: &mut Random) {
        for group in &mut self.groups {
            group.expire(now, random);
        }
        for ending in self.transactions.expire(now) {
            self.finish(Some(ending));
        }
    }

    fn finish(&mut self, ending: Option<Ending>) {
        let Some(Ending {
            producer,
            commit,
            partitions,
        }) = ending
        else {
            return;
        };
        for (topic, partition) in partitions {
            self.log_mut(topic, partition).mark(producer, commit);
            if commit && topic == RELAYED {
                let regression = crate::invariants::regression(self.log(topic, partition));
                self.regression = self.regression.take().or(regression);
            }
        }
        for group in &mut self.groups {
            group.settle(producer, commit);
        }
    }

    /// A batch of another producer's transaction, in one go (the relay's).
    pub fn append_in_transaction(&mut self, records: Vec<Record>, commit: bool) {
        const RELAY: ProducerId = 0;
        let mut touched = std::collections::BTreeSet::new();
        for record in records {
            let partition = self.partition_of(record.key.as_deref());
            self.log_mut(ORDER_STATUS, partition)
                .append(record, Some(RELAY));
            touched.insert(partition);
        }
        for partition in touched {
            self.log_mut(ORDER_STATUS, partition).mark(RELAY, commit);
        }
    }
}

/// A partition's place in its topic.
fn index(partition: Partition) -> usize {
    usize::try_from(partition).unwrap_or(0)
}
