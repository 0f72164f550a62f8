//! A part of a topic that is read without a consumer group, up to the end at the time of the start.
//!
//! The end is the last stable offset, the last that a reader of committed records can see. A
//! transaction that is open at that moment, and everything behind it, is not part of the range. So
//! a range never waits for the transaction of another producer; a later run reads what came later.

mod bound;
mod progress;
mod reader;
mod times;
mod whole_topic;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::{KafkaSettings, Right, is_refusal};
use crate::backoff::Backoff;
use crate::lifecycle::Failure;
use crate::record::{Offset, Partition, Positions};

pub use bound::{Bound, RangeSettings};
pub use reader::{RangeEvent, RangeReader};
pub use times::Times;

/// How long one request to the broker may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a command repeats a request until the broker answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A half-open interval of offsets of one partition; empty when `from` is not below `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first offset.
    pub from: Offset,
    /// The offset after the last.
    pub to: Offset,
}

impl Span {
    /// Returns the number of offsets: at least the number of records, because compaction and
    /// transactions leave gaps.
    pub fn offsets(self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or_default()
    }
}

/// The offsets of each chosen partition of one topic, and which of their records are selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRange {
    /// The topic.
    pub topic: String,
    /// The span of each partition, also of those without offsets.
    pub spans: BTreeMap<Partition, Span>,
    /// The times of the records that are selected. Others are read, counted and left out.
    pub times: Times,
}

impl TopicRange {
    /// Asks the broker which offsets the bounds stand for now. Blocks its thread.
    ///
    /// The range has the partitions that `partitions` and bounds in offsets name; all partitions
    /// when none of them names any. Every span lies within what the topic holds and has committed.
    /// If `from` is a time, the span begins at the first record that is not before it. If `to` is a
    /// time, the span ends at the end of the log, because records before that time may lie behind
    /// later ones; see [`Times`].
    ///
    /// # Errors
    /// Exit code 1 when there is no such topic, this user may not describe it, or no broker answers
    /// within half a minute; 2 for a partition that the topic does not have.
    pub fn resolve(
        settings: &KafkaSettings,
        topic: &str,
        from: &Bound,
        to: &Bound,
        partitions: Option<&BTreeSet<Partition>>,
    ) -> Result<Self, Failure> {
        // A consumer, although it joins no group: only for a consumer the watermark is the last
        // stable offset.
        let client: BaseConsumer = settings
            .consumer("range")?
            .create()
            .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
        let right = Right::describe_topic(topic);
        let there = until_answered(settings, right, || partitions_of(&client, topic))?.ok_or_else(
            || {
                Failure::failed(format!(
                    "there is no topic {topic} at {}; processor check --fix creates all topics",
                    settings.kafka_bootstrap_servers
                ))
            },
        )?;
        let chosen = choose(
            topic,
            &there,
            [from.partitions(), to.partitions(), partitions.cloned()],
        )?;
        let mut held = BTreeMap::new();
        for partition in &chosen {
            let (low, stable) = until_answered(settings, right, || {
                client.fetch_watermarks(topic, *partition, TIMEOUT)
            })?;
            held.insert(
                *partition,
                Span {
                    from: low,
                    to: stable,
                },
            );
        }
        let (from, to) = (from.at_this_moment(), to.at_this_moment());
        let times = Times {
            from: from.time(),
            to: to.time(),
        };
        let froms = until_answered(settings, right, || beginnings(&client, topic, &from, &held))?;
        let tos = match &to {
            Bound::Earliest => starts(&held),
            Bound::Latest | Bound::Time(_) | Bound::Ago(_) => ends(&held),
            Bound::Offsets(offsets) => offsets.clone(),
        };
        Ok(Self {
            topic: topic.to_owned(),
            times,
            spans: held
                .into_iter()
                .map(|(partition, held)| {
                    (partition, clamp(held, froms[&partition], tos[&partition]))
                })
                .collect(),
        })
    }

