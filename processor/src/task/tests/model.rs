//! A small model of Kafka, with faults at any call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{
    AssignmentChange, CommitError, GroupConsumer, Membership, Outgoing, Polled, Refused,
    TransactionError,
};
use runtime::lifecycle::Failure;
use runtime::record::{Offset, OwnedRecord, Partition, Positions};
use runtime::registry::{Lookup, SchemaSource};
use schemas::{Malformed, OrderStatusPlan, Reason, SchemaId, ValueFormat};

use crate::ports::Log;

/// How long the group keeps a member that sends no heartbeat.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// The topic of audit records.
pub(super) const AUDIT: &str = "audit";

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Retriable,
    Abortable,
    Fatal,
    Fenced,
    /// Another member has the name. Only a poll reports this; every other call succeeds.
    Replaced,
    /// Done, but the answer is lost and the producer with it.
    DoneThenFatal,
    /// A rebalance: this member's generation is old until its next poll, which revokes partition 0; the
    /// poll after that assigns it again.
    Rebalance,
}

/// Which offsets a hanging transaction of this task keeps unstable, until the task takes over its
/// transactional ids again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangs {
    /// The offsets to which the task rewinds.
    Rewinding,
    /// The offsets at which new partitions begin.
    Placing,
}

/// A record as a reader of committed records sees it: its topic, and the offset that it came from.
pub(super) type Written = (String, Partition, Offset);

/// Kafka, as far as one task sees it.
#[derive(Default)]
pub(super) struct Kafka {
    pub(super) inputs: BTreeMap<Partition, Vec<OwnedRecord>>,
    pub(super) committed: Positions,
    pub(super) written: Vec<Written>,
    pub(super) positions: Positions,
    pub(super) client_positions: Positions,
    pub(super) changes: Vec<AssignmentChange>,
    pub(super) to_assign: BTreeSet<Partition>,
    pub(super) open: Option<(Vec<Written>, Positions)>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) now: Duration,
    pub(super) offsets_only_commits: usize,
    pub(super) old_generation: bool,
    /// What the group answers about this task's name, call by call; then that it has no member of that name.
    pub(super) answers: VecDeque<Membership>,
    pub(super) hangs: Option<Hangs>,
    pub(super) inits: usize,
    /// How often the task has read its partitions again from the committed offsets.
    pub(super) rewinds: usize,
    /// Records of more bytes are refused.
    pub(super) max_bytes: Option<usize>,
    /// The number of dead letters that are refused, however small they are, one after the other.
    pub(super) refused_dead_letters: usize,
    /// After an abort the record at this offset of partition 0 arrives late, by this number of polls.
    pub(super) late: Option<(Offset, usize)>,
    /// The values of all committed audit records.
    pub(super) audit: Vec<Vec<u8>>,
    /// The audit records of the open transaction.
    pub(super) open_audit: Vec<Vec<u8>>,
    pub(super) sent: usize,
    pub(super) refused: Vec<Refused>,
    /// How many records each aborted transaction left behind, and when it was aborted.
    pub(super) aborted: Vec<(usize, Duration)>,
}

impl Kafka {
    fn hangs(&self, what: Hangs) -> bool {
        self.hangs == Some(what) && self.inits < 2
    }

    fn fault(&mut self) -> Fault {
        self.now += Duration::from_millis(1);
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::Rebalance {
            self.old_generation = true;
            return Fault::None;
        }
        fault
    }

    /// Handles a pending change of the assignment, as a poll does. Returns whether there was one.
    fn serve_group(&mut self) -> bool {
        if std::mem::take(&mut self.old_generation) {
            self.revoke(0);
            return true;
        }
        let due = !self.to_assign.is_empty() && !self.hangs(Hangs::Placing);
        if due {
            self.assign_what_is_due();
        }
        due
    }

    fn revoke(&mut self, partition: Partition) {
        if self.positions.remove(&partition).is_some() {
            self.client_positions.remove(&partition);
            self.changes
                .push(AssignmentChange::Revoked(vec![partition]));
            self.to_assign.insert(partition);
        }
    }

    fn assign_what_is_due(&mut self) {
        for partition in std::mem::take(&mut self.to_assign) {
            let from = self.committed.get(&partition).copied().unwrap_or(0);
            self.positions.insert(partition, from);
            self.changes
                .push(AssignmentChange::Assigned(vec![partition]));
        }
    }

