//! Where the client reads each partition: it is told by us, and chooses nothing itself.
//!
//! A partition is *placed* when the client reads it. One that was just assigned waits for the
//! group's offset. One that the client has an error for is taken away from it, so that nothing
//! behind the error is handed out, and placed again at the same offset a little later. The others
//! flow meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::beside::beside;
use super::blocked::{Blocked, Cause};
use super::committed::{Answer, Questions, ask, unanswered};
use super::doubt::{Doubt, LATELY};
use super::fetch_queue::FetchError;
use super::subscription::Subscription;
use crate::record::{Offset, Partition, Positions};

/// How long a question for new offsets is waited for at once, while other partitions have records
/// and when none has. Longer ones are answered beside.
const QUICK: Duration = Duration::from_millis(20);
const QUICK_ALONE: Duration = Duration::from_millis(200);

/// How soon it is asked again for offsets that were not told.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// An offset that is not known for this long is told.
const OFFSET_UNKNOWN_AFTER: Duration = Duration::from_secs(5);

/// How soon a blocked partition is read again; twice as late each time, and no later than
/// [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);

/// How long the question for what a log holds may take.
const HELD_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything about partitions that are ours and not read, or are to be read from another place.
#[derive(Default)]
pub(super) struct Placement {
    questions: Questions,
    doubt: Doubt,
    /// No earlier is it asked again for offsets that were not told.
    ask_at: Option<Instant>,
    /// Why they were not.
    why_unknown: Option<String>,
    halted: BTreeMap<Partition, Halted>,
    rewinding: Option<Rewinding>,
}

/// A partition that was taken away from the client.
struct Halted {
    /// From where it is read again.
    from: KafkaOffset,
    /// When; never by itself where a person has to decide.
    retry_at: Option<Instant>,
    pause: Duration,
    /// What its log holds, as far as that is asked for.
    held: Option<Receiver<Result<(Offset, Offset), KafkaError>>>,
}

/// The question for the offsets to go back to.
struct Rewinding {
    assignment_number: u64,
    answer: Receiver<Answer>,
}

impl Placement {
    /// What was told before now does not count any more.
    pub(super) fn forget_answers(&mut self) {
        self.rewinding = None;
    }

    pub(super) fn revoked(&mut self, partition: Partition) {
        self.halted.remove(&partition);
        self.doubt.forget(partition);
    }
}

impl Subscription {
    /// Begins to read what is ours and not read, as far as it is known from where. librdkafka would
    /// do so by itself. But an offset that an open transaction holds back (`UNSTABLE_OFFSET_COMMIT`)
    /// comes as none, and when the assignment changes while it is asked for, it is taken for none
    /// (`rd_kafka_assignment_apply_offsets`, as of 2.12): the partition would be read from its
    /// beginning, and each of its records have its outcome twice.
    pub(super) fn place_when_due(&mut self) {
        if !self.queue.client().context().has_unplaced() {
            return;
        }
        self.take_what_logs_hold();
        let mut known = self.due_again();
        known.extend(self.newly_told());
        if !known.is_empty()
            && let Err(error) = self.place(&known)
        {
            tracing::warn!(%error, topic = self.topic, "partitions could not be assigned to the client");
        }
        self.tell_unknown_offsets();
    }

    /// Whether partitions are not read yet because the group has not told their offsets. Blocked ones
    /// are not among them: their offsets are known.
    pub fn waits_for_offsets(&self) -> bool {
        let context = self.queue.client().context();
        let is_halted = |partition| self.placement.halted.contains_key(partition);
        context.has_unplaced() && !context.unplaced().keys().all(is_halted)
    }

    /// Halted partitions whose time has come.
    fn due_again(&self) -> Vec<(Partition, KafkaOffset)> {
        let now = Instant::now();
        let halted = self.placement.halted.iter();
        let due = halted.filter(|(_, halted)| halted.retry_at.is_some_and(|at| at <= now));
        due.map(|(partition, halted)| (*partition, halted.from))
            .collect()
    }

