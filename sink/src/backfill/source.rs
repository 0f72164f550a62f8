//! The loop's ports over a range instead of a group's partitions.

use std::sync::Arc;
use std::time::Duration;

use runtime::kafka::{
    AssignmentChange, CommitError, FetchedRecord, KafkaSettings, Polled, TopicRange,
};
use runtime::lifecycle::Failure;
use runtime::record::Positions;
use runtime::replay::{Pace, RangeInput, Share};

use crate::kafka::KafkaDeadLetters;
use crate::ports::{DeadLetterRecord, DeadLetters, Drained, Source};

/// One thread's share. Its offsets are kept in memory alone: rows are known by their identity, so
/// a rebuild that was interrupted is begun again.
pub(super) struct RangeSource {
    input: RangeInput,
    settled: Positions,
}

impl RangeSource {
    /// `group` is a name alone: nothing is joined or committed.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub(super) fn open(
        settings: &KafkaSettings,
        group: &str,
        range: TopicRange,
        pace: Arc<Pace>,
        share: Arc<Share>,
    ) -> Result<Self, Failure> {
        let mut source = Self {
            input: RangeInput::new(settings, group, range, pace, share),
            settled: Positions::new(),
        };
        source.input.open(&source.settled)?;
        Ok(source)
    }
}

impl Source for RangeSource {
    type Record<'a> = FetchedRecord<'a>;

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        self.input.poll(timeout)
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.input.take_changes()
    }

    /// There is no group to stay in.
    fn keep_alive(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Reads on behind what is settled.
    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        self.input
            .open(&self.settled)
            .map_err(|failure| failure.to_string())
    }

    fn positions(&mut self) -> Positions {
        self.input.positions()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        self.settled.extend(positions);
        self.input.committed(positions);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.input.is_readable()?;
        self.input.open(&self.settled)
    }
}

/// Where records go that can't be used: the dead letter topic, or nowhere but the count.
pub(super) enum Letters {
    /// With `--dead-letters`.
    Written(KafkaDeadLetters),
    /// Their letters were written when they came.
    Counted,
}

impl DeadLetters for Letters {
    fn send(&mut self, letter: &DeadLetterRecord<'_>) -> Result<(), String> {
        match self {
            Self::Written(letters) => letters.send(letter),
            Self::Counted => Ok(()),
        }
    }

    fn drain(&mut self, timeout: Duration) -> Drained {
        match self {
            Self::Written(letters) => letters.drain(timeout),
            Self::Counted => Drained::All,
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        match self {
            Self::Written(letters) => letters.reopen(),
            Self::Counted => Ok(()),
        }
    }
}
