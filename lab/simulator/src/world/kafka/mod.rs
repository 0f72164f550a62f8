//! A model of the parts of Kafka that the promises rest on.

pub mod group;
pub mod log;
pub mod relayed;
pub mod transactions;

use std::time::Duration;

use runtime::record::Partition;

use crate::random::Random;
use group::{Group, GroupOffsets};
use log::{PartitionLog, ProducerId, Record};
use transactions::{Coordinator, Ending, ProducerIdentity, Refused};

/// The topics, by index.
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
/// The topic that the relay publishes to. It is not `order-status`, because the workload keeps an expected
/// outcome for every offset of that one.
pub const RELAYED: usize = 4;
/// The compacted topics, which refuse a record without a key.
pub const COMPACTED: [usize; 2] = [ORDER_STATUS, RELAYED];

/// The broker: topics, two groups, one transaction coordinator.
#[derive(Debug)]
pub struct Broker {
    topics: [Vec<PartitionLog>; 5],
    /// The processor's and the sink's groups, by the index of the topic that they read.
    pub groups: [Group; 2],
    /// The transaction coordinator.
    pub transactions: Coordinator,
    /// Whether the broker forgets markers of the processors' transactions at present.
    pub forgets_markers: bool,
    hanging: Vec<Hanging>,
    forgotten: ProducerId,
    /// Describes a relayed order whose newest record is not its highest version, which must never happen.
    pub regression: Option<String>,
}

impl Broker {
    /// Creates empty topics with `partitions` partitions each.
    pub fn new(partitions: Partition) -> Self {
        let topic = || (0..partitions).map(|_| PartitionLog::default()).collect();
        Self {
            topics: [topic(), topic(), topic(), topic(), topic()],
            forgets_markers: false,
            hanging: Vec::new(),
            forgotten: FIRST_HANGING,
            regression: None,
            groups: [Group::new(partitions), Group::new(partitions)],
            transactions: Coordinator::default(),
        }
    }

    /// Returns the partitions of a topic.
    pub fn topic(&self, topic: usize) -> &[PartitionLog] {
        &self.topics[topic]
    }

    /// Returns one partition.
    pub fn log(&self, topic: usize, partition: Partition) -> &PartitionLog {
        &self.topics[topic][index(partition)]
    }

    /// Returns one partition to write to.
    pub fn log_mut(&mut self, topic: usize, partition: Partition) -> &mut PartitionLog {
        &mut self.topics[topic][index(partition)]
    }

    /// Returns the partition of a key, which is the same for every producer.
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
        identity: ProducerIdentity,
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
    pub fn init(&mut self, id: &str, fences: bool) -> ProducerIdentity {
        let (identity, ending) = self.transactions.init(id, fences);
        self.finish_for(ending);
        identity
    }

    /// Returns whether the group's coordinator accepts these offsets now.
    pub fn accepts(&self, offsets: &GroupOffsets) -> bool {
        let group = &self.groups[offsets.group];
        offsets.member.is_none_or(|sender| group.accepts(sender))
    }

    /// Adds a group's offsets to the transaction that the producer has open at this moment, and opens one
    /// if there is none. Returns whether the group's coordinator accepts their sender.
    ///
    /// In Kafka these are two requests, one to each coordinator. The model makes them one, which may open a
    /// transaction even when it arrives late. Kafka refuses the second request then (KIP-890).
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn add_offsets(
        &mut self,
        identity: ProducerIdentity,
        offsets: &GroupOffsets,
        now: Duration,
    ) -> Result<bool, Refused> {
        if !self.accepts(offsets) {
            return Ok(false);
        }
        self.transactions.add(identity, None, now)?;
        self.groups[offsets.group].add_pending(identity.producer, &offsets.positions);
        Ok(true)
    }

