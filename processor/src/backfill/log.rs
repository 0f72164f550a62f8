//! The loop's port over a range: partitions that nobody else has, offsets that go with a plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::kafka::rdkafka::error::{KafkaError, RDKafkaErrorCode};
use runtime::kafka::{
    AssignmentChange, CommitError, FetchedRecord, GroupOffsets, KafkaSettings, Outgoing, Polled,
    Producers, RangeEvent, RangeReader, TopicRange, TransactionError,
};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, Positions};
use runtime::replay::{Pace, Share};

use super::ledger::Ledger;
use super::plan::Plan;
use crate::ports::Log;

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(5);

/// One question to the broker, and how long it is asked again while offsets go alone.
const SLICE: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(15);

/// One thread's share of a backfill.
pub struct RangeLog {
    settings: KafkaSettings,
    producers: Producers,
    ledger: Ledger,
    group: String,
    plan: Plan,
    range: TopicRange,
    /// Opened at the committed offsets, once the transactional id is ours.
    reader: Option<RangeReader>,
    told: bool,
    /// The next offset of every partition of which something was read, or the end reached.
    positions: Positions,
    /// Offsets of the open transaction.
    pending: Positions,
    pace: Arc<Pace>,
    share: Arc<Share>,
}

impl RangeLog {
    /// `range` is this thread's share, the same at every start.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub fn new(
        settings: &KafkaSettings,
        group: &str,
        transactional_id: &str,
        plan: Plan,
        range: TopicRange,
        pace: Arc<Pace>,
        share: Arc<Share>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            producers: Producers::new(vec![settings.transactional_producer(transactional_id)?]),
            ledger: Ledger::open(settings, group, &range.topic)?,
            settings: settings.clone(),
            group: group.to_owned(),
            plan,
            range,
            reader: None,
            told: false,
            positions: Positions::new(),
            pending: Positions::new(),
            pace,
            share,
        })
    }

    /// Opens the reader where the committed offsets say.
    fn reopen(&mut self, timeout: Duration) -> Result<(), String> {
        let kept = self
            .ledger
            .read(self.range.spans.keys().copied(), timeout)
            .map_err(|error| error.to_string())?;
        let done: Positions = kept
            .iter()
            .map(|(partition, kept)| (*partition, kept.next))
            .collect();
        let rest = self.range.after(&done);
        let reader = RangeReader::open(&self.settings, &self.group, &rest)
            .map_err(|failure| failure.to_string())?;
        self.share.committed(&self.range, &done);
        self.positions.clear();
        self.pending.clear();
        self.reader = Some(reader);
        Ok(())
    }

    fn send_to_ledger(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let offsets = self
            .ledger
            .list(&self.plan, &self.range, positions)
            .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        let Some(group) = self.ledger.group() else {
            return Err(TransactionError::Fatal("there is no group".to_owned()));
        };
        let offsets = GroupOffsets::new(offsets, group);
        self.producers.current()?.send_offsets(offsets, timeout)?;
        self.pending.extend(positions);
        Ok(())
    }

    /// Offsets alone go in a transaction too, so that a predecessor that was taken for dead can't
    /// put them back.
    fn transact_offsets(&mut self, positions: &Positions) -> Result<(), TransactionError> {
        let deadline = Instant::now() + DEADLINE;
        self.producers.begin()?;
        patiently(deadline, || self.send_to_ledger(positions, SLICE))?;
        patiently(deadline, || self.producers.current()?.commit(SLICE))
    }
}

fn patiently(
    deadline: Instant,
    mut call: impl FnMut() -> Result<(), TransactionError>,
) -> Result<(), TransactionError> {
    loop {
        match call() {
            Err(TransactionError::Retriable(_)) if Instant::now() < deadline => {}
            ended => return ended,
        }
    }
}

impl Log for RangeLog {
    type Record<'a> = FetchedRecord<'a>;

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.producers.open()
    }

    fn open_consumer(&mut self) -> Result<(), Failure> {
        self.reader = None;
        Ok(())
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.init(timeout)
    }

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        if self.reader.is_none() {
            if let Err(why) = self.reopen(SLICE) {
                tracing::warn!(why, "waiting for the backfill's offsets");
                std::thread::sleep(timeout);
            }
            return Polled::Nothing;
        }
        if let Err(wait) = self.pace.take() {
            std::thread::sleep(wait.min(timeout));
            return Polled::Nothing;
        }
        let Some(reader) = self.reader.as_mut() else {
            return Polled::Nothing;
        };
        match reader.next(timeout) {
            Ok(RangeEvent::Record(record)) => {
                let (partition, offset) = (
                    InputRecord::partition(&record),
                    InputRecord::offset(&record),
                );
                self.positions.insert(partition, offset + 1);
                Polled::Record(record)
            }
            // Whatever lies between the last record and the end of the span is done too.
            Ok(RangeEvent::PartitionDone(partition)) => {
                if let Some(span) = self.range.spans.get(&partition) {
                    self.positions.insert(partition, span.to);
                }
                Polled::Nothing
            }
            Ok(RangeEvent::Done) => {
                std::thread::sleep(timeout.min(Duration::from_millis(10)));
                Polled::Nothing
            }
            Ok(RangeEvent::Nothing) => Polled::Nothing,
            Err(failure) => Polled::Fatal(failure.to_string()),
        }
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        if std::mem::replace(&mut self.told, true) {
            return Vec::new();
        }
        let all = self.range.spans.keys().copied().collect();
        vec![AssignmentChange::Assigned(all)]
    }

    /// There is no group to stay in.
    fn keep_alive(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn rewind(&mut self, timeout: Duration) -> Result<(), String> {
        self.reopen(timeout.max(SLICE))
    }

    fn positions(&mut self) -> Positions {
        self.positions.clone()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        match self.transact_offsets(positions) {
            Ok(()) => {
                let pending = std::mem::take(&mut self.pending);
                self.share.committed(&self.range, &pending);
                Ok(())
            }
            // The loop rewinds; its next transaction finds out what this producer is still good for.
            Err(error) => {
                tracing::warn!(%error, "offsets were not committed; nothing is lost");
                Err(CommitError::NotOwner(KafkaError::ConsumerCommit(
                    RDKafkaErrorCode::InvalidTransactionalState,
                )))
            }
        }
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.pending.clear();
        self.producers.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producers.current()?.send(record, ROOM)
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.drain(timeout)
    }

    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.send_to_ledger(positions, timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.commit(timeout)?;
        let pending = std::mem::take(&mut self.pending);
        self.share.committed(&self.range, &pending);
        Ok(())
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.pending.clear();
        self.producers.current()?.abort(timeout)
    }
}
