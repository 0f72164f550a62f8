//! All that a topic has by now, for a command that looks at it once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Bound, FetchedRecord, KafkaSettings, RangeEvent, RangeReader, TopicRange};
use crate::lifecycle::Failure;
use crate::record::Partition;

/// How long one call waits for a record.
const SLICE: Duration = Duration::from_millis(500);

/// A person who waits for a command is told after so long without a record.
const PATIENCE: Duration = Duration::from_secs(30);

impl TopicRange {
    /// All that is committed in the topic by now. Blocks its thread.
    ///
    /// # Errors
    /// See [`TopicRange::resolve`].
    pub fn whole(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        Self::resolve(settings, topic, &Bound::Earliest, &Bound::Latest, None)
    }

    /// All that is in the topic by now, and what open transactions may yet commit of it: who reads it
    /// waits until they have ended. Blocks its thread.
    ///
    /// For a reader to whom it matters that nothing is missing, such as a state that was written
    /// behind another group's transaction.
    ///
    /// # Errors
    /// See [`TopicRange::resolve`].
    pub fn undecided_too(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        let mut range = Self::whole(settings, topic)?;
        range.extend_to_the_ends_of_the_logs(settings)?;
        Ok(range)
    }

    /// The part of these partitions.
    #[must_use]
    pub fn only(mut self, partitions: &BTreeSet<Partition>) -> Self {
        self.spans.retain(|there, _| partitions.contains(there));
        self
    }

    /// Calls `each` with every committed record; those of a partition in their order. Blocks its
    /// thread. `group` is a name alone, see [`RangeReader::open`].
    ///
    /// # Errors
    /// The first error of `each`; exit code 1 when the broker falls silent, or tells an end before
    /// the range's for too long.
    pub fn read(
        &self,
        settings: &KafkaSettings,
        group: &str,
        mut each: impl FnMut(&FetchedRecord<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut reader = RangeReader::open(settings, group, self)?;
        let mut last = Instant::now();
        loop {
            // The reader gives that up by itself.
            let waits_for_an_end = reader.is_waiting_for_an_end();
            match reader.next(SLICE)? {
                RangeEvent::Record(record) => each(&record)?,
                RangeEvent::PartitionDone(_) => {}
                RangeEvent::Done => return Ok(()),
                RangeEvent::Nothing if waits_for_an_end || last.elapsed() < PATIENCE => continue,
                RangeEvent::Nothing => {
                    return Err(Failure::failed(format!(
                        "Kafka at {} does not answer: nothing of {} came for {PATIENCE:?}",
                        settings.kafka_bootstrap_servers, self.topic
                    )));
                }
            }
            last = Instant::now();
        }
    }
}