    /// Asks the broker where each of these times is, in milliseconds since the epoch: the offset of
    /// each partition's first record that is not before the time, and the end of its span when there
    /// is none within the span. Records before that offset are older, whatever the order of times.
    /// Blocks its thread.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn offsets_for_times(
        &self,
        settings: &KafkaSettings,
        times: &[i64],
    ) -> Result<Vec<Positions>, Failure> {
        let client: BaseConsumer = settings
            .consumer("range")?
            .create()
            .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
        let right = Right::describe_topic(&self.topic);
        let found = times.iter().map(|millis| {
            let time = Bound::Time(*millis);
            let mut offsets = until_answered(settings, right, || {
                beginnings(&client, &self.topic, &time, &self.spans)
            })?;
            for (partition, offset) in &mut offsets {
                if let Some(span) = self.spans.get(partition) {
                    *offset = clamp(*span, *offset, span.to).from;
                }
            }
            Ok(offsets)
        });
        found.collect()
    }

    /// Moves the end of each span from the last stable offset to the end of the log.
    pub(super) fn extend_to_the_ends_of_the_logs(
        &mut self,
        settings: &KafkaSettings,
    ) -> Result<(), Failure> {
        let mut config = settings.consumer("range")?;
        let client: BaseConsumer = config
            .set("isolation.level", "read_uncommitted")
            .create()
            .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
        for (partition, span) in &mut self.spans {
            let right = Right::describe_topic(&self.topic);
            let (_, end) = until_answered(settings, right, || {
                client.fetch_watermarks(&self.topic, *partition, TIMEOUT)
            })?;
            span.to = span.to.max(end);
        }
        Ok(())
    }

    /// Returns the number of offsets in all spans: at least the number of their records.
    pub fn offsets(&self) -> u64 {
        self.spans.values().map(|span| span.offsets()).sum()
    }

    /// Returns what is left once everything before `done` is read.
    #[must_use]
    pub fn after(&self, done: &Positions) -> Self {
        let mut rest = self.clone();
        for (partition, span) in &mut rest.spans {
            if let Some(done) = done.get(partition) {
                span.from = span.from.max(*done).min(span.to);
            }
        }
        rest
    }

    /// Splits the range into at most `parts` ranges of whole partitions with about equal numbers of
    /// offsets: assigns the longest partitions first, each to the range that is shortest so far.
    /// Partitions with nothing to read are assigned too.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let mut longest_first: Vec<_> = self.spans.iter().collect();
        longest_first.sort_by_key(|(partition, span)| (u64::MAX - span.offsets(), **partition));
        let mut shares: Vec<Self> = (0..parts.clamp(1, self.spans.len().max(1)))
            .map(|_| Self {
                topic: self.topic.clone(),
                spans: BTreeMap::new(),
                times: self.times,
            })
            .collect();
        for (partition, span) in longest_first {
            let least = shares
                .iter_mut()
                .min_by_key(|share| (share.offsets(), share.spans.len()));
            if let Some(least) = least {
                least.spans.insert(*partition, *span);
            }
        }
        shares
    }
}

/// Repeats `ask` until the broker answers or [`PATIENCE`] is over. `right` is the right that the request
/// needs.
fn until_answered<T>(
    settings: &KafkaSettings,
    right: Right<'_>,
    mut ask: impl FnMut() -> Result<T, KafkaError>,
) -> Result<T, Failure> {
    let give_up = Instant::now() + PATIENCE;
    let mut backoff = Backoff::outside();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if is_refusal(&error) => return Err(settings.refusal(right)),
            Err(error) if Instant::now() >= give_up => {
                return Err(Failure::failed(format!(
                    "Kafka at {} does not answer: {error}",
                    settings.kafka_bootstrap_servers
                )));
            }
            Err(error) => {
                tracing::debug!(%error, "asking Kafka again");
                std::thread::sleep(backoff.next_pause());
            }
        }
    }
}

/// Returns the partitions of the topic; `None` when there is no such topic.
pub(super) fn partitions_of(
    client: &BaseConsumer,
    topic: &str,
) -> Result<Option<BTreeSet<Partition>>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error() {
        None => Ok(Some(
            found.partitions().iter().map(|one| one.id()).collect(),
        )),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
    }
}

