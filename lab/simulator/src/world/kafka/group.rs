//! A consumer group: static members, generations, cooperative rebalances, committed offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runtime::kafka::AssignmentChange;
use runtime::record::{Partition, Positions};

use super::log::ProducerId;
use crate::random::Random;

/// The number of a member. A process that joins again gets a new one.
pub type MemberId = u64;

/// The identity with which a member sends offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberIdentity {
    /// The member. A client that has never joined sends 0, which no member has.
    pub member: MemberId,
    /// The generation that the member knew when it sent the request.
    pub generation: i32,
}

/// Offsets of a group, as a request has them.
#[derive(Debug, Clone)]
pub struct GroupOffsets {
    /// The index of the group.
    pub group: usize,
    /// The sender, which the coordinator checks when the request arrives. Without one, which is a planted
    /// bug, nothing is checked.
    pub member: Option<MemberIdentity>,
    /// The next offset of each partition.
    pub positions: Positions,
}

/// A member that sends no heartbeat for this long is removed.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the coordinator does not know a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotMember {
    /// Its session has expired.
    Expired,
    /// Another member joined with its instance id.
    Fenced,
}

#[derive(Debug)]
struct Member {
    instance: String,
    generation: i32,
    assigned: BTreeSet<Partition>,
    heard: Duration,
}

/// The coordinator's view of one group.
#[derive(Debug)]
pub struct Group {
    partitions: Partition,
    generation: i32,
    next_member: MemberId,
    members: BTreeMap<MemberId, Member>,
    target: BTreeMap<Partition, MemberId>,
    committed: Positions,
    /// The highest offset that was ever committed of each partition.
    highest: Positions,
    /// Offsets of open transactions.
    pending: BTreeMap<ProducerId, Positions>,
    /// Offsets beyond the end of the log, as after a truncation, until a person resets them.
    astray: Positions,
    /// Describes a committed offset that moved backwards, which must never happen.
    pub went_back: Option<String>,
}

/// Added to an offset to place it beyond any offset that the log reaches.
const ASTRAY: i64 = 1_000_000;

impl Group {
    /// Creates a group without members for a topic with `partitions` partitions.
    pub fn new(partitions: Partition) -> Self {
        Self {
            partitions,
            generation: 0,
            next_member: 0,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            committed: Positions::new(),
            highest: Positions::new(),
            pending: BTreeMap::new(),
            astray: Positions::new(),
            went_back: None,
        }
    }

    /// Adds a member. A member with a known instance id takes over its predecessor's partitions without a
    /// rebalance, and fences it.
    pub fn join(&mut self, instance: &str, now: Duration, random: &mut Random) -> MemberId {
        self.next_member += 1;
        let id = self.next_member;
        let predecessor = self
            .members
            .iter()
            .find(|(_, member)| member.instance == instance)
            .map(|(id, _)| *id);
        self.members.insert(
            id,
            Member {
                instance: instance.to_owned(),
                generation: self.generation,
                assigned: BTreeSet::new(),
                heard: now,
            },
        );
        if let Some(predecessor) = predecessor {
            self.members.remove(&predecessor);
            for owner in self
                .target
                .values_mut()
                .filter(|owner| **owner == predecessor)
            {
                *owner = id;
            }
        } else {
            self.rebalance(random);
        }
        id
    }

    /// Returns whether a member has this instance id.
    pub fn has_instance(&self, instance: &str) -> bool {
        self.members
            .values()
            .any(|member| member.instance == instance)
    }

    /// Removes a member.
    pub fn remove(&mut self, id: MemberId, random: &mut Random) {
        if self.members.remove(&id).is_some() {
            self.rebalance(random);
        }
    }

