//! Hanging transactions: what the broker forgot to end.
//!
//! A broker that restarts may skip a transaction's markers for partitions whose leader it does not
//! know yet ("Couldn't find leader endpoint ... likely deleted already and hence can be skipped",
//! Kafka 4.3, `TransactionMarkerChannelManager`): the transaction's coordinator takes it for ended,
//! and on those partitions, the group's offsets among them, it stays open. The next marker of the
//! same producer ends it, whichever that is: a commit would commit offsets of records whose vouchers
//! were never written.
//!
//! So whoever takes over its ids looks for offsets of its group that are held back. Most are a busy
//! sibling's: its transactions end, or its offsets move on, and nothing is written then. What is
//! still held back after [`SIBLINGS_MOVE_ON`] is tried: the owner adds offsets of the group, and
//! nothing else, to a transaction of each of its ids and aborts it. That ends exactly what this id
//! left hanging among the group's offsets, and nothing of anybody else's. Offsets that become
//! stable by that were ours, and only then the id's open records are aborted too. They may have
//! been committed with the markers lost: nothing is lost with them, since their offsets were
//! dropped and their records are read again.
//!
//! Offsets that stay held back are another's. They hold back no other partition, so the owner goes
//! on. And where no offsets of ours hang, what is open of ours in a topic is left alone: it may
//! belong to offsets that count.

mod cluster;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster::{KafkaCluster, ProducerAborter};

use super::Producer;
use super::settings::KafkaSettings;
use super::transaction::TransactionError;
use crate::lifecycle::Failure;
use crate::record::Partition;

/// How long a busy sibling's offsets may look held back before anything is tried.
const SIBLINGS_MOVE_ON: Duration = Duration::from_secs(3);

/// How long the markers of an abort may take to release the offsets.
const MARKERS: Duration = Duration::from_secs(1);

/// Between two looks at open partitions: a transaction that goes on has moved by then.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// The least time that stable offsets are given to come.
const SHORTEST_LOOK: Duration = Duration::from_millis(150);

/// Where an owner of transactional ids writes, and whose offsets it commits.
#[derive(Debug, Clone)]
pub struct TransactionScope {
    /// The group.
    pub group: String,
    /// The topic that the group reads.
    pub source: String,
    /// The topics that are written to.
    pub topics: Vec<String>,
}

/// Partitions of the source and the offset that the group committed last, [`NOTHING_COMMITTED`] if
/// none.
type Offsets = BTreeMap<Partition, i64>;

const NOTHING_COMMITTED: i64 = -1;

/// A partition that holds back records from `stable` on.
#[derive(Debug, Clone, PartialEq)]
struct OpenPartition {
    topic: String,
    partition: Partition,
    stable: i64,
}

/// What the search needs of the cluster.
trait Cluster {
    /// The group's offsets, as they were last committed; without `partitions` of all of them.
    fn committed(
        &self,
        partitions: Option<&[Partition]>,
        timeout: Duration,
    ) -> Result<Offsets, TransactionError>;

    /// Those of `partitions` whose offsets a transaction holds back.
    fn held_back(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Partition>, TransactionError>;

    /// The partitions of the topics that are written to which hold back records.
    fn open_partitions(&self, timeout: Duration) -> Result<Vec<OpenPartition>, TransactionError>;
}

/// One of the owner's ids.
trait Aborter {
    /// Opens a transaction on an offset of the group and on these partitions, and aborts it.
    fn abort(
        &self,
        offset: (Partition, i64),
        open: &[OpenPartition],
        timeout: Duration,
    ) -> Result<(), TransactionError>;
}

/// Looks for hanging transactions within a [`TransactionScope`], and ends those of its owner.
pub(super) struct HangingTransactions {
    cluster: KafkaCluster,
    search: Search,
}

impl HangingTransactions {
    /// Does not talk to the broker yet.
    pub(super) fn new(settings: &KafkaSettings, scope: TransactionScope) -> Result<Self, Failure> {
        Ok(Self {
            cluster: KafkaCluster::new(settings, scope)?,
            search: Search::default(),
        })
    }

    /// Ends what `producers`, which have taken over their ids, left hanging.
    ///
    /// Retriable until that is done.
    pub(super) fn end(
        &mut self,
        producers: &[Producer],
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let aborters: Vec<_> = producers
            .iter()
            .map(|producer| ProducerAborter::new(producer, &self.cluster))
            .collect();
        self.search.step(&self.cluster, &aborters, timeout)
    }
}

/// How far the search is.
#[derive(Default)]
struct Search {
    /// Since when offsets were held back at every look.
    since: Option<Instant>,
    /// Which they are.
    suspects: Offsets,
}

impl Search {
    fn step(
        &mut self,
        cluster: &impl Cluster,
        aborters: &[impl Aborter],
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.look(cluster, timeout)?;
        let Some(since) = self.since else {
            return Ok(());
        };
        if since.elapsed() < SIBLINGS_MOVE_ON {
            return Err(TransactionError::Retriable(format!(
                "offsets of partitions {:?} are held back by open transactions",
                self.partitions()
            )));
        }
        for aborter in aborters {
            self.try_one(cluster, aborter, timeout)
                // Half way: whoever comes next begins anew.
                .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        }
        if !self.suspects.is_empty() {
            tracing::warn!(
                partitions = ?self.partitions(),
                "offsets of the group are held back by another's transaction; these partitions wait for its end"
            );
        }
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        self.suspects.keys().copied().collect()
    }

    /// Keeps those suspects that are held back still, and whose offsets have not moved.
    fn look(&mut self, cluster: &impl Cluster, timeout: Duration) -> Result<(), TransactionError> {
        let known = self.since.map(|_| self.partitions());
        let began = Instant::now();
        let committed = cluster.committed(known.as_deref(), timeout)?;
        // A slow coordinator is given several times what it took to answer.
        let patience = (began.elapsed() * 4).clamp(SHORTEST_LOOK, timeout.max(SHORTEST_LOOK));
        let asked: Vec<_> = committed.keys().copied().collect();
        let held_back = cluster.held_back(&asked, patience)?;
        let first = self.since.is_none();
        let before = std::mem::take(&mut self.suspects);
        self.suspects = committed
            .into_iter()
            .filter(|(partition, _)| held_back.contains(partition))
            .filter(|(partition, offset)| first || before.get(partition) == Some(offset))
            .collect();
        self.since = match self.since {
            _ if self.suspects.is_empty() => None,
            None => Some(began),
            since => since,
        };
        Ok(())
    }

    /// Finds out whether suspects are of this id, and ends its transaction if so.
    fn try_one(
        &mut self,
        cluster: &impl Cluster,
        aborter: &impl Aborter,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let Some((partition, offset)) = self.suspects.first_key_value() else {
            return Ok(());
        };
        let offset = (*partition, *offset);
        let asked = self.partitions();
        aborter.abort(offset, &[], timeout)?;
        let rest = cluster.held_back(&asked, MARKERS)?;
        if rest.len() == asked.len() {
            return Ok(());
        }
        self.suspects
            .retain(|partition, _| rest.contains(partition));
        let mut open = cluster.open_partitions(timeout)?;
        std::thread::sleep(SECOND_LOOK);
        let again = cluster.open_partitions(timeout)?;
        open.retain(|one| again.contains(one));
        if !open.is_empty() {
            aborter.abort(offset, &open, timeout)?;
        }
        tracing::warn!(
            partitions = ?asked, records = ?open,
            "a hanging transaction of ours held back the group's offsets; it is aborted"
        );
        Ok(())
    }
}
