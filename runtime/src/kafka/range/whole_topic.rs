//! A whole topic, for commands that read everything that is in it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Bound, RangeEvent, RangeReader, TopicRange};
use crate::duration::human_duration;
use crate::kafka::{FetchedRecord, KafkaSettings};
use crate::lifecycle::Failure;
use crate::record::{Partition, Positions};

/// How long one call waits for a record.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a command waits for the next record before it fails: a person is waiting for it.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

impl TopicRange {
    /// Returns the range of everything that is committed in the topic now. Blocks its thread.
    ///
    /// # Errors
    /// See [`TopicRange::resolve`].
    pub fn whole(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        Self::resolve(settings, topic, &Bound::Earliest, &Bound::Latest, None)
    }

    /// Returns the range of everything that is in the topic now, including the records of open
    /// transactions, for whose end its reader waits. Blocks its thread.
    ///
    /// For a reader that must not miss a record, such as a state that was written behind another
    /// group's open transaction.
    ///
    /// # Errors
    /// See [`TopicRange::resolve`].
    pub fn undecided_too(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        let mut range = Self::whole(settings, topic)?;
        range.extend_to_the_ends_of_the_logs(settings)?;
        Ok(range)
    }

    /// Keeps only these partitions.
    #[must_use]
    pub fn only(mut self, partitions: &BTreeSet<Partition>) -> Self {
        self.spans
            .retain(|partition, _| partitions.contains(partition));
        self
    }

    /// Calls `each` with every committed record; those of a partition in their order. Blocks its
    /// thread. `group` names the client, see [`RangeReader::open`].
    ///
    /// # Errors
    /// The first error of `each`; exit code 1 when no record comes for too long, or when a broker
    /// returns an end before the range's for too long.
    pub fn read(
        &self,
        settings: &KafkaSettings,
        group: &str,
        mut each: impl FnMut(&FetchedRecord<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.read_while(settings, group, |record| {
            each(record).map(ControlFlow::Continue)
        })
        .map(|_| ())
    }

    /// Calls `each` as [`read`](Self::read) does, until it breaks. Returns how far each partition was
    /// read; a partition of which nothing was read is left out.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_while(
        &self,
        settings: &KafkaSettings,
        group: &str,
        mut each: impl FnMut(&FetchedRecord<'_>) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Positions, Failure> {
        let mut reader = RangeReader::open(settings, group, self)?;
        let mut last = Instant::now();
        loop {
            // The reader has its own timeout for that.
            let waits_for_an_end = reader.is_waiting_for_an_end();
            match reader.next(POLL_TIMEOUT)? {
                RangeEvent::Record(record) => {
                    if each(&record)?.is_break() {
                        return Ok(reader.positions().clone());
                    }
                }
                RangeEvent::PartitionDone(_) => {}
                RangeEvent::Done => return Ok(reader.positions().clone()),
                RangeEvent::Nothing if waits_for_an_end || last.elapsed() < SILENCE_TIMEOUT => {
                    continue;
                }
                RangeEvent::Nothing => {
                    return Err(Failure::failed(format!(
                        "Kafka at {} does not answer: no record of {} came for {}",
                        settings.kafka_bootstrap_servers,
                        self.topic,
                        human_duration(SILENCE_TIMEOUT)
                    )));
                }
            }
            last = Instant::now();
        }
    }
}
