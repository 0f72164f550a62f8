//! Finding partitions that stand although their log goes on.
//!
//! The client tells when it has read a partition to its end, and then nothing for as long as the
//! broker answers its fetches with nothing, or does not answer. So the brokers are asked now and
//! then where the partitions end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::beside::beside;
use super::committed::unanswered;
use crate::record::{Offset, Partition, Positions};

/// How often the ends are asked for. A partition is told after it has stood for two answers.
const EVERY: Duration = Duration::from_secs(4);

const TIMEOUT: Duration = Duration::from_secs(4);

/// What two looks in a row found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Partitions that stood for two looks, and the ends of their logs.
    pub(super) standing: Vec<(Partition, Offset)>,
    /// Why the ends are not known, when two looks failed.
    pub(super) unknown: Option<String>,
}

/// The ends, as far as the brokers told them.
type Answer = Result<Positions, KafkaError>;

/// Looks at the ends every few seconds.
#[derive(Default)]
pub(super) struct Ends {
    next: Option<Instant>,
    under_way: Option<Receiver<Answer>>,
    /// Where partitions stood at the last look that were not at their ends.
    behind: Positions,
    failed: bool,
    /// Since the last look the client had nothing at hand: whatever was fetched was handed out.
    was_idle: bool,
}

impl Ends {
    /// The client had nothing at hand.
    pub(super) fn note_idle(&mut self) {
        self.was_idle = true;
    }

    /// Begins a look when it is time, and takes the answer of one that was begun. `positions` has
    /// every partition that is read.
    pub(super) fn look<C: ConsumerContext + 'static>(
        &mut self,
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        positions: impl FnOnce() -> Positions,
    ) -> Option<Found> {
        if let Some(answer) = &self.under_way {
            let answer = match answer.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(unanswered()),
            };
            self.under_way = None;
            return Some(self.compare(&answer, &positions()));
        }
        let now = Instant::now();
        let due = *self.next.get_or_insert(now + EVERY);
        if now >= due {
            self.next = Some(now + EVERY);
            let partitions: Vec<_> = positions().into_keys().collect();
            if !partitions.is_empty() {
                self.under_way = Some(ask(client, topic, partitions));
            }
        }
        None
    }

    fn compare(&mut self, answer: &Answer, positions: &Positions) -> Found {
        let ends = match answer {
            Ok(ends) => ends,
            Err(error) => {
                let again = std::mem::replace(&mut self.failed, true);
                return Found {
                    standing: Vec::new(),
                    unknown: again.then(|| error.to_string()),
                };
            }
        };
        self.failed = false;
        let behind: Positions = positions
            .iter()
            .filter(|(partition, position)| {
                ends.get(partition).is_some_and(|end| **position < *end)
            })
            .map(|(partition, position)| (*partition, *position))
            .collect();
        let was_idle = std::mem::take(&mut self.was_idle);
        let standing = behind
            .iter()
            .filter(|(partition, position)| {
                was_idle && self.behind.get(partition) == Some(*position)
            })
            .map(|(partition, _)| (*partition, ends[partition]))
            .collect();
        self.behind = behind;
        Found {
            standing,
            unknown: None,
        }
    }
}

/// Asks for the offset behind the last committed record of each of these partitions.
fn ask<C: ConsumerContext + 'static>(
    client: &Arc<BaseConsumer<C>>,
    topic: &str,
    partitions: Vec<Partition>,
) -> Receiver<Answer> {
    let (client, topic) = (Arc::clone(client), topic.to_owned());
    beside(move || {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            asked.add_partition_offset(&topic, partition, KafkaOffset::End)?;
        }
        let mut ends = Positions::new();
        // The protocol's time for "the end" is the client's offset of that name.
        for element in client.offsets_for_times(asked, TIMEOUT)?.elements() {
            element.error()?;
            if let KafkaOffset::Offset(end) = element.offset() {
                ends.insert(element.partition(), end);
            }
        }
        Ok(ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(at: &[(Partition, Offset)]) -> Answer {
        Ok(at.iter().copied().collect())
    }

    fn positions(at: &[(Partition, Offset)]) -> Positions {
        at.iter().copied().collect()
    }

    fn found(standing: &[(Partition, Offset)]) -> Found {
        Found {
            standing: standing.to_vec(),
            unknown: None,
        }
    }

    #[test]
    fn a_partition_that_stands_before_its_end_for_two_looks_is_found() {
        let mut looks = Ends::default();
        let (at, log) = (positions(&[(0, 5), (1, 8)]), ends(&[(0, 9), (1, 8)]));
        looks.note_idle();
        assert_eq!(looks.compare(&log, &at), found(&[]));
        looks.note_idle();
        assert_eq!(looks.compare(&log, &at), found(&[(0, 9)]));
        looks.note_idle();
        let moved = positions(&[(0, 6), (1, 8)]);
        assert_eq!(looks.compare(&log, &moved), found(&[]));
    }

    #[test]
    fn records_that_the_loop_has_not_taken_yet_are_not_held_against_the_broker() {
        let mut looks = Ends::default();
        let (at, log) = (positions(&[(0, 5)]), ends(&[(0, 9)]));
        looks.note_idle();
        assert_eq!(looks.compare(&log, &at), found(&[]));
        assert_eq!(looks.compare(&log, &at), found(&[]));
    }

    #[test]
    fn one_look_without_an_answer_is_nothing_and_two_are_told() {
        let mut looks = Ends::default();
        let at = positions(&[(0, 5)]);
        assert_eq!(looks.compare(&Err(unanswered()), &at).unknown, None);
        assert!(looks.compare(&Err(unanswered()), &at).unknown.is_some());
        assert_eq!(looks.compare(&ends(&[(0, 5)]), &at), found(&[]));
        assert_eq!(looks.compare(&Err(unanswered()), &at).unknown, None);
    }
}
