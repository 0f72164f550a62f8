//! Starts to fetch assigned partitions, once it is known from which offset.
//!
//! librdkafka could do that by itself. But an offset that an open transaction holds back
//! (`UNSTABLE_OFFSET_COMMIT`) is returned as an invalid offset, which librdkafka takes for a missing one
//! when the assignment changes during the request (`rd_kafka_assignment_apply_offsets`, as of 2.12). It
//! would read the partition from its beginning, and each of its records would have its outcome twice.

use std::time::{Duration, Instant};

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::blocked::{Blocked, Cause};
use super::committed_offsets::OffsetRequests;
use super::limits::{
    FIRST_WAIT, FIRST_WAIT_WITHOUT_RECORDS, OFFSET_UNKNOWN_AFTER, REQUEST_AGAIN_AFTER,
};
use super::subscription::Subscription;
use crate::kafka::partition_list;
use crate::record::Partition;

/// The requests for the offsets of partitions that are not fetched yet, and their last error.
#[derive(Default)]
pub(super) struct StartOffsets {
    requests: OffsetRequests,
    /// Nothing is requested again before this time.
    request_at: Option<Instant>,
    /// The error of the last request that failed.
    last_error: Option<String>,
}

impl Subscription {
    /// Starts to fetch the pending partitions whose offsets are known, and those that are due for a
    /// retry.
    pub(super) fn start_pending_partitions(&mut self) {
        if !self.context().has_pending() {
            return;
        }
        self.add_log_ranges();
        let mut starts = self.due_retries();
        starts.extend(self.known_start_offsets());
        if !starts.is_empty()
            && let Err(error) = self.fetch_from(&starts)
        {
            tracing::warn!(%error, topic = self.topic, "cannot assign partitions to the client");
        }
        self.report_unknown_offsets();
    }

    /// Returns whether assigned partitions are not fetched because their committed offsets are not
    /// known. Halted partitions do not count: their offsets are known.
    pub(super) fn awaits_start_offsets(&self) -> bool {
        let is_halted = |partition| self.halted.contains_key(partition);
        self.context().has_pending() && !self.context().pending().keys().all(is_halted)
    }

    /// Requests the offsets of new partitions, and returns those that have come, as far as the
    /// partitions are still assigned as they were when the request was sent.
    fn known_start_offsets(&mut self) -> Vec<(Partition, KafkaOffset)> {
        let mut wanted = self.context().pending();
        wanted.retain(|partition, _| !self.halted.contains_key(partition));
        if wanted.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let may_send = self.start_offsets.request_at.is_none_or(|at| at <= now);
        let requests = &mut self.start_offsets.requests;
        let sent = may_send && requests.send(self.queue.client(), &self.topic, &wanted);
        let timeout = match (sent, self.positions.fetched.is_empty()) {
            (false, _) => Duration::ZERO,
            (true, true) => FIRST_WAIT_WITHOUT_RECORDS,
            (true, false) => FIRST_WAIT,
        };
        let answers = requests.take_answers(timeout);
        if let Some(error) = answers.error {
            tracing::debug!(%error, "the committed offsets of new partitions are not known yet");
            self.start_offsets.last_error = Some(error.to_string());
            self.request_again_later();
        }
        let mut known = Vec::new();
        for (partition, assignment, offset) in answers.offsets {
            if wanted.get(&partition) != Some(&assignment) {
                continue;
            }
            if self.is_settled(partition, offset) {
                known.push((partition, offset));
            } else {
                self.request_again_later();
            }
        }
        known
    }

    fn request_again_later(&mut self) {
        self.start_offsets.request_at = Some(Instant::now() + REQUEST_AGAIN_AFTER);
    }

    /// Makes the client fetch these partitions from these offsets.
    fn fetch_from(&mut self, starts: &[(Partition, KafkaOffset)]) -> Result<(), KafkaError> {
        for (partition, _) in starts {
            self.queue.forward(&self.topic, *partition)?;
        }
        let list = partition_list(&self.topic, starts.iter().copied())?;
        self.queue.client().incremental_assign(&list)?;
        for (partition, offset) in starts {
            self.positions.fetched.insert(*partition, *offset);
            self.unsettled.forget(*partition);
            self.blocked.clear_if(Some(*partition), |cause| {
                matches!(cause, Cause::OffsetUnknown { .. })
            });
            if let Some(halted) = self.halted.get_mut(partition) {
                halted.retry_at = None;
            }
        }
        let fetched = starts.iter().map(|(partition, _)| *partition);
        self.context().set_fetched(fetched);
        Ok(())
    }

    fn report_unknown_offsets(&mut self) {
        for (partition, assignment) in self.context().pending() {
            if assignment.since.elapsed() >= OFFSET_UNKNOWN_AFTER
                && self.blocked.get(partition).is_none()
            {
                self.blocked.report(Blocked {
                    topic: self.topic.clone(),
                    partition: Some(partition),
                    offset: None,
                    cause: Cause::OffsetUnknown {
                        why: self.start_offsets.last_error.clone(),
                    },
                });
            }
        }
    }
}