    fn answer(&mut self) -> Result<(), TransactionError> {
        let why = || "scripted".to_owned();
        match self.fault() {
            Fault::None | Fault::Rebalance | Fault::Replaced | Fault::DoneThenFatal => Ok(()),
            Fault::Retriable => Err(TransactionError::Retriable(why())),
            Fault::Abortable => Err(TransactionError::Abortable(why())),
            Fault::Fatal => Err(TransactionError::Fatal(why())),
            Fault::Fenced => Err(TransactionError::Fenced(why())),
        }
    }
}

impl GroupConsumer for Kafka {
    type Record<'a> = OwnedRecord;

    fn poll(&mut self, timeout: Duration) -> Polled<OwnedRecord> {
        assert!(
            self.open.is_none(),
            "the group is polled while a transaction is open"
        );
        self.now += timeout;
        match self.fault() {
            Fault::None => {}
            Fault::Replaced => return Polled::Fatal("scripted".to_owned()),
            _ => return Polled::Nothing,
        }
        if self.serve_group() {
            return Polled::Nothing;
        }
        for (partition, position) in &mut self.positions {
            if let Some((offset, polls)) = &mut self.late
                && !self.aborted.is_empty()
                && (*partition, *position) == (0, *offset)
                && *polls > 0
            {
                *polls -= 1;
                continue;
            }
            if let Some(record) = usize::try_from(*position)
                .ok()
                .and_then(|index| self.inputs[partition].get(index))
            {
                *position += 1;
                self.client_positions.insert(*partition, *position);
                return Polled::Record(record.clone());
            }
        }
        Polled::Nothing
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        std::mem::take(&mut self.changes)
    }

    fn keep_alive(&mut self, time: Duration) {
        self.now += time + Duration::from_millis(100);
        self.serve_group();
    }

    fn unread_since(&self) -> Option<i64> {
        let unread = self.positions.iter().filter_map(|(partition, position)| {
            self.inputs[partition].get(usize::try_from(*position).ok()?)
        });
        unread.filter_map(|record| record.timestamp_millis).min()
    }

    fn waits_for_offsets(&self) -> bool {
        self.hangs(Hangs::Placing)
    }

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        if self.fault() != Fault::None || self.hangs(Hangs::Rewinding) {
            return Err("scripted".to_owned());
        }
        self.rewinds += 1;
        for (partition, position) in &mut self.positions {
            *position = self.committed.get(partition).copied().unwrap_or(0);
        }
        self.client_positions.clear();
        Ok(())
    }

    fn positions(&self) -> Positions {
        self.client_positions.clone()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        assert!(
            self.open.is_none(),
            "offsets are committed by the consumer while a transaction is open"
        );
        let error = runtime::kafka::rdkafka::error::KafkaError::Canceled;
        if self.fault() != Fault::None {
            return Err(CommitError::Unavailable(error));
        }
        if self.old_generation {
            return Err(CommitError::NotOwner(error));
        }
        self.offsets_only_commits += 1;
        self.commit_positions(positions.clone());
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.changes.clear();
        self.client_positions.clear();
        let assigned = std::mem::take(&mut self.positions);
        self.to_assign.extend(assigned.into_keys());
        Ok(())
    }
}

impl Log for Kafka {
    type Consumer = Self;

