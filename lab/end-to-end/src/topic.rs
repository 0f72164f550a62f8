//! Reading and writing topics as any client would, independently of the product's own client code.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its own timestamp, in milliseconds since the epoch.
    pub timestamp_millis: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// All headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// Returns the last value of a header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers
            .iter()
            .rev()
            .find(|(header, _)| header == name)
            .and_then(|(_, value)| value.as_ref())
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Returns the key as text.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    /// Returns the value as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.value.as_deref().unwrap_or_default()).unwrap_or_default()
    }
}

/// A record to write.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// All headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The record's own timestamp; `None`: now.
    pub timestamp_millis: Option<i64>,
    /// The partition; `None`: as Kafka's own tools choose it.
    pub partition: Option<i32>,
}

impl NewRecord {
    /// Creates a record with a key and a value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            value: Some(value.into()),
            ..Self::default()
        }
    }
}

/// Reads everything committed in `topic` up to its current end. Blocks: async code calls [`read`].
///
/// # Errors
/// As [`visit_blocking`].
pub fn read_blocking(brokers: &str, topic: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    visit_blocking(brokers, topic, |message| records.push(owned(message)))?;
    Ok(records)
}

/// Calls `each` with everything committed in `topic` up to its current end, and keeps nothing of it.
/// Leaders may move and brokers may restart meanwhile.
///
/// # Errors
/// When the brokers do not answer, or the end is not reached in a minute (an open transaction).
pub fn visit_blocking(
    brokers: &str,
    topic: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<()> {
    // The true end: the last stable offset would exclude what an open transaction hides.
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("isolation.level", "read_uncommitted")
        .create()?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "end-to-end-reader")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .create()?;
    let timeout = Duration::from_secs(20);
    let deadline = Instant::now() + Duration::from_secs(60);
    let metadata = retried(deadline, || observer.fetch_metadata(Some(topic), timeout))?;
    let partitions = metadata
        .topics()
        .first()
        .with_context(|| format!("no topic {topic}"))?
        .partitions();
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        let (low, high) = retried(deadline, || {
            observer.fetch_watermarks(topic, partition.id(), timeout)
        })
        .with_context(|| format!("no ends of partition {} of {topic}", partition.id()))?;
        if high > low {
            ends.insert(partition.id(), high);
            assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
    }
    if ends.is_empty() {
        return Ok(());
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let reached = |consumer: &BaseConsumer| -> Result<bool> {
        let positions = consumer.position()?;
        Ok(ends.iter().all(|(partition, end)| {
            positions
                .find_partition(topic, *partition)
                .is_some_and(|found| matches!(found.offset(), Offset::Offset(at) if at >= *end))
        }))
    };
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                if ends
                    .get(&message.partition())
                    .is_some_and(|end| message.offset() < *end)
                {
                    each(&message);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {
                if reached(&consumer)? {
                    return Ok(());
                }
            }
            Some(Err(_)) => {}
        }
    }
    bail!(
        "the end of {topic} ({ends:?}) was not reached: {:?}",
        consumer.position()?
    )
}

/// Asks again while the answer is that a leader has moved or a broker is away.
fn retried<T>(deadline: Instant, mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    loop {
        match ask() {
            Err(error) if is_transient(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            answer => return answer,
        }
    }
}

fn is_transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable
                | RDKafkaErrorCode::BrokerNotAvailable
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::NetworkException
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
        )
    )
}

fn owned(message: &impl Message) -> Record {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_millis: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message
            .headers()
            .map(|headers| {
                headers
                    .iter()
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect()
            })
            .unwrap_or_default(),
    }
}

/// Reads everything committed in `topic` up to its current end.
///
/// # Errors
/// As [`read_blocking`].
pub async fn read(brokers: &str, topic: &str) -> Result<Vec<Record>> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_blocking(&brokers, &topic)).await?
}

/// Writes records and waits until all are acknowledged.
///
/// # Errors
/// When one is not acknowledged.
pub async fn write(brokers: &str, topic: &str, records: Vec<NewRecord>) -> Result<()> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || write_blocking(&brokers, &topic, &records)).await?
}

/// Keeps the error of the first record that was refused.
#[derive(Default)]
struct Refusals(Mutex<Option<KafkaError>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error.clone());
        }
    }
}

fn write_blocking(brokers: &str, topic: &str, records: &[NewRecord]) -> Result<()> {
    let producer: BaseProducer<Refusals> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("message.max.bytes", "100000000")
        // A request to a paused broker times out, and is sent to another one, well before the flush
        // below ends; the default is 60 s.
        .set("socket.timeout.ms", "6000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .create_with_context(Refusals::default())?;
    for record in records {
        let mut message = BaseRecord::<[u8], [u8]>::to(topic);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.timestamp = record.timestamp_millis;
        message.partition = record.partition;
        if !record.headers.is_empty() {
            message.headers = Some(record.headers.iter().fold(
                OwnedHeaders::new(),
                |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: value.as_deref(),
                    })
                },
            ));
        }
        while let Err((error, returned)) = producer.send(message) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            message = returned;
        }
    }
    producer
        .flush(Duration::from_secs(60))
        .with_context(|| format!("cannot write {} records to {topic}", records.len()))?;
    let refused = producer.context().0.lock();
    match refused.unwrap_or_else(PoisonError::into_inner).take() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}

/// Returns how far a group is behind the end of a topic, over all partitions.
///
/// # Errors
/// When the broker does not answer.
pub async fn lag(brokers: &str, group: &str, topic: &str) -> Result<i64> {
    let (brokers, group, topic) = (brokers.to_owned(), group.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let observer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("group.id", &group)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_uncommitted")
            .create()?;
        let timeout = Duration::from_secs(20);
        let metadata = observer.fetch_metadata(Some(&topic), timeout)?;
        let mut asked = TopicPartitionList::new();
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            asked.add_partition(&topic, partition.id());
        }
        let mut lag = 0;
        for committed in observer.committed_offsets(asked, timeout)?.elements() {
            let (low, high) = observer.fetch_watermarks(&topic, committed.partition(), timeout)?;
            lag += high
                - match committed.offset() {
                    Offset::Offset(offset) => offset,
                    _ => low,
                };
        }
        Ok(lag)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with these errors, the last one first, and then answers.
    fn asked(deadline: Duration, mut errors: Vec<RDKafkaErrorCode>) -> (KafkaResult<()>, usize) {
        let answer = retried(Instant::now() + deadline, || match errors.pop() {
            Some(error) => Err(KafkaError::MetadataFetch(error)),
            None => Ok(()),
        });
        (answer, errors.len())
    }

    #[test]
    fn an_answer_that_a_leader_has_moved_is_no_answer() {
        let moved = vec![RDKafkaErrorCode::NotLeaderForPartition; 2];
        let (answer, left) = asked(Duration::from_secs(60), moved.clone());
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(left, 0);

        let (answer, left) = asked(Duration::ZERO, moved);
        assert!(answer.is_err(), "the deadline is over");
        assert_eq!(left, 1);

        let refused = vec![RDKafkaErrorCode::TopicAuthorizationFailed; 2];
        let (answer, left) = asked(Duration::from_secs(60), refused);
        assert!(answer.is_err(), "it would be refused again");
        assert_eq!(left, 1);
    }
}
