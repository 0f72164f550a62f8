//! A group member's client: rebalances inside poll and keep-alive, positions, commits.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use runtime::kafka::rdkafka::error::KafkaError;
use runtime::kafka::{AssignmentChange, CommitError, Membership, Polled};
use runtime::record::{InputRecord, Offset, Partition, Positions};

use crate::mutation::Mutation;
use crate::world::kafka::group::{MemberId, NotMember};
use crate::world::kafka::log::{PartitionLog, Record, TIMESTAMP_MILLIS};
use crate::world::{Fault, ProcessId, Service, World};

/// A record as the loop sees it.
#[derive(Debug, Clone)]
pub struct Read {
    partition: Partition,
    offset: Offset,
    record: Rc<Record>,
}

impl InputRecord for Read {
    fn partition(&self) -> Partition {
        self.partition
    }

    fn offset(&self) -> Offset {
        self.offset
    }

    fn timestamp_millis(&self) -> Option<i64> {
        Some(TIMESTAMP_MILLIS)
    }

    fn key(&self) -> Option<&[u8]> {
        self.record.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.record.value.as_deref()
    }

    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in &self.record.headers {
            each(name, value.as_deref());
        }
    }
}

/// A consumer. The group with index `group` reads the topic with the same index.
#[derive(Debug)]
pub struct Consumer {
    id: ProcessId,
    group: usize,
    instance: String,
    member: Option<MemberId>,
    /// The next offset of each partition. `None`: the committed offset, once no transaction holds it back.
    positions: BTreeMap<Partition, Option<Offset>>,
    exact: Positions,
    changes: Vec<AssignmentChange>,
}

impl Consumer {
    /// Builds a client that joins at its first poll.
    pub const fn new(id: ProcessId, group: usize, instance: String) -> Self {
        Self {
            id,
            group,
            instance,
            member: None,
            positions: BTreeMap::new(),
            exact: Positions::new(),
            changes: Vec::new(),
        }
    }

    /// Replaces the client by one that joins as another member.
    pub fn reopen(&mut self) {
        *self = Self::new(self.id, self.group, std::mem::take(&mut self.instance));
    }

    /// Asks the coordinator whether another client is the member of this instance id.
    pub fn look_for_our_name(&self, world: &mut World, time: Duration) -> Membership {
        world.spend(self.id, time);
        match world.call(self.id, Service::Kafka, "look for our name") {
            Fault::None if !world.lives[self.id].dead => {}
            _ => return Membership::Unknown,
        }
        if world.broker.groups[self.group].has_instance(&self.instance) {
            Membership::Present
        } else {
            Membership::Absent
        }
    }

    /// Sends the heartbeat that librdkafka's background thread sends while the process runs.
    pub fn heartbeat(&self, world: &mut World) {
        let Some(member) = self.member else { return };
        if !world.lives[self.id].dead {
            let learns = world.random.per_mille(100);
            let time = world.time_of(self.id);
            world.broker.groups[self.group].heartbeat(member, time, learns);
        }
    }

    /// Handles the group's events. Returns whether there were any.
    fn serve(&mut self, world: &mut World) -> Result<bool, String> {
        let time = world.time_of(self.id);
        let group = &mut world.broker.groups[self.group];
        let member = match self.member {
            Some(member) => member,
            None => *self
                .member
                .insert(group.join(&self.instance, time, &mut world.random)),
        };
        match group.sync(member, &self.instance, time) {
            Ok(changes) => {
                let any = !changes.is_empty();
                for change in changes {
                    world.note(&format!("process {}", self.id), || format!("{change:?}"));
                    self.apply(world, change);
                }
                Ok(any)
            }
            Err(NotMember::Expired) => {
                let all = self.positions.keys().copied().collect();
                self.apply(world, AssignmentChange::Revoked(all));
                self.member = None;
                Ok(true)
            }
            Err(NotMember::Fenced) => Err("another member has this instance id".to_owned()),
        }
    }

    fn apply(&mut self, world: &World, change: AssignmentChange) {
        match &change {
            AssignmentChange::Assigned(partitions) => {
                self.positions
                    .extend(partitions.iter().map(|partition| (*partition, None)));
            }
            AssignmentChange::Revoked(partitions) => {
                for partition in partitions {
                    self.positions.remove(partition);
                    self.exact.remove(partition);
                }
                if world.has(Mutation::RevocationUntold) {
                    return;
                }
            }
        }
        self.changes.push(change);
    }

    /// Returns the next record. A rebalance may happen here.
    pub fn poll(&mut self, world: &mut World, timeout: Duration) -> Polled<Read> {
        match world.call(self.id, Service::Kafka, "poll") {
            Fault::None | Fault::AnswerLost if !world.lives[self.id].dead => {}
            _ => {
                world.spend(self.id, timeout);
                return Polled::Nothing;
            }
        }
        match self.serve(world) {
            Err(why) => return Polled::Fatal(why),
            Ok(true) => return Polled::Nothing,
            Ok(false) => {}
        }
        // One poll in ten returns nothing, because a fetch may end before any record.
        if !world.random.per_mille(100)
            && let Some(read) = self.next(world)
        {
            world.note(&format!("process {}", self.id), || {
                format!("read {}/{}", read.partition, read.offset)
            });
            return Polled::Record(read);
        }
        world.spend(self.id, timeout);
        Polled::Nothing
    }