    fn consumer(&mut self) -> &mut Self {
        self
    }

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.open = None;
        Ok(())
    }

    /// The only reason for which this consumer cannot go on.
    fn is_fenced(&self) -> bool {
        true
    }

    fn session_timeout(&self) -> Duration {
        SESSION_TIMEOUT
    }

    fn look_for_our_name(&mut self, time: Duration) -> Membership {
        self.now += time;
        self.answers.pop_front().unwrap_or(Membership::Absent)
    }

    fn init(&mut self, _: Duration) -> Result<(), TransactionError> {
        assert!(self.open.is_none(), "init while a transaction is open");
        self.answer()?;
        self.inits += 1;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        assert!(self.open.is_none(), "one transaction at a time");
        self.answer()?;
        self.sent = 0;
        self.refused.clear();
        self.open_audit.clear();
        self.open = Some((Vec::new(), Positions::new()));
        Ok(())
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.answer()?;
        if record.topic == AUDIT {
            self.sent += 1;
            self.open_audit.extend(record.value.map(<[u8]>::to_vec));
            return Ok(());
        }
        let number = |name: &str| -> Option<i64> {
            let (_, value) = record.headers.iter().find(|(header, _)| *header == name)?;
            std::str::from_utf8((*value)?).ok()?.parse().ok()
        };
        let from = |prefix: &str| {
            let partition = number(&format!("{prefix}.partition"))?;
            Some((
                i32::try_from(partition).ok()?,
                number(&format!("{prefix}.offset"))?,
            ))
        };
        let (partition, offset) = from("source").or_else(|| from("dlq")).unwrap();
        let written = (record.topic.to_owned(), partition, offset);
        let index = self.sent;
        self.sent += 1;
        let too_large = self.max_bytes.is_some_and(|max| bytes_of(record) > max);
        let is_dead = record.topic.ends_with(".dlq");
        if too_large || is_dead && self.refused_dead_letters > 0 {
            self.refused_dead_letters -= usize::from(!too_large);
            let why = "scripted".to_owned();
            self.refused.push(Refused {
                index,
                too_large,
                why,
            });
            return Ok(());
        }
        match &mut self.open {
            Some((records, _)) => records.push(written),
            None => self.written.push(written),
        }
        Ok(())
    }

    fn drain(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.answer()?;
        match self.refused.first() {
            None => Ok(()),
            Some(refused) => Err(TransactionError::Abortable(refused.why.clone())),
        }
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    fn send_offsets(&mut self, positions: &Positions, _: Duration) -> Result<(), TransactionError> {
        self.answer()?;
        if self.old_generation {
            return Err(TransactionError::Abortable("illegal generation".to_owned()));
        }
        assert!(
            positions
                .keys()
                .all(|partition| self.positions.contains_key(partition)),
            "offsets of a partition that is not assigned"
        );
        self.open.as_mut().unwrap().1.clone_from(positions);
        Ok(())
    }

    fn commit(&mut self, _: Duration) -> Result<(), TransactionError> {
        let fault = self.faults.front().copied().unwrap_or(Fault::None);
        self.answer()?;
        let (records, positions) = self.open.take().unwrap();
        self.written.extend(records);
        self.audit.append(&mut self.open_audit);
        self.commit_positions(positions);
        if fault == Fault::DoneThenFatal {
            return Err(TransactionError::Fatal("the answer was lost".to_owned()));
        }
        Ok(())
    }

    fn abort(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.answer()?;
        let left_behind = self.open.take().map_or(0, |(records, _)| records.len());
        self.aborted.push((left_behind, self.now));
        Ok(())
    }
}

fn bytes_of(record: &Outgoing<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|(_, value)| length(*value));
    length(record.key) + length(record.value) + headers.sum::<usize>()
}

impl Kafka {
    fn commit_positions(&mut self, positions: Positions) {
        for (partition, offset) in positions {
            let before = self.committed.insert(partition, offset).unwrap_or(0);
            assert!(before <= offset, "committed offsets never go back");
        }
    }
}

/// Shows the model's time, as of the beginning of the step.
#[derive(Clone, Default)]
pub(super) struct ModelClock(pub(super) std::rc::Rc<std::cell::Cell<Duration>>);

impl Clock for ModelClock {
    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// Schema 7 becomes known at the third look-up; no other schema exists.
#[derive(Default)]
pub(super) struct Schemas {
    asked: usize,
    schema: Option<ValueFormat<OrderStatusPlan>>,
}

impl SchemaSource for Schemas {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, OrderStatusPlan> {
        self.asked += 1;
        match id {
            SchemaId::Id(7) if self.asked < 3 => Lookup::Pending,
            SchemaId::Id(7) => Lookup::Known(self.schema.get_or_insert_with(|| {
                let plan = OrderStatusPlan::compile(schemas::ORDER_STATUS_AVSC);
                ValueFormat::Avro(plan.unwrap())
            })),
            _ => Lookup::Bad(Malformed::new(Reason::UnknownSchema, "scripted")),
        }
    }

    fn known(&mut self, id: SchemaId) -> Option<&ValueFormat<OrderStatusPlan>> {
        self.schema.as_ref().filter(|_| id == SchemaId::Id(7))
    }
}
