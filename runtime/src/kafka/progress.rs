//! How far a subscription has come in its partitions.

use std::collections::BTreeSet;

use super::AssignmentChange;
use crate::record::{Offset, Partition, Positions};

/// What the last polls told.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) changes: Vec<AssignmentChange>,
    /// What the client reads.
    pub(super) placed: BTreeSet<Partition>,
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