    /// Returns a record that was fetched already. Returns nothing in one call of five, even if records are
    /// left.
    pub fn poll_fetched(&mut self, world: &mut World) -> Polled<Read> {
        if world.lives[self.id].dead || world.random.per_mille(200) {
            return Polled::Nothing;
        }
        match self.next(world) {
            Some(read) => {
                world.note(&format!("process {}", self.id), || {
                    format!("prefetched {}/{}", read.partition, read.offset)
                });
                Polled::Record(read)
            }
            None => Polled::Nothing,
        }
    }

    /// Returns the process of the client.
    pub const fn id(&self) -> ProcessId {
        self.id
    }

    /// Returns the index of its group, which is also that of its topic.
    pub const fn group(&self) -> usize {
        self.group
    }

    fn next(&mut self, world: &World) -> Option<Read> {
        let group = &world.broker.groups[self.group];
        let uncommitted = self.group == 1 && world.has(Mutation::ReadUncommitted);
        for (partition, position) in &mut self.positions {
            let log = world.broker.log(self.group, *partition);
            let placed =
                position.or_else(|| in_range(world, log, group.stable_offset(*partition)?));
            let Some(from) = placed else {
                continue;
            };
            let found = if uncommitted {
                log.read_uncommitted(from)
            } else {
                log.read(from)
            };
            let next = match &found {
                Some((offset, _)) => offset + 1,
                None => from.max(log.stable_end()),
            };
            *position = Some(next);
            self.exact.insert(*partition, next);
            if let Some((offset, record)) = found {
                return Some(Read {
                    partition: *partition,
                    offset,
                    record,
                });
            }
        }
        None
    }

    /// Returns what rebalances did since the last call.
    pub fn take_changes(&mut self) -> Vec<AssignmentChange> {
        std::mem::take(&mut self.changes)
    }

    /// Stays a member for `time` without taking records. A rebalance may happen here.
    pub fn keep_alive(&mut self, world: &mut World, time: Duration) {
        world.spend(self.id, time);
        let fault = world.call(self.id, Service::Kafka, "keep alive");
        if fault == Fault::Refused || world.lives[self.id].dead {
            return;
        }
        // A fenced member learns at its next poll that it is fenced.
        let _ = self.serve(world);
        if world.has(Mutation::WaitingLosesRecord) {
            let _ = self.next(world);
        }
    }

    /// Rewinds every partition to the group's committed offset.
    ///
    /// # Errors
    /// A fault, or offsets that a transaction holds back.
    pub fn rewind(&mut self, world: &mut World) -> Result<(), String> {
        self.heartbeat(world);
        match world.call(self.id, Service::Kafka, "rewind") {
            Fault::None => {}
            fault => return Err(format!("{fault:?}")),
        }
        if world.has(Mutation::NoRewind) {
            return Ok(());
        }
        for (partition, position) in &mut self.positions {
            let Some(offset) = world.broker.groups[self.group].stable_offset(*partition) else {
                return Err("an offset's transaction has no end yet".to_owned());
            };
            let log = world.broker.log(self.group, *partition);
            *position = in_range(world, log, offset);
            self.exact.remove(partition);
        }
        Ok(())
    }

    /// Returns the next offset of each partition that was read since it was assigned or rewound.
    pub fn positions(&self) -> Positions {
        self.exact.clone()
    }

    /// Commits offsets outside of a transaction.
    ///
    /// # Errors
    /// A fault, or a generation that is not accepted.
    pub fn commit(&self, world: &mut World, positions: &Positions) -> Result<(), CommitError> {
        if positions.is_empty() {
            return Ok(());
        }
        self.heartbeat(world);
        let fault = world.call(self.id, Service::Kafka, "commit offsets");
        if matches!(fault, Fault::Refused | Fault::Slow) {
            return Err(CommitError::Unavailable(KafkaError::Canceled));
        }
        if !self.is_accepted(world) {
            return Err(CommitError::NotOwner(KafkaError::Canceled));
        }
        world.note(&format!("process {}", self.id), || {
            format!("offsets {positions:?}")
        });
        let positions = shifted(world, positions);
        world.broker.groups[self.group].commit(&positions);
        if fault == Fault::AnswerLost {
            return Err(CommitError::Unavailable(KafkaError::Canceled));
        }
        Ok(())
    }

    /// Returns whether the coordinator accepts this member's generation.
    pub fn is_accepted(&self, world: &World) -> bool {
        self.member
            .is_some_and(|member| world.broker.groups[self.group].accepts(member))
    }
}

/// Returns the offset to read from, or `None` while the group's offset is out of range: the client chooses
/// no other offset, and the partition stays blocked until a person resets it.
fn in_range(world: &World, log: &PartitionLog, offset: Offset) -> Option<Offset> {
    if offset <= log.end() {
        return Some(offset);
    }
    world.has(Mutation::OutOfRangeResets).then_some(0)
}

/// Returns the offsets, raised by one if the bug `OffByOne` is planted.
pub fn shifted(world: &World, positions: &Positions) -> Positions {
    let by = Offset::from(world.has(Mutation::OffByOne));
    positions
        .iter()
        .map(|(partition, offset)| (*partition, offset + by))
        .collect()
}
