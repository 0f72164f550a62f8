//! TEMPORARY until the range reader is there.
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaSettings, Profile};
use crate::lifecycle::Failure;
use crate::record::{InputRecord, Partition};

const TIMEOUT: Duration = Duration::from_secs(10);

/// How many partitions the topic has; none: there is no such topic.
pub fn partitions(settings: &KafkaSettings, topic: &str) -> Result<usize, Failure> {
    let client: BaseConsumer = settings
        .observer()?
        .create()
        .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
    let metadata = client
        .fetch_metadata(Some(topic), TIMEOUT)
        .map_err(|error| Failure::failed(format!("the broker does not answer: {error}")))?;
    Ok(metadata
        .topics()
        .first()
        .map_or(0, |t| t.partitions().len()))
}

/// Every committed record there is by now.
pub fn read_to_end(
    settings: &KafkaSettings,
    topic: &str,
    only: Option<Partition>,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: KafkaError| Failure::failed(format!("{topic} can't be read: {error}"));
    let count = partitions(settings, topic)?;
    let consumer: BaseConsumer = settings
        .consumer("unused", Profile::Replay)?
        .create()
        .map_err(failed)?;
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        if only.is_some_and(|only| only != partition) {
            continue;
        }
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, TIMEOUT)
            .map_err(failed)?;
        if low >= high {
            continue;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        let mut last = Instant::now();
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    last = Instant::now();
                    if InputRecord::offset(&message) >= high {
                        break;
                    }
                    each(&message)?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                _ if last.elapsed() > Duration::from_secs(30) => {
                    return Err(Failure::failed("the broker does not answer"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
