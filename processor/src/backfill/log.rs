//! The port of the loop over a range: no member competes for its partitions, and its offsets are
//! committed with a plan.

use std::time::{Duration, Instant};

use runtime::kafka::rdkafka::error::{KafkaError, RDKafkaErrorCode};
use runtime::kafka::{
    AssignmentChange, CommitError, FetchedRecord, GroupConsumer, GroupOffsets, KafkaSettings,
    Outgoing, Polled, Producers, Refused, TransactionError, retry_until,
};
use runtime::lifecycle::Failure;
use runtime::record::Positions;
use runtime::replay::{RangeInput, Share};

use super::offsets::BackfillOffsets;
use super::plan::Plan;
use crate::limits::QUEUE_ROOM;
use crate::ports::Log;

/// How long one call may wait for the broker.
const SLICE: Duration = Duration::from_secs(1);

/// How long the calls that commit offsets without records are repeated until the broker answers.
const PATIENCE: Duration = Duration::from_secs(15);

/// One thread's share of a backfill.
pub struct RangeLog {
    producers: Producers,
    offsets: BackfillOffsets,
    plan: Plan,
    /// Opened at the committed offsets, once the transactional id is taken over.
    input: RangeInput,
    /// The offsets of the open transaction.
    pending: Positions,
}

impl RangeLog {
    /// Prepares to read `share`. Must be given the same share at every start.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub fn new(
        settings: &KafkaSettings,
        group: &str,
        transactional_id: &str,
        plan: Plan,
        share: Share,
    ) -> Result<Self, Failure> {
        Ok(Self {
            producers: Producers::new(vec![settings.transactional_producer(transactional_id)?]),
            offsets: BackfillOffsets::open(settings, group, &share.range.topic)?,
            plan,
            input: RangeInput::new(settings, group, share),
            pending: Positions::new(),
        })
    }

    /// Opens the input at the committed offsets.
    fn open_input(&mut self, timeout: Duration) -> Result<(), String> {
        let partitions = self.input.range().spans.keys().copied();
        let stored = self
            .offsets
            .read(partitions, timeout)
            .map_err(|error| error.to_string())?;
        if let Some(other) = self.plan.another_run(&stored) {
            self.input.give_up(Failure::failed(format!(
                "another process has begun run {other} of this --name, so run {} ends here; what it \
                 committed is kept",
                self.plan.run
            )));
            return Ok(());
        }
        let done = stored
            .iter()
            .map(|(at, stored)| (*at, stored.next))
            .collect();
        self.input
            .open(&done)
            .map_err(|failure| failure.to_string())?;
        self.pending.clear();
        Ok(())
    }

    fn add_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let offsets = self
            .offsets
            .list(&self.plan, self.input.range(), positions)
            .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        let Some(group) = self.offsets.group() else {
            return Err(TransactionError::Fatal(
                "the client has no group".to_owned(),
            ));
        };
        let offsets = GroupOffsets::new(offsets, group);
        self.producers.current()?.send_offsets(offsets, timeout)?;
        self.pending.extend(positions);
        Ok(())
    }

    /// Commits offsets without records. It uses a transaction too, which fences a predecessor that
    /// was assumed to be dead: it cannot set the offsets back.
    fn transact_offsets(&mut self, positions: &Positions) -> Result<(), TransactionError> {
        let deadline = Instant::now() + PATIENCE;
        self.producers.begin()?;
        retry_until(deadline, || self.add_offsets(positions, SLICE))?;
        retry_until(deadline, || self.producers.current()?.commit(SLICE))
    }
}

/// Reads the input from the committed offsets on, and commits with transactions.
impl GroupConsumer for RangeLog {
    type Record<'a> = FetchedRecord<'a>;

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        if self.input.is_open() {
            return self.input.poll(timeout);
        }
        if let Err(why) = self.open_input(SLICE) {
            tracing::warn!(why, "waiting for the backfill's offsets");
            std::thread::sleep(timeout);
        }
        Polled::Nothing
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.input.take_changes()
    }

    fn keep_alive(&mut self, time: Duration) {
        self.input.keep_alive(time);
    }

    fn rewind(&mut self, timeout: Duration) -> Result<(), String> {
        self.open_input(timeout.max(SLICE))
    }

    fn positions(&self) -> Positions {
        self.input.positions()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        match self.transact_offsets(positions) {
            Ok(()) => {
                let pending = std::mem::take(&mut self.pending);
                self.input.committed(&pending);
                Ok(())
            }
            // The loop reads again, and its next transaction shows whether this producer still works.
            Err(error) => {
                tracing::warn!(%error, "the offsets were not committed; their records are read again");
                Err(CommitError::ReadAgain(KafkaError::ConsumerCommit(
                    RDKafkaErrorCode::InvalidTransactionalState,
                )))
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.input.is_readable()
    }
}

impl Log for RangeLog {
    type Consumer = Self;

    fn consumer(&mut self) -> &mut Self {
        self
    }

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.producers.open()
    }

    /// A range is read without a group.
    fn is_fenced(&self) -> bool {
        false
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.init(timeout)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.pending.clear();
        self.producers.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producers.current()?.send(record, QUEUE_ROOM)?;
        self.input.note_written();
        Ok(())
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current()?.drain(timeout)
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        self.producers.take_refused()
    }

    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.add_offsets(positions, timeout)
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
