//! The dead letters of a backfill.

use std::time::Duration;

use runtime::dead_letter::OutgoingDeadLetter;
use runtime::lifecycle::Failure;

use crate::kafka::KafkaDeadLetters;
use crate::ports::{DeadLetters, Drained};

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
