//! Hanging transactions: for their coordinator they have ended, on some partitions they are still open.
//!
//! A broker that restarts may skip a transaction's markers for partitions whose leader it does not know
//! yet ("Couldn't find leader endpoint ... likely deleted already and hence can be skipped", Kafka 4.3,
//! `TransactionMarkerChannelManager`). The transaction's coordinator then takes it for ended, and on
//! those partitions, the group's offsets among them, it stays open. The next marker of the same producer
//! ends it there, be it a commit or an abort: a commit would commit offsets of records whose vouchers
//! were never written.
//!
//! So a producer that takes over its ids looks for offsets of its group that are held back:
//!
//! 1. Most are held back by a busy sibling: its transactions end, or its offsets move on. Nothing is
//!    written.
//! 2. For what is held back longer than [`SUSPECT_AFTER`], each id sends one offset of the group, and
//!    nothing else, in a transaction and aborts it. That ends what this id left hanging among the
//!    group's offsets, and nothing of another id.
//! 3. Offsets that are stable after that were held back by this id. Only then its open records are
//!    aborted too. They may have been committed, with their markers lost. Nothing is lost with them:
//!    their offsets were aborted in step 2, so their records are read again.
//! 4. Offsets that are still held back belong to another id. They hold back no other partition, so the
//!    owner goes on.
//!
//! Where no offsets hang, an id's open records in a topic are left alone: they may belong to offsets
//! that were committed.

mod cluster;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use cluster::{KafkaCluster, ProducerAborter};

use super::bounded_producer::Producer;
use super::limits::{MARKERS_TIMEOUT, MIN_STABLE_OFFSETS_TIMEOUT, RECHECK_PAUSE, SUSPECT_AFTER};
use super::transaction::TransactionError;
use crate::kafka::KafkaSettings;
use crate::lifecycle::Failure;
use crate::record::{Offset, Partition, Positions};

/// What the transactions of some ids may have written.
#[derive(Debug, Clone)]
pub struct TransactionScope {
    /// The group whose offsets they commit.
    pub group: String,
    /// The topic that the group reads.
    pub source: String,
    /// The topics that they write.
    pub topics: Vec<String>,
}

/// The offset that stands for "nothing committed" among committed offsets.
const NOTHING_COMMITTED: Offset = -1;

/// A partition whose records are held back from `stable` on.
#[derive(Debug, Clone, PartialEq)]
struct OpenPartition {
    topic: String,
    partition: Partition,
    stable: Offset,
}

/// What the search asks the cluster.
trait ClusterView {
    /// Returns the group's offsets as they were last committed; without `partitions` those of all.
    fn committed(
        &self,
        partitions: Option<&[Partition]>,
        timeout: Duration,
    ) -> Result<Positions, TransactionError>;

    /// Returns those of `partitions` whose offsets an open transaction holds back.
    fn held_back(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Partition>, TransactionError>;

    /// Returns the partitions of the written topics in which records are held back.
    fn open_partitions(&self, timeout: Duration) -> Result<Vec<OpenPartition>, TransactionError>;
}

/// One of the owner's ids.
trait Aborter {
    /// Opens a transaction on an offset of the group and on these partitions, and aborts it.
    fn abort(
        &self,
        offset: (Partition, Offset),
        open: &[OpenPartition],
        timeout: Duration,
    ) -> Result<(), TransactionError>;
}

/// Looks for hanging transactions within a [`TransactionScope`], and aborts those of its owner's ids.
pub(super) struct HangingTransactions {
    cluster: KafkaCluster,
    search: Search,
}

impl HangingTransactions {
    /// Builds the clients. Does not talk to the broker.
    pub(super) fn new(settings: &KafkaSettings, scope: TransactionScope) -> Result<Self, Failure> {
        Ok(Self {
            cluster: KafkaCluster::new(settings, scope)?,
            search: Search::default(),
        })
    }

    /// Aborts what `producers`, which have taken over their ids, left hanging. Retriable until that is
    /// done.
    pub(super) fn abort(
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

/// The state of the search.
#[derive(Default)]
struct Search {
    /// Since when each check has found offsets that are held back.
    since: Option<Instant>,
    /// The partitions whose offsets are held back, with the offset committed before.
    suspects: Positions,
}

impl Search {
    fn step(
        &mut self,
        cluster: &impl ClusterView,
        aborters: &[impl Aborter],
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.check(cluster, timeout)?;
        let Some(since) = self.since else {
            return Ok(());
        };
        if since.elapsed() < SUSPECT_AFTER {
            return Err(TransactionError::Retriable(format!(
                "offsets of partitions {:?} are held back by open transactions",
                self.partitions()
            )));
        }
        for aborter in aborters {
            self.abort_of(cluster, aborter, timeout)
                // A part may be done: new producers start the search again.
                .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        }
        if !self.suspects.is_empty() {
            tracing::warn!(
                partitions = ?self.partitions(),
                "an open transaction of another producer holds back offsets of the group; these partitions wait until it ends"
            );
        }
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        self.suspects.keys().copied().collect()
    }

    /// Finds the partitions that are held back. After the first check, only those remain suspects
    /// that are still held back and whose offsets have not moved.
    fn check(
        &mut self,
        cluster: &impl ClusterView,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let suspects = self.since.map(|_| self.partitions());
        let began = Instant::now();
        let committed = cluster.committed(suspects.as_deref(), timeout)?;
        // Four times what the coordinator took for this answer, so that a slow coordinator is not taken
        // for offsets that are held back.
        let least = MIN_STABLE_OFFSETS_TIMEOUT;
        let stable_timeout = (began.elapsed() * 4).clamp(least, timeout.max(least));
        let asked: Vec<_> = committed.keys().copied().collect();
        let held_back = cluster.held_back(&asked, stable_timeout)?;
        let is_first = self.since.is_none();
        let before = std::mem::take(&mut self.suspects);
        self.suspects = committed
            .into_iter()
            .filter(|(partition, _)| held_back.contains(partition))
            .filter(|(partition, offset)| is_first || before.get(partition) == Some(offset))
            .collect();
        self.since = match self.since {
            _ if self.suspects.is_empty() => None,
            None => Some(began),
            since => since,
        };
        Ok(())
    }

    /// Aborts what one id left hanging, if that is what holds suspects back.
    fn abort_of(
        &mut self,
        cluster: &impl ClusterView,
        aborter: &impl Aborter,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let Some((partition, offset)) = self.suspects.first_key_value() else {
            return Ok(());
        };
        let offset = (*partition, *offset);
        let asked = self.partitions();
        aborter.abort(offset, &[], timeout)?;
        let held_back = cluster.held_back(&asked, MARKERS_TIMEOUT)?;
        if held_back.len() == asked.len() {
            return Ok(());
        }
        self.suspects
            .retain(|partition, _| held_back.contains(partition));
        let mut open = cluster.open_partitions(timeout)?;
        std::thread::sleep(RECHECK_PAUSE);
        let still_open = cluster.open_partitions(timeout)?;
        open.retain(|one| still_open.contains(one));
        if !open.is_empty() {
            aborter.abort(offset, &open, timeout)?;
        }
        tracing::warn!(
            partitions = ?asked, records = ?open,
            "a hanging transaction of this transactional id held back the group's offsets; it was aborted"
        );
        Ok(())
    }
}
