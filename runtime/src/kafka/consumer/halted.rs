//! Halted partitions: taken from the client, and fetched again from the same offset.
//!
//! After some errors, such as a batch with a wrong checksum, the client would continue past what it could
//! not read, and records would be skipped. So a partition with an error is halted and retried after a
//! pause. The other partitions are fetched meanwhile.
//!
//! A stalled partition is restarted in the same way, without a pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::blocked::{Blocked, Cause};
use super::fetch_queue::FetchError;
use super::limits::{FIRST_RETRY_PAUSE, LOG_RANGE_TIMEOUT, MAX_RETRY_PAUSE};
use super::subscription::Subscription;
use crate::kafka::background_call::BackgroundCall;
use crate::kafka::partition_list;
use crate::record::{Offset, Partition};

/// A partition that was taken from the client. It stays here while it is fetched again, until a
/// record or its end has come.
pub(super) struct Halted {
    /// The offset at which it is fetched again.
    pub(super) resume_at: KafkaOffset,
    /// When it is fetched again; `None` while it is fetched, and when a person has to decide.
    pub(super) retry_at: Option<Instant>,
    pause: Duration,
    /// The request for the first offset of its log and the one past its last.
    log_range: Option<BackgroundCall<(Offset, Offset)>>,
}

impl Subscription {
    /// Returns the halted partitions that are due for a retry, and where each resumes.
    pub(super) fn due_retries(&self) -> Vec<(Partition, KafkaOffset)> {
        let now = Instant::now();
        let halted = self.halted.iter();
        let due = halted.filter(|(_, halted)| halted.retry_at.is_some_and(|at| at <= now));
        due.map(|(partition, halted)| (*partition, halted.resume_at))
            .collect()
    }

    /// Handles an error that the client has for a partition.
    pub(super) fn fetch_failed(&mut self, error: FetchError) {
        let FetchError {
            code,
            partition,
            offset,
            why,
        } = error;
        self.note_error(&KafkaError::MessageConsumption(code));
        let fetched = &self.positions.fetched;
        let Some(partition) = partition.filter(|one| fetched.contains_key(one)) else {
            return;
        };
        if let Err(error) = self.halt(partition, offset, Cause::of(code, &why)) {
            tracing::warn!(%error, partition, "cannot take a partition from the client");
        }
    }

    /// Fetches a stalled partition anew from its position.
    ///
    /// After a change of leader librdkafka (2.12) checks its position with the new leader and fetches
    /// nothing until that has succeeded, which can take longer than the outage. A partition that is
    /// assigned at an offset without a leader epoch is fetched without this check.
    pub(super) fn restart(&mut self, partition: Partition) {
        let resume_at = match self.take_from_client(partition) {
            Ok(resume_at) => resume_at,
            Err(error) => {
                tracing::warn!(%error, partition, "cannot restart a stalled partition");
                return;
            }
        };
        let before = self.halted.get(&partition);
        let pause = before.map_or(FIRST_RETRY_PAUSE, |before| before.pause);
        self.halted.insert(
            partition,
            Halted {
                resume_at,
                retry_at: Some(Instant::now()),
                pause,
                log_range: None,
            },
        );
        tracing::warn!(
            topic = self.topic,
            partition,
            position = ?resume_at,
            "restarting the fetch of a partition that does not move although its log goes on"
        );
    }

    /// Takes a partition from the client, and returns where it resumes. What the client has
    /// prefetched of it and not returned yet is discarded and fetched again.
    fn take_from_client(&mut self, partition: Partition) -> Result<KafkaOffset, KafkaError> {
        let resume_at = self.positions.resume_at(partition);
        let list = partition_list(&self.topic, [(partition, KafkaOffset::Invalid)])?;
        let client = self.queue.client();
        client.incremental_unassign(&list)?;
        // The client's main thread stops the fetch after it has answered, and then forgets to which
        // queue the partition is forwarded. It handles its requests in order: once it has answered
        // this one, the partition can be forwarded and assigned again.
        if let Err(error) = client.assignment() {
            tracing::debug!(%error, partition, "the client does not return its assignment");
        }
        self.context().set_pending([partition]);
        self.positions.fetched.remove(&partition);
        self.stalls.reset(partition);
        self.lag.note_interrupted(partition);
        Ok(resume_at)
    }

    /// Halts a partition after an error. `error_offset` is reported where the position is unknown.
    fn halt(
        &mut self,
        partition: Partition,
        error_offset: Option<Offset>,
        cause: Cause,
    ) -> Result<(), KafkaError> {
        let resume_at = self.take_from_client(partition)?;
        let before = self.halted.get(&partition);
        let pause = before.map_or(FIRST_RETRY_PAUSE, |before| {
            (before.pause * 2).min(MAX_RETRY_PAUSE)
        });
        let log_range =
            matches!(cause, Cause::OutOfRange { .. }).then(|| self.request_log_range(partition));
        self.halted.insert(
            partition,
            Halted {
                resume_at,
                retry_at: cause.may_pass().then(|| Instant::now() + pause),
                pause,
                log_range,
            },
        );
        let position = match resume_at {
            KafkaOffset::Offset(offset) => Some(offset),
            _ => None,
        };
        self.blocked.report(Blocked {
            topic: self.topic.clone(),
            partition: Some(partition),
            offset: position.or(error_offset),
            cause,
        });
        Ok(())
    }

    fn request_log_range(&self, partition: Partition) -> BackgroundCall<(Offset, Offset)> {
        let (client, topic) = (Arc::clone(self.queue.client()), self.topic.clone());
        BackgroundCall::start(move || client.fetch_watermarks(&topic, partition, LOG_RANGE_TIMEOUT))
    }

    /// Adds what the logs hold to the reports of partitions whose offset is out of range.
    pub(super) fn add_log_ranges(&mut self) {
        for (partition, halted) in &mut self.halted {
            let request = halted.log_range.as_ref();
            let Some(answer) = request.and_then(|request| request.answer(Duration::ZERO)) else {
                continue;
            };
            halted.log_range = None;
            if let (Ok(range), Some(blocked)) = (answer, self.blocked.get(*partition)) {
                let blocked = Blocked {
                    cause: Cause::OutOfRange { held: Some(range) },
                    ..blocked.clone()
                };
                tracing::error!(topic = blocked.topic, partition, "{blocked}");
                self.blocked.report(blocked);
            }
        }
    }

    /// Notes that a partition brought a record, or is at its end.
    pub(super) fn mark_healthy(&mut self, partition: Partition) {
        self.halted.remove(&partition);
        self.blocked.clear(Some(partition));
    }
}