    /// Ends a transaction.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn end(&mut self, identity: ProducerIdentity, commit: bool) -> Result<(), Refused> {
        match self.transactions.end(identity, commit)? {
            // The markers of an abort by the owner are not forgotten: the owner does not take over its id
            // after it, so nothing would end the hanging transaction.
            Some(ending) if !commit => self.finish(ending),
            ending => self.finish_for(ending),
        }
        Ok(())
    }

    /// Removes members whose sessions have expired, and aborts transactions past their timeout.
    pub fn expire(&mut self, now: Duration, random: &mut Random) {
        for group in &mut self.groups {
            group.expire(now, random);
        }
        for ending in self.transactions.expire(now) {
            self.finish_for(Some(ending));
        }
    }

    /// Resets offsets that are out of range and writes the forgotten markers, as a person would.
    pub fn put_right(&mut self) {
        self.forgets_markers = false;
        for one in std::mem::take(&mut self.hanging) {
            let commit = one.commit;
            self.end_one(&one, commit);
        }
        for group in &mut self.groups {
            group.put_right();
        }
    }

    /// Aborts the hanging transactions of a producer that hold back offsets of the group, as its client
    /// does after a takeover. Hanging transactions whose offsets are committed stay as they are. With
    /// `group_wide`, a planted bug, offsets that any producer's transaction holds back count as its own.
    pub fn end_hanging(&mut self, identity: ProducerIdentity, group_wide: bool) {
        let group = &self.groups[ORDER_STATUS];
        let (ours, others) = std::mem::take(&mut self.hanging)
            .into_iter()
            .partition::<Vec<_>, _>(|one| {
                one.owner == identity.producer
                    && (group.is_pending(one.id) || group_wide && group.has_pending())
            });
        self.hanging = others;
        for one in ours {
            self.end_one(&one, false);
        }
    }

    fn end_one(&mut self, one: &Hanging, commit: bool) {
        for (topic, partition) in &one.places {
            self.log_mut(*topic, *partition).mark(one.id, commit);
        }
        self.groups[ORDER_STATUS].settle(one.id, commit);
    }

    /// Forgets markers of a processor's transaction: of an abort all of them, the offsets' included; of a
    /// commit that of one partition, while its offsets are committed.
    fn forget(&mut self, ending: &mut Ending) {
        let group = &mut self.groups[ORDER_STATUS];
        if !group.is_pending(ending.producer) {
            return;
        }
        self.forgotten += 1;
        let id = self.forgotten;
        let places: Vec<_> = if ending.commit {
            ending.partitions.pop_first().into_iter().collect()
        } else {
            group.hang(ending.producer, id);
            std::mem::take(&mut ending.partitions).into_iter().collect()
        };
        for (topic, partition) in &places {
            self.log_mut(*topic, *partition).hang(ending.producer, id);
        }
        self.hanging.push(Hanging {
            owner: ending.producer,
            id,
            commit: ending.commit,
            places,
        });
    }

    /// Ends a transaction whose markers the broker may forget: one that it aborts itself, or a commit.
    fn finish_for(&mut self, ending: Option<Ending>) {
        let Some(mut ending) = ending else { return };
        if self.forgets_markers {
            self.forget(&mut ending);
        }
        self.finish(ending);
    }

    fn finish(&mut self, ending: Ending) {
        let Ending {
            producer,
            commit,
            partitions,
        } = ending;
        for (topic, partition) in partitions {
            self.log_mut(topic, partition).mark(producer, commit);
            if commit && topic == RELAYED {
                let regression = relayed::regression(self.log(topic, partition));
                self.regression = self.regression.take().or(regression);
            }
        }
        for group in &mut self.groups {
            group.settle(producer, commit);
        }
    }

    /// Appends a whole transaction of a relay to `order-status`, and commits or aborts it.
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

/// A hanging transaction: some partitions have no marker of it. In Kafka the next marker of the same
/// producer ends it too. The model keeps it apart from later transactions, as if a person had written its
/// marker before them.
#[derive(Debug)]
struct Hanging {
    owner: ProducerId,
    /// The producer id under which its records and offsets are kept.
    id: ProducerId,
    commit: bool,
    places: Vec<(usize, Partition)>,
}

/// Above the ids of all real producers.
const FIRST_HANGING: ProducerId = 1_000_000;

/// Returns a partition's index in its topic.
fn index(partition: Partition) -> usize {
    usize::try_from(partition).unwrap_or(0)
}
