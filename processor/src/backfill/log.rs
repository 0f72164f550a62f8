//! The loop's port over a range: partitions that nobody else has, offsets that go with a plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::kafka::rdkafka::error::{KafkaError, RDKafkaErrorCode};
use runtime::kafka::{
    AssignmentChange, CommitError, FetchedRecord, GroupOffsets, KafkaSettings, Outgoing, Polled,
    Producer, Producers, Refused, TopicRange, TransactionError,
};
use runtime::lifecycle::Failure;
use runtime::record::Positions;
use runtime::replay::{Pace, RangeInput, Share};

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
    producers: Producers,
    ledger: Ledger,
    plan: Plan,
    /// Opened at the committed offsets, once the transactional id is ours.
    input: RangeInput,
    /// Offsets of the open transaction.
    pending: Positions,
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
            plan,
            input: RangeInput::new(settings, group, range, pace, share),
            pending: Positions::new(),
        })
    }

    /// Opens the input where the committed offsets say.
    fn reopen(&mut self, timeout: Duration) -> Result<(), String> {
        let partitions = self.input.range().spans.keys().copied();
        let kept = self
            .ledger
            .read(partitions, timeout)
            .map_err(|error| error.to_string())?;
        if let Some(other) = self.plan.another_run(&kept) {
            self.input.give_up(Failure::failed(format!(
                "another process has begun run {other} of this --name, so this one (run {}) ends; \
                 what it committed stays",
                self.plan.run
            )));
            return Ok(());
        }
        let done = kept.iter().map(|(at, kept)| (*at, kept.next)).collect();
        self.input
            .open(&done)
            .map_err(|failure| failure.to_string())?;
        self.pending.clear();
        Ok(())
    }

    fn send_to_ledger(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let offsets = self
            .ledger
            .list(&self.plan, self.input.range(), positions)
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
        self.input.is_readable()
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.init(timeout)
    }

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        if self.input.is_open() {
            return self.input.poll(timeout);
        }
        if let Err(why) = self.reopen(SLICE) {
            tracing::warn!(why, "waiting for the backfill's offsets");
            std::thread::sleep(timeout);
        }
        Polled::Nothing
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.input.take_changes()
    }

    /// There is no group to stay in.
    fn keep_alive(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn rewind(&mut self, timeout: Duration) -> Result<(), String> {
        self.reopen(timeout.max(SLICE))
    }

    fn positions(&mut self) -> Positions {
        self.input.positions()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        match self.transact_offsets(positions) {
            Ok(()) => {
                let pending = std::mem::take(&mut self.pending);
                self.input.committed(&pending);
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

    fn take_refused(&mut self) -> Vec<Refused> {
        self.producers
            .current()
            .map(Producer::take_refused)
            .unwrap_or_default()
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
        self.input.committed(&pending);
        Ok(())
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.pending.clear();
        self.producers.current()?.abort(timeout)
    }
}
