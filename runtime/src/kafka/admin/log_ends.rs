//! Where the logs of a topic's partitions end.

use std::time::Duration;

use rdkafka::Offset as KafkaOffset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;

use crate::kafka::partition_list;
use crate::record::{Partition, Positions};

/// Returns the list of these partitions that [`log_ends`] takes.
pub(in crate::kafka) fn ends_of(
    topic: &str,
    partitions: impl IntoIterator<Item = Partition>,
) -> KafkaResult<TopicPartitionList> {
    // The protocol's timestamp for the end of a log (-1) is the client's value of `KafkaOffset::End`.
    partition_list(
        topic,
        partitions.into_iter().map(|one| (one, KafkaOffset::End)),
    )
}

/// Returns the end of each partition's log. With a client that reads committed records, this is the
/// offset past the last committed record. Takes one request for each broker.
///
/// # Errors
/// The error of the client, or of a partition.
pub(in crate::kafka) fn log_ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    asked: TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<Positions> {
    let mut ends = Positions::new();
    for element in client.offsets_for_times(asked, timeout)?.elements() {
        element.error()?;
        if let KafkaOffset::Offset(end) = element.offset() {
            ends.insert(element.partition(), end);
        }
    }
    Ok(ends)
}