/// Returns the partitions that all given choices have in common.
fn choose(
    topic: &str,
    there: &BTreeSet<Partition>,
    choices: [Option<BTreeSet<Partition>>; 3],
) -> Result<BTreeSet<Partition>, Failure> {
    let mut chosen = there.clone();
    for choice in choices.into_iter().flatten() {
        if let Some(unknown) = choice.difference(there).next() {
            return Err(Failure::bad_setting(format!(
                "{topic} has no partition {unknown}; it has {}",
                there.len()
            )));
        }
        chosen.retain(|partition| choice.contains(partition));
    }
    Ok(chosen)
}

fn starts(held: &BTreeMap<Partition, Span>) -> Positions {
    held.iter().map(|(at, span)| (*at, span.from)).collect()
}

fn ends(held: &BTreeMap<Partition, Span>) -> Positions {
    held.iter().map(|(at, span)| (*at, span.to)).collect()
}

/// Returns the first offset of each partition for a range that begins at `from`.
fn beginnings(
    client: &BaseConsumer,
    topic: &str,
    from: &Bound,
    held: &BTreeMap<Partition, Span>,
) -> Result<Positions, KafkaError> {
    let mut offsets: Positions = match from {
        Bound::Earliest => starts(held),
        // No record may be at or after the time: then the range begins at the end.
        Bound::Latest | Bound::Time(_) | Bound::Ago(_) => ends(held),
        Bound::Offsets(offsets) => offsets.clone(),
    };
    if let Bound::Time(millis) = from
        && !held.is_empty()
    {
        let mut asked = TopicPartitionList::new();
        for partition in held.keys() {
            asked.add_partition_offset(topic, *partition, KafkaOffset::Offset(*millis))?;
        }
        for answer in client.offsets_for_times(asked, TIMEOUT)?.elements() {
            answer.error()?;
            if let KafkaOffset::Offset(offset) = answer.offset() {
                offsets.insert(answer.partition(), offset);
            }
        }
    }
    Ok(offsets)
}

fn clamp(held: Span, from: Offset, to: Offset) -> Span {
    let to = to.clamp(held.from, held.to);
    Span {
        from: from.clamp(held.from, to),
        to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(spans: &[(Offset, Offset)]) -> TopicRange {
        TopicRange {
            topic: "t".to_owned(),
            times: Times::default(),
            spans: (0..)
                .zip(spans)
                .map(|(partition, (from, to))| {
                    (
                        partition,
                        Span {
                            from: *from,
                            to: *to,
                        },
                    )
                })
                .collect(),
        }
    }

    #[test]
    fn a_span_lies_within_what_the_topic_holds() {
        let held = Span { from: 10, to: 20 };
        for (from, to, expected) in [
            (0, 100, held),
            (12, 15, Span { from: 12, to: 15 }),
            (15, 12, Span { from: 12, to: 12 }),
            (30, 40, Span { from: 20, to: 20 }),
            (0, 5, Span { from: 10, to: 10 }),
        ] {
            assert_eq!(clamp(held, from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn offsets_that_are_done_are_left_out_and_no_others() {
        let rest =
            range(&[(0, 10), (5, 10), (0, 10)]).after(&Positions::from([(0, 4), (1, 2), (2, 99)]));
        assert_eq!(rest, range(&[(4, 10), (5, 10), (10, 10)]));
        assert_eq!(rest.offsets(), 11);
    }

    #[test]
    fn a_split_assigns_every_partition_once_and_evenly() {
        let whole = range(&[(0, 100), (0, 60), (0, 50), (7, 7)]);
        let parts = whole.split(2);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].offsets(), 100);
        assert_eq!(parts[1].offsets(), 110);
        let together: BTreeMap<_, _> = parts.into_iter().flat_map(|part| part.spans).collect();
        assert_eq!(together, whole.spans);
        assert_eq!(whole.split(99).len(), 4);
        assert_eq!(range(&[]).split(3).len(), 1);
    }

    #[test]
    fn an_unknown_partition_is_named() {
        let there = BTreeSet::from([0, 1, 2]);
        let chosen = choose(
            "t",
            &there,
            [
                Some(BTreeSet::from([0, 1])),
                None,
                Some(BTreeSet::from([1, 2])),
            ],
        );
        assert_eq!(chosen.unwrap(), BTreeSet::from([1]));
        let failure = choose("t", &there, [Some(BTreeSet::from([7])), None, None]).unwrap_err();
        assert!(failure.to_string().contains("no partition 7"), "{failure}");
    }
}
