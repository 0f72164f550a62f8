//! The ports of the loop over a range instead of a group's partitions.

use std::time::Duration;

use runtime::dead_letter::OutgoingDeadLetter;
use runtime::kafka::{AssignmentChange, CommitError, FetchedRecord, Polled};
use runtime::lifecycle::Failure;
use runtime::record::Positions;
use runtime::replay::RangeInput;

use crate::kafka::KafkaDeadLetters;
use crate::ports::{DeadLetters, Drained, Source};

/// The offsets of a backfill are kept in memory only. Rows are identified by campaign and order, so
/// an interrupted rebuild is started again.
impl Source for RangeInput {
    type Record<'a> = FetchedRecord<'a>;

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        Self::poll(self, timeout)
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        Self::take_changes(self)
    }

    /// There is no group to stay in.
    fn keep_alive(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        Self::reopen(self).map_err(|failure| failure.to_string())
    }

    fn positions(&mut self) -> Positions {
        Self::positions(self)
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        self.committed(positions);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.is_readable()?;
        Self::reopen(self)
    }
}

/// What happens to records that cannot be used.
pub(super) enum BackfillDeadLetters {
    /// With `--dead-letters` they are written to the dead letter topic.
    Written(KafkaDeadLetters),
    /// Otherwise they are only counted: the live flow wrote them.
    Counted,
}

impl DeadLetters for BackfillDeadLetters {
    fn send(&mut self, dead_letter: &OutgoingDeadLetter<'_>) -> Result<(), String> {
        match self {
            Self::Written(topic) => topic.send(dead_letter),
            Self::Counted => Ok(()),
        }
    }

    fn drain(&mut self, timeout: Duration) -> Drained {
        match self {
            Self::Written(topic) => topic.drain(timeout),
            Self::Counted => Drained::All,
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        match self {
            Self::Written(topic) => topic.reopen(),
            Self::Counted => Ok(()),
        }
    }
}
