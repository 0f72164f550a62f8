//! Reads the first record of partitions from given offsets on, for commands that look once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;

use super::blocked::{Blocked, Cause};
use super::fetch_queue::{FetchQueue, Fetched};
use super::limits::FIRST_RECORD_WAIT;
use crate::kafka::config::create_client;
use crate::kafka::{KafkaSettings, partition_list};
use crate::lifecycle::Failure;
use crate::record::{InputRecord as _, Partition, Positions};

/// What comes first in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstRecord {
    /// A record with this timestamp, if it has one.
    Record(Option<i64>),
    /// No record up to the end of the log: transaction markers, or what compaction has left.
    End,
    /// Something that cannot be read.
    Blocked(Blocked),
    /// Nothing within the given time.
    Nothing,
}

impl FirstRecord {
    /// Returns whether the broker does not let this user read.
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

/// Reads each partition of `starts` from its offset on, up to its first record. `time` bounds the whole
/// call. Blocks its thread. `group` names the client: nothing is joined or committed.
///
/// # Errors
/// Exit code 2 when librdkafka refuses the configuration.
pub fn first_records(
    settings: &KafkaSettings,
    group: &str,
    topic: &str,
    starts: &Positions,
    time: Duration,
) -> Result<BTreeMap<Partition, FirstRecord>, Failure> {
    let mut firsts: BTreeMap<_, _> = starts
        .keys()
        .map(|partition| (*partition, FirstRecord::Nothing))
        .collect();
    if starts.is_empty() {
        return Ok(firsts);
    }
    let context = DefaultConsumerContext;
    let client: BaseConsumer = create_client(&settings.consumer(group)?, context, "consumer")?;
    let mut queue = FetchQueue::new(client);
    fetch_from(&queue, topic, starts)
        .map_err(|error| Failure::bad_setting(format!("cannot read {topic}: {error}")))?;
    let deadline = Instant::now() + time;
    while firsts.values().any(|first| *first == FirstRecord::Nothing) && Instant::now() < deadline {
        let (partition, first) = match queue.next(FIRST_RECORD_WAIT) {
            Fetched::Record(partition, _) => {
                let timestamp = queue.record().timestamp_millis();
                (partition, FirstRecord::Record(timestamp))
            }
            Fetched::End(partition, _) => (partition, FirstRecord::End),
            Fetched::Error(error) => {
                let (Some(partition), cause) = (error.partition, Cause::of(error.code, &error.why))
                else {
                    continue;
                };
                if matches!(cause, Cause::FetchFailed { .. }) {
                    continue; // The client retries it.
                }
                let blocked = Blocked {
                    topic: topic.to_owned(),
                    partition: Some(partition),
                    offset: error.offset.or_else(|| starts.get(&partition).copied()),
                    cause,
                };
                (partition, FirstRecord::Blocked(blocked))
            }
            Fetched::Nothing => {
                // Serves the client's events. The client retries errors that are not about a single
                // partition.
                let _ = queue.client().poll(Duration::ZERO);
                continue;
            }
        };
        if let Some(known) = firsts.get_mut(&partition)
            && *known == FirstRecord::Nothing
        {
            *known = first;
        }
    }
    Ok(firsts)
}

fn fetch_from(
    queue: &FetchQueue<DefaultConsumerContext>,
    topic: &str,
    starts: &Positions,
) -> Result<(), KafkaError> {
    for partition in starts.keys() {
        queue.forward(topic, *partition)?;
    }
    let starts = starts.iter();
    let starts = starts.map(|(partition, offset)| (*partition, KafkaOffset::Offset(*offset)));
    queue.client().assign(&partition_list(topic, starts)?)
}
