//! The limit of every reader of a topic: librdkafka's `poll`, without doing anything with the records.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::usage::own_cpu;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The time that reading a topic took.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// From the creation of the client to the last record.
    pub wall: Duration,
    /// CPU time of this process, which does nothing else.
    pub cpu: Duration,
}

/// Reads `records` records of `topic` from its beginning, in this process.
///
/// # Errors
/// When there are fewer, or the broker does not answer.
pub fn bare(brokers: &str, topic: &str, records: u64) -> Result<Drained> {
    let (begun, cpu) = (Instant::now(), own_cpu());
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench-bare")
        .set("enable.auto.commit", "false")
        // With the defaults the client would wait for its own queue, or pay for its memory.
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", "16384")
        .create()?;
    consumer.assign(&from_the_beginning(&consumer, topic)?)?;
    let mut bytes = 0;
    for seen in 0..records {
        let message = consumer
            .poll(TIMEOUT)
            .with_context(|| format!("{topic} ended after {seen} of {records} records"))??;
        bytes += message.payload_len();
    }
    ensure!(bytes > 0, "{topic} has only tombstones");
    Ok(Drained {
        wall: begun.elapsed(),
        cpu: own_cpu() - cpu,
    })
}

fn from_the_beginning(consumer: &BaseConsumer, topic: &str) -> Result<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    Ok(list)
}

/// Watches the committed offsets of a group with one client.
pub struct Progress {
    consumer: BaseConsumer,
    topic: String,
    partitions: TopicPartitionList,
    ends: Vec<(i32, i64)>,
}

impl Progress {
    /// Watches `group` in `topic` up to its current end. The first request is made here, so that its
    /// cost is not measured.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn of(brokers: &str, group: &str, topic: &str) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()?;
        let partitions = from_the_beginning(&consumer, topic)?;
        let mut ends = Vec::new();
        for element in partitions.elements() {
            let (_, end) = consumer.fetch_watermarks(topic, element.partition(), TIMEOUT)?;
            ends.push((element.partition(), end));
        }
        ends.retain(|(_, end)| *end > 0);
        let progress = Self {
            consumer,
            topic: topic.to_owned(),
            partitions,
            ends,
        };
        progress.is_at_the_end()?;
        Ok(progress)
    }

    fn is_at_the_end(&self) -> Result<bool> {
        let committed = self
            .consumer
            .committed_offsets(self.partitions.clone(), TIMEOUT)?;
        Ok(self.ends.iter().all(|(partition, end)| {
            committed
                .find_partition(&self.topic, *partition)
                .is_some_and(|at| matches!(at.offset(), Offset::Offset(at) if at >= *end))
        }))
    }

    /// Waits until the group has committed the end of every partition.
    ///
    /// # Errors
    /// When it has not within `timeout`.
    pub fn wait_for_the_end(&self, timeout: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            if self.is_at_the_end()? {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < timeout,
                "{} was not read to its end within {} s",
                self.topic,
                timeout.as_secs()
            );
            // A pause that serves the client's own events.
            let _ = self.consumer.poll(Duration::from_millis(20));
        }
    }
}