    /// Removes members whose session has expired.
    pub fn expire(&mut self, now: Duration, random: &mut Random) {
        let silent: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| now.saturating_sub(member.heard) > SESSION_TIMEOUT)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.remove(id, random);
        }
    }

    /// Begins a new generation. About half of the partitions stay with their owners. A partition that moves
    /// is assigned to its new owner only after its old owner has polled.
    pub fn rebalance(&mut self, random: &mut Random) {
        self.generation += 1;
        let ids: Vec<_> = self.members.keys().copied().collect();
        if ids.is_empty() {
            self.target.clear();
            return;
        }
        let shift = random.place(ids.len());
        for partition in 0..self.partitions {
            let place = usize::try_from(partition).unwrap_or(0);
            let fair = ids[(place + shift) % ids.len()];
            let keeps = self
                .target
                .get(&partition)
                .is_some_and(|owner| self.members.contains_key(owner));
            if !keeps || random.per_mille(500) {
                self.target.insert(partition, fair);
            }
        }
    }

    /// Notes the background thread's heartbeat. The member may learn the new generation before its
    /// application polls.
    pub fn heartbeat(&mut self, id: MemberId, now: Duration, learns: bool) {
        if let Some(member) = self.members.get_mut(&id) {
            member.heard = now;
            if learns {
                member.generation = self.generation;
            }
        }
    }

    /// Applies the current generation to a member that polls: revokes the partitions that move, and assigns
    /// those that are free.
    ///
    /// # Errors
    /// See [`NotMember`].
    pub fn sync(
        &mut self,
        id: MemberId,
        instance: &str,
        now: Duration,
    ) -> Result<Vec<AssignmentChange>, NotMember> {
        let taken: BTreeSet<_> = self
            .members
            .iter()
            .filter(|(other, _)| **other != id)
            .flat_map(|(_, member)| member.assigned.iter().copied())
            .collect();
        let target: BTreeSet<_> = self
            .target
            .iter()
            .filter(|(_, owner)| **owner == id)
            .map(|(partition, _)| *partition)
            .collect();
        self.status(id, instance)?;
        let Some(member) = self.members.get_mut(&id) else {
            return Err(NotMember::Expired);
        };
        member.heard = now;
        member.generation = self.generation;
        let revoked: Vec<_> = member.assigned.difference(&target).copied().collect();
        let assigned: Vec<_> = target
            .iter()
            .filter(|partition| !taken.contains(partition) && !member.assigned.contains(partition))
            .copied()
            .collect();
        member
            .assigned
            .retain(|partition| target.contains(partition));
        member.assigned.extend(&assigned);
        let mut changes = Vec::new();
        if !revoked.is_empty() {
            changes.push(AssignmentChange::Revoked(revoked));
        }
        if !assigned.is_empty() {
            changes.push(AssignmentChange::Assigned(assigned));
        }
        Ok(changes)
    }

    fn status(&self, id: MemberId, instance: &str) -> Result<(), NotMember> {
        if self.members.contains_key(&id) {
            return Ok(());
        }
        let replaced = self
            .members
            .iter()
            .any(|(other, member)| *other > id && member.instance == instance);
        Err(if replaced {
            NotMember::Fenced
        } else {
            NotMember::Expired
        })
    }

    /// Returns the identity with which this member sends offsets now. A member that was removed has no
    /// generation.
    pub fn identity(&self, id: MemberId) -> MemberIdentity {
        let member = self.members.get(&id);
        MemberIdentity {
            member: id,
            generation: member.map_or(-1, |member| member.generation),
        }
    }

    /// Returns whether the coordinator accepts offsets from this sender now: only from a member, and only
    /// of the current generation. A static member that was replaced is no member any more.
    pub fn accepts(&self, sender: MemberIdentity) -> bool {
        self.members.contains_key(&sender.member) && sender.generation == self.generation
    }

    /// Commits offsets. The caller has checked [`accepts`](Self::accepts).
    pub fn commit(&mut self, positions: &Positions) {
        for (partition, offset) in positions {
            let before = self.committed_offset(*partition);
            if *offset < before {
                self.went_back = Some(format!("partition {partition}: {before} to {offset}"));
            }
        }
        self.overwrite(positions);
    }

    /// Commits offsets, and allows them to set the group back.
    pub fn overwrite(&mut self, positions: &Positions) {
        for (partition, offset) in positions {
            self.astray.remove(partition);
            self.committed.insert(*partition, *offset);
            let highest = self.highest.entry(*partition).or_default();
            *highest = (*highest).max(*offset);
        }
    }

    /// Keeps offsets until the end of the producer's transaction.
    pub fn add_pending(&mut self, producer: ProducerId, positions: &Positions) {
        self.pending.entry(producer).or_default().extend(
            positions
                .iter()
                .map(|(partition, offset)| (*partition, *offset)),
        );
    }

    /// Moves the group's offset of a partition beyond the end of the log.
    pub fn lead_astray(&mut self, partition: Partition) {
        self.astray
            .insert(partition, self.committed_offset(partition) + ASTRAY);
    }

    /// Resets the offsets that are beyond the end of the log, as a person would.
    pub fn put_right(&mut self) {
        self.astray.clear();
    }

    /// Commits or drops the pending offsets of a producer's transaction, which has ended.
    pub fn settle(&mut self, producer: ProducerId, commit: bool) {
        if let Some(positions) = self.pending.remove(&producer)
            && commit
        {
            self.commit(&positions);
        }
    }

    /// Keeps the offsets of a producer's transaction pending under the id `hanging`, because the group gets
    /// no marker of that transaction.
    pub fn hang(&mut self, producer: ProducerId, hanging: ProducerId) {
        if let Some(positions) = self.pending.remove(&producer) {
            self.add_pending(hanging, &positions);
        }
    }

    /// Returns whether offsets of this producer's transaction are pending.
    pub fn is_pending(&self, producer: ProducerId) -> bool {
        self.pending.contains_key(&producer)
    }

    /// Returns whether offsets of any transaction are pending.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns the committed offset, 0 if none was ever committed, or `None` while an open transaction
    /// holds it back.
    pub fn stable_offset(&self, partition: Partition) -> Option<i64> {
        let unstable = self
            .pending
            .values()
            .any(|one| one.contains_key(&partition));
        let offset = || match self.astray.get(&partition) {
            Some(offset) => *offset,
            None => self.committed_offset(partition),
        };
        (!unstable).then(offset)
    }

    /// Returns the committed offset, even while an open transaction holds a newer one back.
    pub fn committed_offset(&self, partition: Partition) -> i64 {
        self.committed.get(&partition).copied().unwrap_or(0)
    }

    /// Returns the highest offset that was ever committed, 0 if none was.
    pub fn highest_offset(&self, partition: Partition) -> i64 {
        self.highest.get(&partition).copied().unwrap_or(0)
    }
}
