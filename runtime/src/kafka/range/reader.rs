//! Reads the committed records of a [`TopicRange`] once, without joining a consumer group.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::progress::{EarlyEnd, Passed, RangeProgress};
use super::times::LeftOut;
use super::{Times, TopicRange};
use crate::kafka::client_log;
use crate::kafka::consumer::{Cause, FetchError, FetchQueue, Fetched, FetchedRecord};
use crate::kafka::{KafkaSettings, Right};
use crate::lifecycle::Failure;
use crate::record::{InputRecord as _, Partition, Positions};

/// How many records outside of the selected times one call skips at most. Bounds how long a stop waits,
/// and allows a commit of offsets after each call.
const MAX_PASSED: u32 = 20_000;

/// What a call of [`RangeReader::next`] brought.
#[derive(Debug)]
pub enum RangeEvent<R> {
    /// A record of the range.
    Record(R),
    /// Nothing came within the timeout.
    Nothing,
    /// This partition is read to the end of its span.
    PartitionDone(Partition),
    /// All partitions are read.
    Done,
}

/// Reads a range once. Owned by one thread.
pub struct RangeReader {
    queue: FetchQueue<Quiet>,
    topic: String,
    /// The error for a user that may not read the topic.
    refusal: String,
    progress: RangeProgress,
    times: Times,
    left_out: LeftOut,
    /// The next offset of every partition of which a record was read or the end was reached.
    positions: Positions,
    /// Whether a record came since a call last returned nothing.
    moved: bool,
    quiet_since: Instant,
}

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka reader");
    }
}

impl ConsumerContext for Quiet {}

