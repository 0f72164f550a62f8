//! Records that are written at a steady rate and read as they arrive.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use runtime::kafka::{self, Outgoing};

use crate::awaited::Awaited;
use crate::orders;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Writes the records of these numbers, `pace` a second; those for which `counts` returns true are
/// awaited.
///
/// # Errors
/// When one is not acknowledged.
pub fn write(
    brokers: &str,
    topic: &str,
    numbers: std::ops::Range<u32>,
    pace: u32,
    awaited: &Awaited,
    counts: impl Fn(u32) -> bool,
    value: impl Fn(u32, &str, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .create()?;
    // A record that is not measured: the client requests its producer id at half-second intervals.
    let mut bytes = Vec::new();
    value(numbers.start, "warm", &mut bytes)?;
    producer
        .send(BaseRecord::to(topic).key("warm").payload(&bytes))
        .map_err(|(error, _)| error)?;
    producer.flush(TIMEOUT)?;
    let begun = Instant::now();
    for (number, turn) in numbers.zip(0_u32..) {
        let due = begun + Duration::from_secs(1) * turn / pace;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left);
        }
        let id = orders::id(number);
        bytes.clear();
        value(number, &id, &mut bytes)?;
        if counts(number) {
            awaited.sent(id.clone());
        }
        producer
            .send(BaseRecord::to(topic).key(&id).payload(&bytes))
            .map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(TIMEOUT)?;
    Ok(())
}

/// A reader of a topic's new records.
pub struct Reader(BaseConsumer);

impl Reader {
    /// Starts at the topic's end, with `read_committed`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn at_the_end(brokers: &str, topic: &str) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "bench-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
            list.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
        }
        consumer.assign(&list)?;
        Ok(Self(consumer))
    }

    /// Reads until `total` awaited records have arrived; returns the milliseconds of each.
    ///
    /// # Errors
    /// When none arrives for half a minute.
    pub fn read(&self, awaited: &Awaited, total: usize) -> Result<Vec<f64>> {
        let mut millis = Vec::with_capacity(total);
        while millis.len() < total {
            let message = self
                .0
                .poll(TIMEOUT)
                .with_context(|| format!("{} of {total} records arrived", millis.len()))??;
            let id = std::str::from_utf8(message.key().unwrap_or_default())?;
            millis.extend(awaited.arrived(id));
        }
        Ok(millis)
    }
}

/// Commits transactions of one record each, one after the other; returns the milliseconds of each.
///
/// # Errors
/// When one is not committed.
pub fn transactions(brokers: &str, topic: &str, count: u32) -> Result<Vec<f64>> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("transactional.id", "bench")
        .set("linger.ms", "0")
        .set("retry.backoff.ms", "5");
    let failed = |error| anyhow!("{error}");
    let producer = kafka::Producer::new(&config).map_err(|failure| anyhow!("{failure}"))?;
    producer.init(TIMEOUT).map_err(failed)?;
    let mut millis = Vec::new();
    for number in 0..count {
        let id = orders::id(number);
        let begun = Instant::now();
        producer.begin().map_err(failed)?;
        let record = Outgoing {
            topic,
            key: Some(id.as_bytes()),
            value: Some(b"{}"),
            headers: &[],
        };
        producer.send(&record, TIMEOUT).map_err(failed)?;
        producer.drain(TIMEOUT).map_err(failed)?;
        producer.commit(TIMEOUT).map_err(failed)?;
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
        // Until the markers are written: the next transaction would wait for them.
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(millis)
}
