//! Questions for the group's committed offsets, asked beside the loop.
//!
//! A coordinator may take seconds to answer (it is far away, throttled or restarting), and the
//! client gives no answer at all while one of the offsets is held back by an open transaction.
//! So the loop never waits for an answer: it is taken when it has come, and counts only for
//! partitions that are still assigned as they were when it was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::beside::beside;
use super::group::Assigned;
use crate::record::Partition;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An offset that a transaction holds back keeps the answer for all others back. After this long
/// each partition is asked for by itself as well.
const ASK_SINGLY_AFTER: Duration = Duration::from_secs(1);

/// The most questions under way at the same time; each has a thread.
const MAX_QUESTIONS: usize = 32;

/// What the group told about each partition, or why it did not.
pub(super) type Answer = Result<Vec<(Partition, Result<Offset, KafkaError>)>, KafkaError>;

/// Asks for the committed offsets of these partitions. A partition without one begins at its
/// beginning.
pub(super) fn ask<C: ConsumerContext + 'static>(
    client: &Arc<BaseConsumer<C>>,
    topic: &str,
    partitions: Vec<Partition>,
) -> Receiver<Answer> {
    let (client, topic) = (Arc::clone(client), topic.to_owned());
    beside(move || {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            asked.add_partition(&topic, partition);
        }
        let told = client.committed_offsets(asked, TIMEOUT)?;
        let elements = told.elements();
        let offsets = elements.iter().map(|element| {
            let offset = element.error().map(|()| or_beginning(element.offset()));
            (element.partition(), offset)
        });
        Ok(offsets.collect())
    })
}

/// The client tells a partition of which nothing is committed as an invalid offset.
const fn or_beginning(offset: Offset) -> Offset {
    match offset {
        Offset::Offset(offset) => Offset::Offset(offset),
        _ => Offset::Beginning,
    }
}

/// What a question whose thread is gone is answered with.
pub(super) fn unanswered() -> KafkaError {
    KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut)
}

/// One question under way.
struct Question {
    asked: BTreeMap<Partition, Assigned>,
    answer: Receiver<Answer>,
}

impl Question {
    fn covers(&self, partition: Partition, assigned: Assigned) -> bool {
        self.asked.get(&partition) == Some(&assigned)
    }

    fn is_for_one(&self) -> bool {
        self.asked.len() == 1
    }
}

/// What came of the questions since the last look.
#[derive(Default)]
pub(super) struct CommittedAnswer {
    /// Offsets, with the assignment that they were asked for.
    pub(super) offsets: Vec<(Partition, Assigned, Offset)>,
    /// The last error.
    pub(super) error: Option<KafkaError>,
}

/// The questions under way.
#[derive(Default)]
pub(super) struct Questions {
    open: Vec<(Instant, Question)>,
}

impl Questions {
    /// Asks for those of these partitions that nobody was asked for yet, and singly for those whose
    /// answer is late. Returns whether it asked for any.
    pub(super) fn ask<C: ConsumerContext + 'static>(
        &mut self,
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        wanted: &BTreeMap<Partition, Assigned>,
    ) -> bool {
        let mut new = self.not_asked_for(wanted);
        if new.is_empty() {
            new = self.late(wanted, Instant::now());
        }
        for asked in &new {
            let partitions = asked.keys().copied().collect();
            let question = Question {
                asked: asked.clone(),
                answer: ask(client, topic, partitions),
            };
            self.open.push((Instant::now(), question));
        }
        !new.is_empty()
    }

    /// All of these in one question.
    fn not_asked_for(
        &self,
        wanted: &BTreeMap<Partition, Assigned>,
    ) -> Vec<BTreeMap<Partition, Assigned>> {
        let new: BTreeMap<_, _> = wanted
            .iter()
            .filter(|(partition, assigned)| {
                !self
                    .open
                    .iter()
                    .any(|(_, question)| question.covers(**partition, **assigned))
            })
            .map(|(partition, assigned)| (*partition, *assigned))
            .collect();
        if new.is_empty() { vec![] } else { vec![new] }
    }

    /// One question for each partition that an old question for several has not told.
    fn late(
        &self,
        wanted: &BTreeMap<Partition, Assigned>,
        now: Instant,
    ) -> Vec<BTreeMap<Partition, Assigned>> {
        let is_late = |partition, assigned| {
            let mut covering = self
                .open
                .iter()
                .filter(|(_, question)| question.covers(partition, assigned));
            covering.clone().all(|(_, question)| !question.is_for_one())
                && covering
                    .any(|(since, _)| now.saturating_duration_since(*since) >= ASK_SINGLY_AFTER)
        };
        wanted
            .iter()
            .filter(|(partition, assigned)| is_late(**partition, **assigned))
            .map(|(partition, assigned)| BTreeMap::from([(*partition, *assigned)]))
            .take(MAX_QUESTIONS.saturating_sub(self.open.len()))
            .collect()
    }

    /// Takes the answers that have come, waiting up to `wait` for that to the last question.
    pub(super) fn answers(&mut self, wait: Duration) -> CommittedAnswer {
        let mut told = CommittedAnswer::default();
        let last = self.open.last().map(|(_, question)| &question.answer);
        let in_time = last.map(|answer| answer.recv_timeout(wait));
        match in_time {
            Some(Ok(answer)) => {
                if let Some((_, question)) = self.open.pop() {
                    told.take(&question, answer);
                }
            }
            Some(Err(RecvTimeoutError::Disconnected)) => {
                self.open.pop();
                told.error = Some(unanswered());
            }
            Some(Err(RecvTimeoutError::Timeout)) | None => {}
        }
        self.open
            .retain(|(_, question)| match question.answer.try_recv() {
                Ok(answer) => {
                    told.take(question, answer);
                    false
                }
                Err(TryRecvError::Empty) => true,
                Err(TryRecvError::Disconnected) => {
                    told.error = Some(unanswered());
                    false
                }
            });
        told
    }
}

impl CommittedAnswer {
    fn take(&mut self, question: &Question, answer: Answer) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        for (partition, offset) in answer {
            match (offset, question.asked.get(&partition)) {
                (Ok(offset), Some(assigned)) => self.offsets.push((partition, *assigned, offset)),
                (Err(error), _) => self.error = Some(error),
                (Ok(_), None) => {}
            }
        }
    }
}
