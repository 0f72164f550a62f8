//! The loop's ports over a range instead of a group's partitions.

use std::sync::Arc;
use std::time::Duration;

use runtime::kafka::{
    AssignmentChange, CommitError, FetchedRecord, KafkaSettings, Polled, RangeEvent, RangeReader,
    TopicRange,
};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, Positions};
use runtime::replay::{Pace, Share};

use crate::kafka::KafkaDeadLetters;
use crate::ports::{DeadLetters, Drained, Letter, Source};

/// One thread's share. Its offsets are kept in memory alone: rows are known by their identity, so
/// a rebuild that was interrupted is begun again.
pub(super) struct RangeSource {
    settings: KafkaSettings,
    group: String,
    range: TopicRange,
    reader: RangeReader,
    /// Why the range can't be read on. Ends the backfill; the same command goes on from what is committed.
    given_up: Option<Failure>,
    told: bool,
    positions: Positions,
    settled: Positions,
    pace: Arc<Pace>,
    share: Arc<Share>,
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
        share.committed(&range, &Positions::new());
        Ok(Self {
            reader: RangeReader::open(settings, group, &range)?,
            given_up: None,
            settings: settings.clone(),
            group: group.to_owned(),
            range,
            told: false,
            positions: Positions::new(),
            settled: Positions::new(),
            pace,
            share,
        })
    }

    /// Opens the reader behind what is settled.
    fn go_on(&mut self) -> Result<(), Failure> {
        let rest = self.range.after(&self.settled);
        self.reader = RangeReader::open(&self.settings, &self.group, &rest)?;
        self.positions.clear();
        Ok(())
    }
}

impl Source for RangeSource {
    type Record<'a> = FetchedRecord<'a>;

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        if let Err(wait) = self.pace.take() {
            std::thread::sleep(wait.min(timeout));
            return Polled::Nothing;
        }
        match self.reader.next(timeout) {
            Ok(RangeEvent::Record(record)) => {
                let (partition, offset) = (
                    InputRecord::partition(&record),
                    InputRecord::offset(&record),
                );
                self.positions.insert(partition, offset + 1);
                Polled::Record(record)
            }
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
            Err(failure) => {
                let why = failure.to_string();
                self.given_up = Some(failure);
                Polled::Fatal(why)
            }
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

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        self.go_on().map_err(|failure| failure.to_string())
    }

    fn positions(&mut self) -> Positions {
        self.positions.clone()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        self.settled.extend(positions);
        self.share.committed(&self.range, positions);
        Ok(())
    }

    /// A reader that gave up waited for a long time already: a person has to look.
    fn reopen(&mut self) -> Result<(), Failure> {
        match self.given_up.take() {
            Some(failure) => Err(failure),
            None => self.go_on(),
        }
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
    fn send(&mut self, letter: &Letter<'_>) -> Result<(), String> {
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
