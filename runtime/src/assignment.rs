//! The partitions of a task, whether they are read, and how far their offsets are known to be committed.

use std::collections::BTreeSet;

use crate::flow::FlowObserver;
use crate::kafka::{AssignmentChange, GroupConsumer};
use crate::record::{Partition, Positions};

/// The partitions that are assigned to a task, and how far their offsets are known to be committed.
#[derive(Debug, Default)]
pub struct Assignment {
    partitions: BTreeSet<Partition>,
    /// Whether the task has joined its group, which may have assigned no partition to it.
    joined: bool,
    /// The highest offsets known to be committed.
    committed: Positions,
}

impl Assignment {
    /// Follows what rebalances did, calls `revoked` with each revoked partition, and reports
    /// a new assignment.
    pub fn follow(
        &mut self,
        consumer: &mut impl GroupConsumer,
        flow: &mut dyn FlowObserver,
        revoked: impl FnMut(Partition),
    ) {
        if self.apply(consumer.take_changes(), revoked) {
            flow.assigned(self.len());
        }
    }

    /// Reports which partitions are read, once the task has joined its group.
    pub fn report_health(&self, consumer: &impl GroupConsumer, flow: &mut dyn FlowObserver) {
        if !self.joined {
            return;
        }
        let blocked = consumer.blocked();
        if blocked.is_empty() {
            flow.healthy();
        } else {
            flow.partitions_blocked(&blocked);
        }
    }

    /// Returns whether the task has joined its group and, as far as the consumer knows, read every
    /// partition to its end.
    pub fn is_read_to_the_end(&self, consumer: &impl GroupConsumer) -> bool {
        self.joined && consumer.unread_since().is_none()
    }

    /// Applies what rebalances did. Returns whether anything changed.
    fn apply(
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

    /// Returns the number of assigned partitions.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Returns whether no partition is assigned.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Notes that these offsets are committed.
    pub fn note_committed(&mut self, positions: &Positions) {
        self.committed.extend(positions);
    }

    /// Forgets which offsets are committed: the group is asked for them again.
    pub fn forget_committed(&mut self) {
        self.committed.clear();
    }

    /// Returns those of the `positions` that are not known to be committed.
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
    use std::time::Duration;

    use super::*;
    use crate::kafka::{Blocked, Cause, CommitError, Polled};
    use crate::lifecycle::Failure;
    use crate::record::OwnedRecord;

    /// A consumer of one partition.
    #[derive(Default)]
    struct Consumer {
        changes: Vec<AssignmentChange>,
        blocked: Vec<Blocked>,
        unread_since: Option<i64>,
    }

    impl GroupConsumer for Consumer {
        type Record<'a> = OwnedRecord;

        fn poll(&mut self, _: Duration) -> Polled<OwnedRecord> {
            Polled::Nothing
        }

        fn take_changes(&mut self) -> Vec<AssignmentChange> {
            std::mem::take(&mut self.changes)
        }

        fn keep_alive(&mut self, _: Duration) {}

        fn blocked(&self) -> Vec<Blocked> {
            self.blocked.clone()
        }

        fn unread_since(&self) -> Option<i64> {
            self.unread_since
        }

        fn rewind(&mut self, _: Duration) -> Result<(), String> {
            Ok(())
        }

        fn positions(&self) -> Positions {
            Positions::new()
        }

        fn commit_offsets(&mut self, _: &Positions) -> Result<(), CommitError> {
            Ok(())
        }

        fn reopen(&mut self) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// What was reported, in words.
    #[derive(Default)]
    struct Reports(Vec<String>);

    impl FlowObserver for Reports {
        fn assigned(&mut self, partitions: usize) {
            self.0.push(format!("assigned {partitions}"));
        }

        fn healthy(&mut self) {
            self.0.push("healthy".to_owned());
        }

        fn partitions_blocked(&mut self, blocked: &[Blocked]) {
            self.0.push(format!("blocked {}", blocked.len()));
        }
    }

    #[test]
    fn nothing_is_reported_or_read_before_the_group_is_joined() {
        let (mut consumer, mut reports) = (Consumer::default(), Reports::default());
        let mut assignment = Assignment::default();
        assignment.follow(&mut consumer, &mut reports, |_| {});
        assignment.report_health(&consumer, &mut reports);
        assert!(reports.0.is_empty(), "{:?}", reports.0);
        assert!(!assignment.is_read_to_the_end(&consumer));

        consumer.changes = vec![AssignmentChange::Assigned(vec![0])];
        assignment.follow(&mut consumer, &mut reports, |_| {});
        assignment.follow(&mut consumer, &mut reports, |_| {});
        assignment.report_health(&consumer, &mut reports);
        assert!(assignment.is_read_to_the_end(&consumer));
        consumer.unread_since = Some(1);
        assert!(!assignment.is_read_to_the_end(&consumer));
        consumer.blocked = vec![Blocked {
            topic: "order-status".to_owned(),
            partition: Some(0),
            offset: None,
            cause: Cause::NotAMember,
        }];
        assignment.report_health(&consumer, &mut reports);
        assert_eq!(reports.0, ["assigned 1", "healthy", "blocked 1"]);
    }

    #[test]
    fn a_revoked_partition_is_forgotten_with_its_offsets() {
        let mut assignment = Assignment::default();
        assert!(!assignment.apply(Vec::new(), |_| {}));
        assert!(!assignment.joined);
        let mut revoked = Vec::new();
        let assigned = AssignmentChange::Assigned(vec![0, 1]);
        assert!(assignment.apply(vec![assigned], |partition| revoked.push(partition)));
        assert!(assignment.joined && revoked.is_empty());
        assignment.note_committed(&Positions::from([(0, 5), (1, 5)]));
        let taken = AssignmentChange::Revoked(vec![0]);
        assignment.apply(vec![taken], |partition| revoked.push(partition));
        assert_eq!((assignment.len(), revoked), (1, vec![0]));
        let positions = Positions::from([(0, 3), (1, 5)]);
        assert_eq!(
            assignment.uncommitted(positions),
            Positions::from([(0, 3)]),
            "the committed offset of a revoked partition is forgotten"
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
