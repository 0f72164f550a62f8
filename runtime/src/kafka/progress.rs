//! How far a subscription has come in its partitions.

use std::collections::BTreeMap;

use rdkafka::Offset as KafkaOffset;

use super::AssignmentChange;
use crate::record::{Offset, Partition, Positions};

/// What the last polls told.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) changes: Vec<AssignmentChange>,
    /// What the client reads, and from where it was told to.
    pub(super) placed: BTreeMap<Partition, KafkaOffset>,
    /// The next offset of each partition of which something was handed out, or the end reached, but
    /// for the `latest`.
    next: Positions,
    /// That of the partition that was read last: spares a look-up per record.
    latest: Option<(Partition, Offset)>,
}

impl Progress {
    /// Takes over a record that is handed out. False for the same one again: a partition that
    /// librdkafka pauses for a rebalance at the very moment when a record is taken begins with that
    /// record when it goes on. (So would one that replaced it in a topic that was made anew, if it
    /// came before the end of the empty topic was told.)
    pub(super) fn pass(&mut self, partition: Partition, offset: Offset) -> bool {
        let next = offset + 1;
        match &mut self.latest {
            Some((latest, known)) if *latest == partition => {
                let is_new = *known != next;
                *known = next;
                is_new
            }
            _ => self.reached(partition, next) != Some(next),
        }
    }

    /// The partition was read up to here. What was known of it before.
    pub(super) fn reached(&mut self, partition: Partition, next: Offset) -> Option<Offset> {
        self.next.extend(self.latest.replace((partition, next)));
        self.next.remove(&partition)
    }

    /// The next offset of each of these partitions.
    pub(super) fn positions(&self) -> Positions {
        let mut positions = self.next.clone();
        positions.extend(self.latest);
        positions
    }

    /// The next offset of this partition, if something of it was handed out or its end reached.
    pub(super) fn next_of(&self, partition: Partition) -> Option<Offset> {
        match self.latest {
            Some((latest, next)) if latest == partition => Some(next),
            _ => self.next.get(&partition).copied(),
        }
    }

    /// From where this partition is to be read when the client reads it anew.
    pub(super) fn due(&self, partition: Partition) -> KafkaOffset {
        let placed = self.placed.get(&partition);
        match self.next_of(partition) {
            Some(next) => KafkaOffset::Offset(next),
            None => placed.copied().unwrap_or(KafkaOffset::Beginning),
        }
    }

    /// Where each partition stands that the client reads; 0 at the beginning of a log.
    pub(super) fn standing(&self) -> Positions {
        let offset = |partition| match self.due(partition) {
            KafkaOffset::Offset(offset) => offset,
            _ => 0,
        };
        let partitions = self.placed.keys().copied();
        partitions.map(|one| (one, offset(one))).collect()
    }

    /// It is read from another place, or not at all.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.latest.take_if(|(latest, _)| *latest == partition);
        self.next.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_behind_what_was_handed_out_or_ended() {
        let mut progress = Progress::default();
        for (partition, offset) in [(0, 5), (0, 6), (1, 3), (0, 8)] {
            assert!(progress.pass(partition, offset));
        }
        progress.reached(1, 7);
        assert_eq!(progress.positions(), Positions::from([(0, 9), (1, 7)]));
        progress.forget(1);
        assert_eq!(progress.positions(), Positions::from([(0, 9)]));
        progress.forget(0);
        assert_eq!(progress.positions(), Positions::new());
    }

    #[test]
    fn a_partition_is_read_anew_from_behind_what_was_handed_out_or_from_its_place() {
        let mut progress = Progress {
            placed: BTreeMap::from([(0, KafkaOffset::Offset(5)), (1, KafkaOffset::Beginning)]),
            ..Progress::default()
        };
        assert_eq!(progress.due(0), KafkaOffset::Offset(5));
        assert_eq!(progress.due(1), KafkaOffset::Beginning);
        progress.pass(0, 7);
        progress.pass(1, 3);
        assert_eq!(progress.due(0), KafkaOffset::Offset(8));
        assert_eq!(progress.standing(), Positions::from([(0, 8), (1, 4)]));
    }

    #[test]
    fn the_same_record_again_is_told_and_an_earlier_one_is_not() {
        let mut progress = Progress::default();
        assert!(progress.pass(0, 5));
        assert!(!progress.pass(0, 5));
        assert!(progress.pass(1, 5));
        assert!(!progress.pass(0, 5));
        // The log was cut, and begins anew: these are other records.
        assert!(progress.pass(0, 2));
        assert!(progress.pass(0, 3));
    }
}
