//! A range as the input of a live loop: at a pace, from where the loop wants it, with its progress
//! shown.

use std::sync::Arc;
use std::time::Duration;

use super::{Pace, Share};
use crate::kafka::{
    AssignmentChange, FetchedRecord, KafkaSettings, Polled, RangeEvent, RangeReader, TopicRange,
};
use crate::lifecycle::Failure;
use crate::record::Positions;

/// See the module. One thread's share of a range, the same at every start.
pub struct RangeInput {
    settings: KafkaSettings,
    group: String,
    range: TopicRange,
    reader: Option<RangeReader>,
    /// Why the range can't be read on. Ends the backfill; the same command goes on from what is
    /// committed.
    given_up: Option<Failure>,
    is_assigned: bool,
    pace: Arc<Pace>,
    share: Arc<Share>,
}

impl RangeInput {
    /// Reads nothing before [`open`](Self::open). `group` is a name alone: nothing is joined or
    /// committed.
    pub fn new(
        settings: &KafkaSettings,
        group: &str,
        range: TopicRange,
        pace: Arc<Pace>,
        share: Arc<Share>,
    ) -> Self {
        Self {
            settings: settings.clone(),
            group: group.to_owned(),
            range,
            reader: None,
            given_up: None,
            is_assigned: false,
            pace,
            share,
        }
    }

    /// The whole share.
    pub const fn range(&self) -> &TopicRange {
        &self.range
    }

    /// Whether [`poll`](Self::poll) has more to say than that nothing is there: the range is being
    /// read, or was given up.
    pub const fn is_open(&self) -> bool {
        self.reader.is_some() || self.given_up.is_some()
    }

    /// Reads what is not done, once more if it was read before.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub fn open(&mut self, done: &Positions) -> Result<(), Failure> {
        let rest = self.range.after(done);
        let reader = RangeReader::open(&self.settings, &self.group, &rest)?;
        self.reader = Some(reader.in_place_of(self.reader.take()));
        self.committed(done);
        Ok(())
    }

    /// These offsets are committed.
    pub fn committed(&self, positions: &Positions) {
        if let Some(reader) = &self.reader {
            self.share.left_out(reader.left_out());
        }
        self.share.committed(&self.range, positions);
    }

    /// Gives the range up: the next poll says so, and the loop ends with this.
    pub fn give_up(&mut self, failure: Failure) {
        self.given_up = Some(failure);
    }

    /// Why the range was given up, if it was.
    ///
    /// # Errors
    /// That. A reader that gave up waited for a long time already: a person has to look.
    pub fn is_readable(&mut self) -> Result<(), Failure> {
        self.given_up.take().map_or(Ok(()), Err)
    }

    /// The next record.
    pub fn poll(&mut self, timeout: Duration) -> Polled<FetchedRecord<'_>> {
        if let Some(failure) = &self.given_up {
            return Polled::Fatal(failure.to_string());
        }
        if let Err(wait) = self.pace.take() {
            std::thread::sleep(wait.min(timeout));
            return Polled::Nothing;
        }
        let Some(reader) = self.reader.as_mut() else {
            return Polled::Nothing;
        };
        match reader.next(timeout) {
            Ok(RangeEvent::Record(record)) => Polled::Record(record),
            Ok(RangeEvent::Done) => {
                std::thread::sleep(timeout.min(Duration::from_millis(10)));
                Polled::Nothing
            }
            Ok(RangeEvent::PartitionDone(_) | RangeEvent::Nothing) => Polled::Nothing,
            Err(failure) => {
                let why = failure.to_string();
                self.given_up = Some(failure);
                Polled::Fatal(why)
            }
        }
    }

    /// The next offset of every partition of which something was read, or the end reached.
    pub fn positions(&self) -> Positions {
        let reader = self.reader.as_ref();
        reader.map_or_else(Positions::new, |reader| reader.positions().clone())
    }

    /// All partitions, once: nobody takes them away.
    pub fn take_changes(&mut self) -> Vec<AssignmentChange> {
        if std::mem::replace(&mut self.is_assigned, true) {
            return Vec::new();
        }
        let all = self.range.spans.keys().copied().collect();
        vec![AssignmentChange::Assigned(all)]
    }
}
