//! A group member's client: rebalances inside poll and keep-alive, positions, commits.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use runtime::kafka::rdkafka::error::KafkaError;
use runtime::kafka::{AssignmentChange, CommitError, Membership, Polled};
use runtime::record::{InputRecord, Offset, Partition, Positions};

use crate::mutation::Mutation;
use crate::world::kafka::group::{GroupOffsets, MemberId, NotMember};
use crate::world::kafka::log::{PartitionLog, Record, TIMESTAMP_MILLIS};
use crate::world::network::Request;
use crate::world::{Fault, ProcessId, Service, World};

/// A commit of offsets that is not answered within this time is given up (ADR 0016).
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Another member has joined with this instance id.
    is_fenced: bool,
    /// A commit of offsets was not answered, and the next poll says that this client cannot go on.
    has_failed: bool,
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
            is_fenced: false,
            has_failed: false,
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
            Err(NotMember::Fenced) => {
                self.is_fenced = true;
                Err("another member has this instance id".to_owned())
            }
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

    /// Returns whether another member has joined with this member's instance id.
    pub const fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// Returns the next record. A rebalance may happen here.
    pub fn poll(&mut self, world: &mut World, timeout: Duration) -> Polled<Read> {
        if self.has_failed {
            return Polled::Fatal("a commit of offsets was not answered".to_owned());
        }
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
        if self.has_failed {
            // The caller gets on to the poll that returns the failure.
            self.exact.clear();
            return Ok(());
        }
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
    pub fn commit(&mut self, world: &mut World, positions: &Positions) -> Result<(), CommitError> {
        if positions.is_empty() {
            return Ok(());
        }
        self.heartbeat(world);
        let offsets = self.offsets(world, positions);
        let fault = world.call(self.id, Service::Kafka, "commit offsets");
        match fault {
            Fault::Refused => return Err(CommitError::Unavailable(KafkaError::Canceled)),
            Fault::Slow => {
                let error = self.give_up_commit(world);
                world.arrive_late(self.id, Request::CommitOffsets(offsets));
                return Err(error);
            }
            Fault::None | Fault::AnswerLost => {}
        }
        if !world.broker.accepts(&offsets) {
            return Err(CommitError::NotOwner(KafkaError::Canceled));
        }
        world.note(&format!("process {}", self.id), || {
            format!("offsets {positions:?}")
        });
        world.broker.groups[self.group].commit(&offsets.positions);
        if fault == Fault::AnswerLost {
            return Err(self.give_up_commit(world));
        }
        Ok(())
    }

    /// Waits in vain for the answer to a commit, and returns the error, as `Subscription` does. The request
    /// may still arrive, and beside transactions set the group back behind what they have committed since.
    /// There this client cannot go on: once its successor has joined, the coordinator refuses the request.
    /// A client that is not beside transactions keeps its member and commits again.
    fn give_up_commit(&mut self, world: &mut World) -> CommitError {
        world.spend(self.id, COMMIT_TIMEOUT);
        if !world.is_beside_transactions(self.group) || world.has(Mutation::LateCommitKeepsMember) {
            return CommitError::Unavailable(KafkaError::Canceled);
        }
        self.has_failed = true;
        CommitError::ReadAgain(KafkaError::Canceled)
    }

    /// Returns offsets of this group, with the member and the generation of this moment.
    pub fn offsets(&self, world: &World, positions: &Positions) -> GroupOffsets {
        let member = self.member.unwrap_or_default();
        GroupOffsets {
            group: self.group,
            member: Some(world.broker.groups[self.group].identity(member)),
            positions: shifted(world, positions),
        }
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
fn shifted(world: &World, positions: &Positions) -> Positions {
    let by = Offset::from(world.has(Mutation::OffByOne));
    positions
        .iter()
        .map(|(partition, offset)| (*partition, offset + by))
        .collect()
}
