//! The first record of each of some partitions from an offset on, for a command that looks once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::KafkaSettings;
use super::blocked::{Blocked, Cause};
use super::fetch_queue::{FetchQueue, Fetched};
use crate::lifecycle::Failure;
use crate::record::{InputRecord as _, Partition, Positions};

/// How long one look waits.
const SLICE: Duration = Duration::from_millis(100);

/// What comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// A record with this timestamp, if it has one.
    Record(Option<i64>),
    /// No record up to the end: markers of transactions, or what compaction has left.
    End,
    /// Something that can't be read.
    Blocked(Blocked),
    /// Nothing within the time that was given.
    Nothing,
}

impl First {
    /// Whether the broker does not let this user read.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(
            self,
            Self::Blocked(Blocked {
                cause: Cause::Refused { .. },
                ..
            })
        )
    }
}

/// Looks at each partition of `starts` from its offset on, all together for `time` at most. Blocks its
/// thread. `group` is a name alone: nothing is joined or committed.
///
/// # Errors
/// Exit code 2 when librdkafka refuses the configuration.
pub fn first_records(
    settings: &KafkaSettings,
    group: &str,
    topic: &str,
    starts: &Positions,
    time: Duration,
) -> Result<BTreeMap<Partition, First>, Failure> {
    let mut firsts: BTreeMap<_, _> = starts.keys().map(|at| (*at, First::Nothing)).collect();
    if starts.is_empty() {
        return Ok(firsts);
    }
    let refused = |error: KafkaError| Failure::bad_setting(format!("Kafka consumer: {error}"));
    let client: BaseConsumer<DefaultConsumerContext> =
        settings.consumer(group)?.create().map_err(refused)?;
    let mut queue = FetchQueue::of(client);
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in starts {
        queue.lead(topic, *partition).map_err(refused)?;
        assignment
            .add_partition_offset(topic, *partition, KafkaOffset::Offset(*offset))
            .map_err(refused)?;
    }
    queue.client().assign(&assignment).map_err(refused)?;
    let deadline = Instant::now() + time;
    while firsts.values().any(|first| *first == First::Nothing) && Instant::now() < deadline {
        let (partition, first) = match queue.next(SLICE) {
            Fetched::Record(partition, _) => {
                let timestamp = queue.record().timestamp_millis();
                (partition, First::Record(timestamp))
            }
            Fetched::End(partition, _) => (partition, First::End),
            Fetched::Error(error) => {
                let (Some(partition), cause) = (error.partition, Cause::of(error.code, &error.why))
                else {
                    continue;
                };
                if matches!(cause, Cause::FetchFailed { .. }) {
                    continue; // The client tries again.
                }
                let blocked = Blocked {
                    topic: topic.to_owned(),
                    partition: Some(partition),
                    offset: error.offset.or_else(|| starts.get(&partition).copied()),
                    cause,
                };
                (partition, First::Blocked(blocked))
            }
            Fetched::Nothing => {
                // Serves the client's events; errors that concern no partition are tried again.
                let _ = queue.client().poll(Duration::ZERO);
                continue;
            }
        };
        if let Some(there) = firsts.get_mut(&partition)
            && *there == First::Nothing
        {
            *there = first;
        }
    }
    Ok(firsts)
}
