//! How far a subscription has read its partitions.

use std::collections::BTreeMap;

use rdkafka::Offset as KafkaOffset;

use crate::record::{Offset, Partition, Positions};

/// The next offset of each fetched partition.
#[derive(Default)]
pub(super) struct ReadPositions {
    /// The partitions that the client fetches, and the offset that each was started at.
    pub(super) fetched: BTreeMap<Partition, KafkaOffset>,
    /// The next offset of each partition of which a record was returned, or the end reached; except
    /// for the partition in `latest`.
    next: Positions,
    /// The next offset of the partition that was read last. Spares a look-up for most records.
    latest: Option<(Partition, Offset)>,
}

impl ReadPositions {
    /// Moves past a record that is about to be returned. Returns false when it is the record that
    /// was returned last: a partition that librdkafka pauses for a rebalance, at the very moment
    /// when a record is taken, resumes with the same record. (A topic that was deleted and created
    /// anew could begin with a record of that offset too, if it came before the empty topic's end.)
    pub(super) fn advance(&mut self, partition: Partition, offset: Offset) -> bool {
        let next = offset + 1;
        match &mut self.latest {
            Some((latest, known)) if *latest == partition => {
                let is_new = *known != next;
                *known = next;
                is_new
            }
            _ => self.set(partition, next) != Some(next),
        }
    }

    /// Returns whether this partition was read last.
    pub(super) fn is_latest(&self, partition: Partition) -> bool {
        self.latest.is_some_and(|(latest, _)| latest == partition)
    }

    /// Sets the next offset of a partition, and returns the one before.
    pub(super) fn set(&mut self, partition: Partition, next: Offset) -> Option<Offset> {
        self.next.extend(self.latest.replace((partition, next)));
        self.next.remove(&partition)
    }

    /// Returns the next offset of each partition of which a record was returned, or the end reached.
    pub(super) fn next_offsets(&self) -> Positions {
        let mut positions = self.next.clone();
        positions.extend(self.latest);
        positions
    }

    /// Returns the next offset of one partition, if a record of it was returned or its end reached.
    pub(super) fn next_offset(&self, partition: Partition) -> Option<Offset> {
        match self.latest {
            Some((latest, next)) if latest == partition => Some(next),
            _ => self.next.get(&partition).copied(),
        }
    }

    /// Returns where the client has to start when it fetches this partition anew.
    pub(super) fn resume_at(&self, partition: Partition) -> KafkaOffset {
        match self.next_offset(partition) {
            Some(next) => KafkaOffset::Offset(next),
            None => {
                let start = self.fetched.get(&partition);
                start.copied().unwrap_or(KafkaOffset::Beginning)
            }
        }
    }

    /// Returns the position of every fetched partition; 0 at the beginning of a log.
    pub(super) fn of_fetched(&self) -> Positions {
        let offset = |partition| match self.resume_at(partition) {
            KafkaOffset::Offset(offset) => offset,
            _ => 0,
        };
        let partitions = self.fetched.keys().copied();
        partitions.map(|one| (one, offset(one))).collect()
    }

    /// Forgets how far a partition was read, because it is read from another offset, or no longer.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.latest.take_if(|(latest, _)| *latest == partition);
        self.next.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_offsets_are_past_records_and_ends() {
        let mut positions = ReadPositions::default();
        for (partition, offset) in [(0, 5), (0, 6), (1, 3), (0, 8)] {
            assert!(positions.advance(partition, offset));
        }
        positions.set(1, 7);
        assert_eq!(positions.next_offsets(), Positions::from([(0, 9), (1, 7)]));
        positions.forget(1);
        assert_eq!(positions.next_offsets(), Positions::from([(0, 9)]));
        positions.forget(0);
        assert_eq!(positions.next_offsets(), Positions::new());
    }

    #[test]
    fn a_partition_resumes_past_its_last_record_or_where_it_was_started() {
        let mut positions = ReadPositions {
            fetched: BTreeMap::from([(0, KafkaOffset::Offset(5)), (1, KafkaOffset::Beginning)]),
            ..ReadPositions::default()
        };
        assert_eq!(positions.resume_at(0), KafkaOffset::Offset(5));
        assert_eq!(positions.resume_at(1), KafkaOffset::Beginning);
        positions.advance(0, 7);
        positions.advance(1, 3);
        assert_eq!(positions.resume_at(0), KafkaOffset::Offset(8));
        assert_eq!(positions.of_fetched(), Positions::from([(0, 8), (1, 4)]));
    }

    #[test]
    fn the_same_record_again_is_recognized_and_an_earlier_one_is_new() {
        let mut positions = ReadPositions::default();
        assert!(positions.advance(0, 5));
        assert!(!positions.advance(0, 5));
        assert!(positions.advance(1, 5));
        assert!(!positions.advance(0, 5));
        // The log was truncated and begins anew: these are other records.
        assert!(positions.advance(0, 2));
        assert!(positions.advance(0, 3));
    }
}
