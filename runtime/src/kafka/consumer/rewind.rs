//! Reads again from the committed offsets: when a batch cannot be written again, and whenever it is not known
//! whether a transaction was committed.

use std::time::{Duration, Instant};

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::committed_offsets::{OffsetResults, request};
use super::limits::DISTRUST_AFTER_OUTAGE;
use super::subscription::Subscription;
use crate::kafka::background_call::{BackgroundCall, timed_out};
use crate::kafka::partition_list;
use crate::record::Partition;

/// A rewind whose offsets are being requested.
pub(super) struct Rewind {
    /// The answer counts only while this is the current epoch.
    epoch: u64,
    request: BackgroundCall<OffsetResults>,
}

impl Subscription {
    /// Reads every assigned partition again from its committed offset, or from its beginning. A
    /// partition that is still waiting for its offset needs no rewind.
    ///
    /// # Errors
    /// When the coordinator does not return the offsets within `timeout`, or has not returned the
    /// same ones for long enough after an outage. Call it again: the request goes on meanwhile.
    pub(super) fn seek_to_committed(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        if self.has_failed() {
            // The client has no assignment any more, and the next poll returns the failure.
            let fetched: Vec<_> = self.positions.fetched.keys().copied().collect();
            for partition in fetched {
                self.positions.forget(partition);
            }
            return Ok(());
        }
        let halted = self.halted.keys();
        let mut partitions: Vec<_> = self
            .positions
            .fetched
            .keys()
            .chain(halted)
            .copied()
            .collect();
        partitions.sort_unstable();
        partitions.dedup();
        if partitions.is_empty() {
            return Ok(());
        }
        let committed = self.committed_offsets_within(timeout, partitions)?;
        self.seek(&committed, timeout)
    }

    /// Drops the request of a rewind that was begun. Its answer may be older than the end of the last
    /// transaction.
    pub fn forget_answers(&mut self) {
        self.rewind = None;
    }

    /// Returns the committed offsets of all of these partitions, or an error.
    fn committed_offsets_within(
        &mut self,
        timeout: Duration,
        partitions: Vec<Partition>,
    ) -> Result<Vec<(Partition, KafkaOffset)>, KafkaError> {
        let epoch = self.context().epoch();
        let begun = self.rewind.take().filter(|rewind| rewind.epoch == epoch);
        let rewind = begun.unwrap_or_else(|| Rewind {
            epoch,
            request: request(self.queue.client(), &self.topic, partitions),
        });
        let Some(answer) = rewind.request.answer(timeout) else {
            self.rewind = Some(rewind);
            return Err(timed_out());
        };
        let mut committed = Vec::new();
        let mut all_settled = true;
        for (partition, offset) in answer? {
            let offset = offset?;
            all_settled &= self.is_settled(partition, offset);
            committed.push((partition, offset));
        }
        if all_settled {
            Ok(committed)
        } else {
            Err(KafkaError::OffsetFetch(
                RDKafkaErrorCode::CoordinatorLoadInProgress,
            ))
        }
    }

    /// Returns whether a committed offset can be relied on: shortly after an outage, only once the
    /// coordinator has returned it unchanged for long enough.
    pub(super) fn is_settled(&mut self, partition: Partition, offset: KafkaOffset) -> bool {
        let after_outage = self.context().connection_lost_within(DISTRUST_AFTER_OUTAGE);
        self.unsettled
            .is_settled(partition, offset, after_outage, Instant::now())
    }

    fn seek(
        &mut self,
        offsets: &[(Partition, KafkaOffset)],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let mut fetched = Vec::new();
        for (partition, offset) in offsets {
            self.positions.forget(*partition);
            self.unsettled.forget(*partition);
            self.stalls.reset(*partition);
            self.lag.note_rewound(*partition);
            if let Some(start) = self.positions.fetched.get_mut(partition) {
                *start = *offset;
                fetched.push((*partition, *offset));
            } else if let Some(halted) = self.halted.get_mut(partition)
                && halted.resume_at != *offset
            {
                halted.resume_at = *offset;
                halted.retry_at = Some(Instant::now());
            }
        }
        if fetched.is_empty() {
            return Ok(());
        }
        let list = partition_list(&self.topic, fetched)?;
        let sought = self.queue.client().seek_partitions(list, timeout)?;
        for element in sought.elements() {
            element.error()?;
        }
        Ok(())
    }
}
