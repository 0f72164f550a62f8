//! A share of a range as the input of a live loop: at the replay's pace, from where the loop wants
//! it, and with its progress noted.

use std::time::Duration;

use super::Share;
use crate::kafka::{
    AssignmentChange, CommitError, FetchedRecord, GroupConsumer, KafkaSettings, Polled, RangeEvent,
    RangeReader, TopicRange,
};
use crate::lifecycle::Failure;
use crate::record::Positions;

/// How long a poll pauses once the share is read to its end.
const PAUSE_AT_END: Duration = Duration::from_millis(10);

/// Reads one thread's share of a range.
pub struct RangeInput {
    settings: KafkaSettings,
    group: String,
    share: Share,
    reader: Option<RangeReader>,
    /// The offsets that are committed so far.
    committed: Positions,
    /// Why the range cannot be read any further. It ends the backfill; running the command again
    /// continues from what is committed.
    given_up: Option<Failure>,
    is_assigned: bool,
    /// Whether every record that is read counts as written, so that none is noted by itself.
    writes_all: bool,
}

impl RangeInput {
    /// Reads nothing before [`open`](Self::open). `group` only names the client: nothing is joined
    /// or committed.
    pub fn new(settings: &KafkaSettings, group: &str, share: Share) -> Self {
        Self {
            settings: settings.clone(),
            group: group.to_owned(),
            share,
            reader: None,
            committed: Positions::new(),
            given_up: None,
            is_assigned: false,
            writes_all: false,
        }
    }

    /// Notes every record that is read as [written](Self::note_written), for a loop that writes a row for
    /// each.
    #[must_use]
    pub const fn writing_all(mut self) -> Self {
        self.writes_all = true;
        self
    }

    /// Returns the whole share.
    pub const fn range(&self) -> &TopicRange {
        &self.share.range
    }

    /// Returns whether [`poll`](GroupConsumer::poll) can return more than [`Polled::Nothing`]: the range is
    /// being read, or was given up.
    pub const fn is_open(&self) -> bool {
        self.reader.is_some() || self.given_up.is_some()
    }

    /// Notes that `done` is committed, and reads everything after it, even if it was read before.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub fn open(&mut self, done: &Positions) -> Result<(), Failure> {
        self.committed.clone_from(done);
        self.restart()
    }

    /// Reads everything after the committed offsets, even if it was read before.
    fn restart(&mut self) -> Result<(), Failure> {
        let rest = self.share.range.after(&self.committed);
        let reader = RangeReader::open(&self.settings, &self.group, &rest)?;
        self.reader = Some(reader.in_place_of(self.reader.take()));
        self.note_progress();
        Ok(())
    }

    /// Notes that these offsets are committed.
    pub fn committed(&mut self, positions: &Positions) {
        self.committed.extend(positions);
        self.note_progress();
    }

    /// Notes that a record is written because of what was read.
    pub fn note_written(&self) {
        self.share.pace.note_written();
    }

    fn note_progress(&self) {
        let Share {
            range, progress, ..
        } = &self.share;
        if let Some(reader) = &self.reader {
            progress.note_left_out(reader.left_out());
        }
        progress.committed(range, &self.committed);
    }

    /// Gives the range up: the next poll fails with this, and the loop ends.
    pub fn give_up(&mut self, failure: Failure) {
        self.given_up = Some(failure);
    }

    /// Returns why the range was given up, if it was. It must not be read again then: a reader
    /// gives up only after a long time, and a person has to look for the cause.
    ///
    /// # Errors
    /// The failure that it was given up with.
    pub fn is_readable(&mut self) -> Result<(), Failure> {
        self.given_up.take().map_or(Ok(()), Err)
    }
}

/// No group is joined, and nothing is rebalanced. The offsets are kept in memory only: a loop whose offsets
/// have to outlive the process commits them elsewhere.
impl GroupConsumer for RangeInput {
    type Record<'a> = FetchedRecord<'a>;

    fn poll(&mut self, timeout: Duration) -> Polled<FetchedRecord<'_>> {
        if let Some(failure) = &self.given_up {
            return Polled::Fatal(failure.to_string());
        }
        if let Err(wait) = self.share.pace.take() {
            std::thread::sleep(wait.min(timeout));
            return Polled::Nothing;
        }
        let Some(reader) = self.reader.as_mut() else {
            return Polled::Nothing;
        };
        match reader.next(timeout) {
            Ok(RangeEvent::Record(record)) => {
                if self.writes_all {
                    self.share.pace.note_written();
                }
                Polled::Record(record)
            }
            Ok(RangeEvent::Done) => {
                std::thread::sleep(timeout.min(PAUSE_AT_END));
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

    /// Returns the assignment of all partitions, once. No other member can take them away.
    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        if std::mem::replace(&mut self.is_assigned, true) {
            return Vec::new();
        }
        let all = self.share.range.spans.keys().copied().collect();
        vec![AssignmentChange::Assigned(all)]
    }

    /// Sleeps, because there is no group to stay in.
    fn keep_alive(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        self.restart().map_err(|failure| failure.to_string())
    }

    fn positions(&self) -> Positions {
        let reader = self.reader.as_ref();
        reader.map_or_else(Positions::new, |reader| reader.positions().clone())
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        self.committed(positions);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.is_readable()?;
        self.restart()
    }
}
