//! The consumer port of the loops, over the model.

use std::time::Duration;

use runtime::kafka::{AssignmentChange, CommitError, GroupConsumer, Polled};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, Positions};

use crate::clients::consumer::{Consumer, Read};
use crate::mutation::Mutation;
use crate::world::kafka::VOUCHERS;
use crate::world::{ProcessId, Shared, World};

/// A group member, with its planted bugs.
#[derive(Debug)]
pub struct Member {
    pub(super) world: Shared,
    pub(super) consumer: Consumer,
}

impl Member {
    /// Builds a member that joins at its first poll. The group with index `group` reads the topic with the
    /// same index.
    pub(super) fn new(world: &Shared, id: ProcessId, group: usize, instance: String) -> Self {
        Self {
            world: Shared::clone(world),
            consumer: Consumer::new(id, group, instance),
        }
    }

    /// Returns whether this is a sink's member and this bug is planted.
    fn has_sinks(&self, world: &World, mutation: Mutation) -> bool {
        self.consumer.group() == VOUCHERS && world.has(mutation)
    }
}

impl GroupConsumer for Member {
    type Record<'a> = Read;

    fn poll(&mut self, timeout: Duration) -> Polled<Read> {
        let world = &mut self.world.borrow_mut();
        let polled = self.consumer.poll(world, timeout);
        if let Polled::Record(record) = &polled
            && self.has_sinks(world, Mutation::OffsetsBeforeRows)
        {
            let next = Positions::from([(record.partition(), record.offset() + 1)]);
            let _ = self.consumer.commit(world, &next);
        }
        polled
    }

    fn poll_fetched(&mut self) -> Polled<Read> {
        self.consumer.poll_fetched(&mut self.world.borrow_mut())
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.consumer.take_changes()
    }

    fn keep_alive(&mut self, time: Duration) {
        self.consumer.keep_alive(&mut self.world.borrow_mut(), time);
    }

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        self.consumer.rewind(&mut self.world.borrow_mut())
    }

    fn positions(&self) -> Positions {
        self.consumer.positions()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        let world = &mut self.world.borrow_mut();
        if self.has_sinks(world, Mutation::ReadsAheadCommits) {
            let mut read = self.consumer.positions();
            read.retain(|partition, _| positions.contains_key(partition));
            return self.consumer.commit(world, &read);
        }
        self.consumer.commit(world, positions)
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.consumer.reopen();
        Ok(())
    }
}
