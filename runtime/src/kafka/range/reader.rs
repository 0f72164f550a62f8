//! Reads a [`TopicRange`] once, committed records only, a member of no group.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::TopicRange;
use crate::kafka::KafkaSettings;
use crate::kafka::blocked::Cause;
use crate::kafka::fetch_queue::{FetchError, FetchQueue, Fetched, FetchedRecord};
use crate::lifecycle::Failure;
use crate::record::{Offset, Partition};

/// What came next.
#[derive(Debug)]
pub enum RangeEvent<R> {
    /// A record of the range.
    Record(R),
    /// Nothing within the time that was given.
    Nothing,
    /// This partition was read to the end of its span; it brings nothing more.
    PartitionDone(Partition),
    /// All were.
    Done,
}

/// See the module. Owned by one thread.
pub struct RangeReader {
    queue: FetchQueue<Quiet>,
    topic: String,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    /// The end of every partition that is not read to it yet.
    ends: BTreeMap<Partition, Offset>,
    /// Partitions that ended and were not told yet.
    ended: Vec<Partition>,
}

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::kafka::group::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka reader");
    }
}

impl ConsumerContext for Quiet {}

impl RangeReader {
    /// Starts reading. `group` is a name alone (a client must have one, and access control knows
    /// it): nothing is joined or committed.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn open(
        settings: &KafkaSettings,
        group: &str,
        range: &TopicRange,
    ) -> Result<Self, Failure> {
        let refused = |error: KafkaError| Failure::bad_setting(format!("Kafka consumer: {error}"));
        let consumer: BaseConsumer<Quiet> = settings
            .consumer(group)?
            .create_with_context(Quiet)
            .map_err(refused)?;
        let mut reader = Self {
            queue: FetchQueue::of(consumer),
            topic: range.topic.clone(),
            progress: Progress::default(),
        };
        let mut assignment = TopicPartitionList::new();
        for (partition, span) in &range.spans {
            if span.offsets() == 0 {
                reader.progress.ended.push(*partition);
                continue;
            }
            reader.progress.ends.insert(*partition, span.to);
            assignment
                .add_partition_offset(&range.topic, *partition, KafkaOffset::Offset(span.from))
                .map_err(refused)?;
            reader
                .queue
                .lead(&range.topic, *partition)
                .map_err(refused)?;
        }
        if assignment.count() > 0 {
            let assigned = reader.queue.client().assign(&assignment);
            assigned.map_err(refused)?;
        }
        Ok(reader)
    }

    /// What comes next, waiting for it up to `timeout`. A broker that is away is waited for.
    ///
    /// # Errors
    /// Exit code 1 when the client can't go on.
    pub fn next(
        &mut self,
        mut timeout: Duration,
    ) -> Result<RangeEvent<FetchedRecord<'_>>, Failure> {
        loop {
            if let Some(partition) = self.progress.ended.pop() {
                return Ok(RangeEvent::PartitionDone(partition));
            }
            if self.progress.ends.is_empty() {
                return Ok(RangeEvent::Done);
            }
            match self.queue.next(timeout) {
                Fetched::Nothing => {
                    self.serve_events()?;
                    return Ok(RangeEvent::Nothing);
                }
                Fetched::Record(partition, offset) => match self.progress.ends.get(&partition) {
                    Some(end) if offset < *end => {
                        return Ok(RangeEvent::Record(self.queue.record()));
                    }
                    // Whatever lies between the last record and this one is a gap.
                    Some(_) => self.finish(partition),
                    // Was under way when its partition ended.
                    None => {}
                },
                // The end of what is committed now lies at or behind the end that was seen.
                Fetched::End(partition, _) => {
                    if self.progress.ends.contains_key(&partition) {
                        self.finish(partition);
                    }
                }
                Fetched::Error(error) => {
                    if let Some(failure) = self.lasting(&error) {
                        return Err(failure);
                    }
                    tracing::debug!(?error, topic = self.topic, "poll");
                    return Ok(RangeEvent::Nothing);
                }
            }
            // Other partitions may have records at hand.
            timeout = Duration::ZERO;
        }
    }

    /// An error after which the client would not go on, or would go on behind records that it could
    /// not read.
    fn lasting(&self, error: &FetchError) -> Option<Failure> {
        let what = match Cause::of(error.code, &error.why) {
            Cause::OutOfRange { .. } => {
                "the log does not hold it (any more); choose a range that it holds".to_owned()
            }
            Cause::Unreadable { why } => format!("the batch there can't be read: {why}"),
            _ => return None,
        };
        let partition = error.partition.unwrap_or_default();
        let offset = error.offset.unwrap_or_default();
        Some(Failure::failed(format!(
            "partition {partition} of {} can't be read on from offset {offset}: {what}",
            self.topic
        )))
    }

    /// What the client has to tell beside records.
    fn serve_events(&self) -> Result<(), Failure> {
        match self.queue.client().poll(Duration::ZERO) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => Err(Failure::failed(format!(
                "{} can't be read on: {code}",
                self.topic
            ))),
            Some(Err(error)) => {
                tracing::debug!(%error, topic = self.topic, "poll");
                Ok(())
            }
            // Every partition is led to the queue of records before it is read.
            Some(Ok(_)) => Err(Failure::failed(format!(
                "{} can't be read on: a record came among the client's events",
                self.topic
            ))),
            None => Ok(()),
        }
    }

    /// Nothing more is fetched of a partition whose end was reached.
    fn finish(&mut self, partition: Partition) {
        self.progress.ends.remove(&partition);
        self.progress.ended.push(partition);
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.queue.client().incremental_unassign(&list) {
            // It may go on fetching what nobody takes: slower, not wrong.
            tracing::debug!(%error, partition, "unassign");
        }
    }
}