impl RangeReader {
    /// Starts reading. `group` only names the client, because librdkafka and access control need a
    /// name: nothing is joined or committed.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn open(
        settings: &KafkaSettings,
        group: &str,
        range: &TopicRange,
    ) -> Result<Self, Failure> {
        let refusal = settings.refusal_in_words(Right::read_topic(&range.topic));
        let mut config = settings.consumer(group)?;
        // The end of a span is usually a transaction's marker, which only a fetch without records
        // shows to be the end. The broker holds such a fetch back for this long.
        config.set("fetch.wait.max.ms", "20");
        Self::start(&config, range, refusal)
    }

    fn start(config: &ClientConfig, range: &TopicRange, refusal: String) -> Result<Self, Failure> {
        let refused = |error: KafkaError| Failure::bad_setting(format!("Kafka consumer: {error}"));
        let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet).map_err(refused)?;
        let mut reader = Self {
            queue: FetchQueue::new(consumer),
            topic: range.topic.clone(),
            refusal,
            progress: RangeProgress::default(),
            times: range.times,
            left_out: LeftOut::default(),
            positions: Positions::new(),
            moved: false,
            quiet_since: Instant::now(),
        };
        let mut assignment = TopicPartitionList::new();
        for (partition, span) in &range.spans {
            if span.offsets() == 0 {
                reader.positions.insert(*partition, span.to);
                reader.progress.finish(*partition);
                continue;
            }
            reader.progress.expect(*partition, span.to);
            assignment
                .add_partition_offset(&range.topic, *partition, KafkaOffset::Offset(span.from))
                .map_err(refused)?;
            reader
                .queue
                .forward(&range.topic, *partition)
                .map_err(refused)?;
        }
        if assignment.count() > 0 {
            let assigned = reader.queue.client().assign(&assignment);
            assigned.map_err(refused)?;
        }
        Ok(reader)
    }

    /// Continues the count of records that `earlier` has left out.
    #[must_use]
    pub fn in_place_of(mut self, earlier: Option<Self>) -> Self {
        if let Some(earlier) = earlier {
            self.left_out = earlier.left_out;
        }
        self
    }

    /// Returns the next offset of every partition of which a record was read or the end was
    /// reached, past records of other times and control records.
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Returns how many records were left out because of their timestamps.
    pub const fn left_out(&self) -> u64 {
        self.left_out.records()
    }

    /// Returns what comes next, waiting for it up to `timeout`. Waits for a broker that does not
    /// answer.
    ///
    /// # Errors
    /// Exit code 1 when the client fails, when this user may not read the topic, and when brokers
    /// keep reporting an end before that of a span.
    pub fn next(
        &mut self,
        mut timeout: Duration,
    ) -> Result<RangeEvent<FetchedRecord<'_>>, Failure> {
        for _ in 0..MAX_PASSED {
            if let Some(partition) = self.progress.take_ended() {
                return Ok(RangeEvent::PartitionDone(partition));
            }
            if self.progress.is_done() {
                return Ok(RangeEvent::Done);
            }
            match self.queue.next(timeout) {
                Fetched::Nothing => {
                    self.serve_events()?;
                    self.wait_for_ends()?;
                    return Ok(RangeEvent::Nothing);
                }
                Fetched::Record(partition, offset) => {
                    self.moved = true;
                    match self.progress.record(partition, offset) {
                        passed @ (Passed::Within | Passed::Last) => {
                            self.positions.insert(partition, offset + 1);
                            // The client would report the end only after one more fetch.
                            if passed == Passed::Last {
                                self.finish(partition);
                            }
                            let timestamp = self.queue.record().timestamp_millis();
                            if self.times.contain(timestamp) {
                                return Ok(RangeEvent::Record(self.queue.record()));
                            }
                            self.left_out.note(partition, offset);
                        }
                        Passed::Behind => self.finish(partition),
                        Passed::Late => {}
                    }
                }
                Fetched::End(partition, end) => {
                    if self.progress.end(partition, end, Instant::now()) {
                        self.finish(partition);
                    }
                }
                Fetched::Error(error) => {
                    if let Some(failure) = self.permanent(&error) {
                        return Err(failure);
                    }
                    tracing::debug!(?error, topic = self.topic, "poll");
                    return Ok(RangeEvent::Nothing);
                }
            }
            // Other partitions may have fetched records already.
            timeout = Duration::ZERO;
        }
        Ok(RangeEvent::Nothing)
    }

    /// Returns whether nothing comes because a broker reports an end before that of a span.
    pub fn is_waiting_for_an_end(&self) -> bool {
        self.progress.is_waiting()
    }

    /// Logs which partitions are waited for, and fails when one is overdue.
    fn wait_for_ends(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if std::mem::take(&mut self.moved) {
            self.quiet_since = now;
        }
        for EarlyEnd {
            partition,
            reported,
            end,
        } in self.progress.due_lines(now)
        {
            tracing::warn!(
                topic = self.topic,
                partition,
                read_to = reported,
                end,
                "waiting for the rest of a partition: the broker reports an earlier end"
            );
        }
        match self.progress.overdue(now, self.quiet_since) {
            None => Ok(()),
            Some(EarlyEnd {
                partition,
                reported,
                end,
            }) => Err(Failure::failed(format!(
                "partition {partition} of {} is read to offset {reported}, where the broker says that \
                 it ends, but it ended at {end} when this command started: a follower lags \
                 (client.rack), a transaction stays open, or a new leader has lost records; check the \
                 partition's replicas and run this command again",
                self.topic
            ))),
        }
    }

    /// Returns the failure for an error that does not pass by itself: the client would stop, or
    /// skip records that it cannot read, or this user may not read the topic.
    fn permanent(&self, error: &FetchError) -> Option<Failure> {
        let what = match Cause::of(error.code, &error.why) {
            Cause::OutOfRange { .. } => {
                "the log does not hold that offset; choose a range that it holds".to_owned()
            }
            Cause::Unreadable { why } => format!("the batch at that offset cannot be read: {why}"),
            Cause::Refused { .. } => return Some(Failure::failed(&self.refusal)),
            _ => return None,
        };
        let partition = error.partition.unwrap_or_default();
        let offset = error.offset.unwrap_or_default();
        Some(Failure::failed(format!(
            "partition {partition} of {} cannot be read from offset {offset}: {what}",
            self.topic
        )))
    }

    /// Serves the events of the client that are not records.
    fn serve_events(&self) -> Result<(), Failure> {
        match self.queue.client().poll(Duration::ZERO) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => Err(Failure::failed(format!(
                "{} cannot be read any further: {code}",
                self.topic
            ))),
            Some(Err(error)) => {
                tracing::debug!(%error, topic = self.topic, "poll");
                Ok(())
            }
            // Every partition is redirected to the queue of records before it is read.
            Some(Ok(_)) => Err(Failure::failed(format!(
                "{} cannot be read any further: a record came among the client's events",
                self.topic
            ))),
            None => Ok(()),
        }
    }

    /// Stops fetching a partition whose end was reached.
    fn finish(&mut self, partition: Partition) {
        // The gap between the last record and the end of the span is done too.
        if let Some(end) = self.progress.finish(partition) {
            self.positions.insert(partition, end);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.queue.client().incremental_unassign(&list) {
            // Fetching records that are ignored is slower, not wrong.
            tracing::debug!(%error, partition, "unassign");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

    use super::super::Span;
    use super::*;
    use crate::record::Offset;

    const TOPIC: &str = "t";
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Starts librdkafka's mock cluster: two brokers, a topic with one partition.
    fn cluster() -> MockCluster<'static, DefaultProducerContext> {
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic(TOPIC, 1, 2).unwrap();
        cluster.partition_leader(TOPIC, 0, Some(1)).unwrap();
        cluster
    }

    fn settings(cluster: &MockCluster<'_, DefaultProducerContext>) -> KafkaSettings {
        KafkaSettings {
            kafka_bootstrap_servers: cluster.bootstrap_servers(),
            kafka_properties: None,
            kafka_properties_file: None,
        }
    }

    /// Writes records, each in its own batch.
    fn write(settings: &KafkaSettings, records: Offset) {
        write_at(settings, (0..records).map(|_| 1));
    }

    /// Writes a record with each of these timestamps.
    fn write_at(settings: &KafkaSettings, timestamps: impl IntoIterator<Item = i64>) {
        let producer: BaseProducer = settings.producer().unwrap().create().unwrap();
        for timestamp in timestamps {
            let record = BaseRecord::<[u8], [u8]>::to(TOPIC).payload(b"{}");
            producer.send(record.timestamp(timestamp)).unwrap();
            producer.flush(DEADLINE).unwrap();
        }
    }

    fn up_to(end: Offset) -> TopicRange {
        TopicRange {
            topic: TOPIC.to_owned(),
            spans: BTreeMap::from([(0, Span { from: 0, to: end })]),
            times: Times::default(),
        }
    }

    /// Returns the offsets that are read until `until` is true of the reader, or it is done.
    fn read(reader: &mut RangeReader, until: impl Fn(&RangeReader) -> bool) -> Vec<Offset> {
        let give_up = Instant::now() + DEADLINE;
        let mut offsets = Vec::new();
        loop {
            assert!(Instant::now() < give_up, "no progress after {offsets:?}");
            match reader.next(Duration::from_millis(50)).unwrap() {
                RangeEvent::Record(record) => offsets.push(record.offset()),
                RangeEvent::Done => return offsets,
                RangeEvent::PartitionDone(_) | RangeEvent::Nothing => {}
            }
            if until(reader) {
                return offsets;
            }
        }
    }

    #[test]
    fn a_reader_waits_behind_an_end_before_that_of_its_span() {
        let cluster = cluster();
        let settings = settings(&cluster);
        write(&settings, 4);
        let mut reader = RangeReader::open(&settings, "test", &up_to(10)).unwrap();
        let first = read(&mut reader, RangeReader::is_waiting_for_an_end);
        assert_eq!(first, [0, 1, 2, 3]);
        assert!(reader.is_waiting_for_an_end(), "it took 4 as the end");
        write(&settings, 8);
        let rest = read(&mut reader, |_| false);
        assert_eq!(rest, [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn records_of_other_times_are_left_out_and_counted_once() {
        let cluster = cluster();
        let settings = settings(&cluster);
        write_at(&settings, [10, 30, 19, 20, 5, 11]);
        let range = TopicRange {
            times: Times {
                from: Some(10),
                to: Some(20),
            },
            ..up_to(6)
        };
        let mut reader = RangeReader::open(&settings, "test", &range).unwrap();
        assert_eq!(read(&mut reader, |_| false), [0, 2, 5]);
        assert_eq!(reader.positions(), &Positions::from([(0, 6)]));
        assert_eq!(reader.left_out(), 3);
        // Read again from the second record on, as after an abort.
        let rest = range.after(&Positions::from([(0, 1)]));
        let again = RangeReader::open(&settings, "test", &rest).unwrap();
        let mut again = again.in_place_of(Some(reader));
        assert_eq!(read(&mut again, |_| false), [2, 5]);
        assert_eq!(again.left_out(), 3);
    }

    #[test]
    fn reading_ends_where_it_is_told_to_and_says_how_far_it_came() {
        let cluster = cluster();
        let settings = settings(&cluster);
        write(&settings, 6);
        for (last, expected) in [(2, 3), (99, 6)] {
            let mut offsets = Vec::new();
            let reached = up_to(6).read_while(&settings, "test", |record| {
                offsets.push(record.offset());
                Ok(match record.offset() == last {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            });
            assert_eq!(reached.unwrap(), Positions::from([(0, expected)]));
            assert_eq!(offsets, (0..expected).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_follower_that_lags_does_not_end_a_range() {
        let cluster = cluster();
        let settings = settings(&cluster);
        write(&settings, 4);
        cluster.partition_follower(TOPIC, 0, 2).unwrap();
        cluster
            .follower_watermarks(TOPIC, 0, None, Some(4))
            .unwrap();
        let mut config = settings.consumer("test").unwrap();
        // The mock's follower reports the leader's last stable offset, but its own high watermark.
        config.set("isolation.level", "read_uncommitted");
        let mut reader = RangeReader::start(&config, &up_to(10), String::new()).unwrap();
        let mut offsets = read(&mut reader, RangeReader::is_waiting_for_an_end);
        assert!(reader.is_waiting_for_an_end(), "it ended after {offsets:?}");
        // The leader has all records; the follower still ends at 4.
        write(&settings, 6);
        cluster.follower_watermarks(TOPIC, 0, None, None).unwrap();
        offsets.extend(read(&mut reader, |_| false));
        assert_eq!(offsets, (0..10).collect::<Vec<_>>());
    }
}