    /// Partitions whose offsets the group has told, and that are still assigned as they were when it
    /// was asked.
    fn newly_told(&mut self) -> Vec<(Partition, KafkaOffset)> {
        let mut wanted = self.queue.client().context().unplaced();
        wanted.retain(|partition, _| !self.placement.halted.contains_key(partition));
        if wanted.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let has_asked = self.placement.ask_at.is_none_or(|at| at <= now)
            && self
                .placement
                .questions
                .ask(self.queue.client(), &self.topic, &wanted);
        let wait = match (has_asked, self.progress.placed.is_empty()) {
            (false, _) => Duration::ZERO,
            (true, true) => QUICK_ALONE,
            (true, false) => QUICK,
        };
        let told = self.placement.questions.answers(wait);
        if let Some(error) = told.error {
            tracing::debug!(%error, "the offsets of new partitions are not known yet");
            self.placement.why_unknown = Some(error.to_string());
            self.placement.ask_at = Some(Instant::now() + ASK_AGAIN);
        }
        let is_doubtful = self.is_doubtful();
        let mut known = Vec::new();
        for (partition, assigned, offset) in told.offsets {
            if wanted.get(&partition) != Some(&assigned) {
                continue;
            }
            if self
                .placement
                .doubt
                .trusts(partition, offset, is_doubtful, Instant::now())
            {
                known.push((partition, offset));
            } else {
                self.placement.ask_at = Some(Instant::now() + ASK_AGAIN);
            }
        }
        known
    }

    fn is_doubtful(&self) -> bool {
        self.queue.client().context().lost_broker_within(LATELY)
    }

    /// Has the client read these partitions from here on.
    fn place(&mut self, known: &[(Partition, KafkaOffset)]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(known.len());
        for (partition, offset) in known {
            list.add_partition_offset(&self.topic, *partition, *offset)?;
            self.queue.lead(&self.topic, *partition)?;
        }
        self.queue.client().incremental_assign(&list)?;
        for (partition, offset) in known {
            self.progress.placed.insert(*partition, *offset);
            self.placement.doubt.forget(*partition);
            self.blocked
                .end_if(Some(*partition), OFFSET_UNKNOWN.as_str());
            if let Some(halted) = self.placement.halted.get_mut(partition) {
                halted.retry_at = None;
            }
        }
        let placed = known.iter().map(|(partition, _)| *partition);
        self.queue.client().context().placed(placed);
        Ok(())
    }

    fn tell_unknown_offsets(&mut self) {
        for (partition, assigned) in self.queue.client().context().unplaced() {
            if assigned.since.elapsed() >= OFFSET_UNKNOWN_AFTER
                && self.blocked.get(partition).is_none()
            {
                self.blocked.begin(Blocked {
                    topic: self.topic.clone(),
                    partition: Some(partition),
                    offset: None,
                    cause: Cause::OffsetUnknown {
                        why: self.placement.why_unknown.clone(),
                    },
                });
            }
        }
    }

    /// The client could not fetch.
    pub(super) fn fetch_failed(&mut self, error: FetchError) {
        let FetchError {
            code,
            partition,
            offset,
            why,
        } = error;
        self.note(&KafkaError::MessageConsumption(code));
        let Some(partition) = partition.filter(|one| self.progress.placed.contains_key(one)) else {
            return;
        };
        if let Err(error) = self.halt(partition, offset, Cause::of(code, &why)) {
            tracing::warn!(%error, partition, "a partition could not be taken from the client");
        }
    }

    /// Takes a partition away from the client: after some errors it would go on behind what it could
    /// not read (a batch with a wrong checksum), and records would be skipped.
    fn halt(
        &mut self,
        partition: Partition,
        told: Option<Offset>,
        cause: Cause,
    ) -> Result<(), KafkaError> {
        let from = self.progress.due(partition);
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        self.queue.client().incremental_unassign(&list)?;
        self.queue.client().context().unplace([partition]);
        self.progress.placed.remove(&partition);
        let before = self.placement.halted.get(&partition);
        let pause = before.map_or(RETRY, |before| (before.pause * 2).min(RETRY_MAX));
        self.placement.halted.insert(
            partition,
            Halted {
                from,
                retry_at: cause.may_pass().then(|| Instant::now() + pause),
                pause,
                held: matches!(cause, Cause::OutOfRange { .. })
                    .then(|| self.ask_what_log_holds(partition)),
            },
        );
        let due = match from {
            KafkaOffset::Offset(offset) => Some(offset),
            _ => None,
        };
        self.blocked.begin(Blocked {
            topic: self.topic.clone(),
            partition: Some(partition),
            offset: due.or(told),
            cause,
        });
        Ok(())
    }

    fn ask_what_log_holds(
        &self,
        partition: Partition,
    ) -> Receiver<Result<(Offset, Offset), KafkaError>> {
        let (client, topic) = (Arc::clone(self.queue.client()), self.topic.clone());
        beside(move || client.fetch_watermarks(&topic, partition, HELD_TIMEOUT))
    }

