//! All that a topic has by now, for a command that looks at it once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::message::BorrowedMessage;

use super::{Bound, KafkaSettings, RangeEvent, RangeReader, TopicRange};
use crate::lifecycle::Failure;
use crate::record::Partition;

/// How long one call waits for a record.
const SLICE: Duration = Duration::from_millis(500);

/// A person who waits for a command is told after so long without a record.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `each` with every committed record of the topic, or of `only` one of its partitions, up to
/// the end that is seen at the start; each partition's records in their order. Blocks its thread.
///
/// # Errors
/// The first error of `each`; exit code 1 when there is no such topic, or no broker answers.
pub fn read_to_end(
    settings: &KafkaSettings,
    topic: &str,
    only: Option<Partition>,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let only = only.map(|partition| BTreeSet::from([partition]));
    let range = TopicRange::resolve(
        settings,
        topic,
        &Bound::Earliest,
        &Bound::Latest,
        only.as_ref(),
    )?;
    let mut reader = RangeReader::open(settings, "reader", &range)?;
    let mut last = Instant::now();
    loop {
        match reader.next(SLICE)? {
            RangeEvent::Record(record) => {
                each(&record)?;
                last = Instant::now();
            }
            RangeEvent::PartitionDone(_) => last = Instant::now(),
            RangeEvent::Done => return Ok(()),
            RangeEvent::Nothing if last.elapsed() >= PATIENCE => {
                return Err(Failure::failed(format!(
                    "Kafka at {} does not answer: nothing of {topic} came for {PATIENCE:?}",
                    settings.kafka_bootstrap_servers
                )));
            }
            RangeEvent::Nothing => {}
        }
    }
}
