//! The partitions of a task, and how far their offsets are known to be committed.

use std::collections::BTreeSet;

use crate::kafka::AssignmentChange;
use crate::record::{Partition, Positions};

/// What a task has of its topic.
#[derive(Debug, Default)]
pub struct Assignment {
    partitions: BTreeSet<Partition>,
    joined: bool,
    /// The highest offsets known to be committed.
    committed: Positions,
}

impl Assignment {
    /// Applies what rebalances did, and calls `revoked` with each partition that was taken away.
    /// Returns whether anything changed.
    pub fn apply(
        &mut self,
        changes: Vec<AssignmentChange>,
        mut revoked: impl FnMut(Partition),
    ) -> bool {
        if changes.is_empty() {
            return false;
        }
        for change in changes {
            match change {
                AssignmentChange::Assigned(partitions) => self.partitions.extend(partitions),
                AssignmentChange::Revoked(partitions) => {
                    for partition in partitions {
                        self.partitions.remove(&partition);
                        self.committed.remove(&partition);
                        revoked(partition);
                    }
                }
            }
        }
        self.joined = true;
        tracing::info!(partitions = ?self.partitions, "assignment");
        true
    }

    /// The number of assigned partitions.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Returns whether no partition is assigned.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Returns whether the group has assigned partitions, or none, since the task joined it.
    pub const fn has_joined(&self) -> bool {
        self.joined
    }

    /// Notes that these offsets are committed.
    pub fn note_committed(&mut self, positions: &Positions) {
        self.committed.extend(positions);
    }

    /// Forgets which offsets are committed: the group is asked for them again.
    pub fn forget_committed(&mut self) {
        self.committed.clear();
    }

    /// Keeps of `positions` those that are not committed yet.
    pub fn uncommitted(&self, mut positions: Positions) -> Positions {
        positions.retain(|partition, position| {
            self.committed
                .get(partition)
                .is_none_or(|committed| *position > *committed)
        });
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_partition_is_forgotten_with_its_offsets() {
        let mut assignment = Assignment::default();
        assert!(!assignment.apply(Vec::new(), |_| {}));
        assert!(!assignment.has_joined());
        let mut revoked = Vec::new();
        let assigned = AssignmentChange::Assigned(vec![0, 1]);
        assert!(assignment.apply(vec![assigned], |partition| revoked.push(partition)));
        assert!(assignment.has_joined() && revoked.is_empty());
        assignment.note_committed(&Positions::from([(0, 5), (1, 5)]));
        let taken = AssignmentChange::Revoked(vec![0]);
        assignment.apply(vec![taken], |partition| revoked.push(partition));
        assert_eq!((assignment.len(), revoked), (1, vec![0]));
        let positions = Positions::from([(0, 3), (1, 5)]);
        assert_eq!(
            assignment.uncommitted(positions),
            Positions::from([(0, 3)]),
            "what another owner committed is not known"
        );
    }

    #[test]
    fn only_what_goes_beyond_the_committed_offsets_is_uncommitted() {
        let mut assignment = Assignment::default();
        assignment.note_committed(&Positions::from([(0, 5), (1, 5)]));
        let positions = Positions::from([(0, 5), (1, 6), (2, 1)]);
        let uncommitted = assignment.uncommitted(positions.clone());
        assert_eq!(uncommitted, Positions::from([(1, 6), (2, 1)]));
        assignment.forget_committed();
        assert_eq!(assignment.uncommitted(positions.clone()), positions);
    }
}