    /// Completes the sentences of partitions whose offset is out of range.
    fn take_what_logs_hold(&mut self) {
        for (partition, halted) in &mut self.placement.halted {
            let answer = halted.held.as_ref().map(Receiver::try_recv);
            let Some(Ok(Ok(held))) = answer else { continue };
            halted.held = None;
            if let Some(blocked) = self.blocked.get(*partition) {
                let cause = Cause::OutOfRange { held: Some(held) };
                let blocked = Blocked {
                    cause,
                    ..blocked.clone()
                };
                tracing::error!(topic = blocked.topic, partition, "{blocked}");
                self.blocked.begin(blocked);
            }
        }
    }

    /// This partition flows, or is at its end.
    pub(super) fn flows(&mut self, partition: Partition) {
        self.placement.halted.remove(&partition);
        self.blocked.end(Some(partition));
    }

    /// Reads every assigned partition again from its committed offset, or from its beginning. A
    /// partition whose offset is not known yet begins there by itself.
    ///
    /// # Errors
    /// When the offsets are not told within `timeout`, or not alike for long enough after an outage:
    /// call again. The question goes on meanwhile.
    pub fn rewind(&mut self, timeout: Duration) -> Result<Positions, KafkaError> {
        if self.is_dead() {
            // Nothing is assigned any more, and no revocation says so. The next poll does.
            let placed: Vec<_> = self.progress.placed.keys().copied().collect();
            for partition in placed {
                self.progress.forget(partition);
            }
            return Ok(Positions::new());
        }
        let halted = self.placement.halted.keys();
        let mut ours: Vec<_> = self.progress.placed.keys().chain(halted).copied().collect();
        ours.sort_unstable();
        ours.dedup();
        if ours.is_empty() {
            return Ok(Positions::new());
        }
        let told = self.told_within(timeout, ours)?;
        self.go_back_to(&told, timeout)?;
        Ok(told
            .into_iter()
            .filter_map(|(partition, offset)| match offset {
                KafkaOffset::Offset(offset) => Some((partition, offset)),
                _ => None,
            })
            .collect())
    }

    /// The group's offsets of these partitions; of all, or an error.
    fn told_within(
        &mut self,
        timeout: Duration,
        partitions: Vec<Partition>,
    ) -> Result<Vec<(Partition, KafkaOffset)>, KafkaError> {
        let number = self.queue.client().context().assignment_number();
        let under_way = self.placement.rewinding.take();
        let rewinding = under_way
            .filter(|one| one.assignment_number == number)
            .unwrap_or_else(|| Rewinding {
                assignment_number: number,
                answer: ask(self.queue.client(), &self.topic, partitions),
            });
        let answer = match rewinding.answer.recv_timeout(timeout) {
            Ok(answer) => answer?,
            Err(RecvTimeoutError::Timeout) => {
                self.placement.rewinding = Some(rewinding);
                return Err(unanswered());
            }
            Err(RecvTimeoutError::Disconnected) => return Err(unanswered()),
        };
        let (now, is_doubtful) = (Instant::now(), self.is_doubtful());
        let mut told = Vec::with_capacity(answer.len());
        let mut is_settled = true;
        for (partition, offset) in answer {
            let offset = offset?;
            is_settled &= self
                .placement
                .doubt
                .trusts(partition, offset, is_doubtful, now);
            told.push((partition, offset));
        }
        if is_settled {
            Ok(told)
        } else {
            Err(KafkaError::OffsetFetch(
                RDKafkaErrorCode::CoordinatorLoadInProgress,
            ))
        }
    }

    fn go_back_to(
        &mut self,
        told: &[(Partition, KafkaOffset)],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in told {
            self.progress.forget(*partition);
            self.placement.doubt.forget(*partition);
            if let Some(placed) = self.progress.placed.get_mut(partition) {
                *placed = *offset;
                list.add_partition_offset(&self.topic, *partition, *offset)?;
            } else if let Some(halted) = self.placement.halted.get_mut(partition)
                && halted.from != *offset
            {
                halted.from = *offset;
                halted.retry_at = Some(Instant::now());
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        let sought = self.queue.client().seek_partitions(list, timeout)?;
        for element in sought.elements() {
            element.error()?;
        }
        Ok(())
    }
}

/// The label of a partition whose offset is not known.
const OFFSET_UNKNOWN: Cause = Cause::OffsetUnknown { why: None };
