//! Finds partitions that do not move although their logs go on.
//!
//! The client says when it has read a partition to its end. After that it says nothing, for as long
//! as the broker answers its fetches with nothing, or does not answer. So the brokers are asked from
//! time to time where the logs end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

use super::limits::{LOG_ENDS_INTERVAL, LOG_ENDS_TIMEOUT};
use crate::kafka::background_call::BackgroundCall;
use crate::kafka::partition_list;
use crate::record::{Offset, Partition, Positions};

/// What two checks in a row have found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StallReport {
    /// Partitions that had the same position at both checks, and the ends of their logs.
    pub(super) stalled: Vec<(Partition, Offset)>,
    /// The error, when both requests failed.
    pub(super) ends_unknown: Option<String>,
}

/// Compares the positions of all partitions with the ends of their logs, every few seconds.
#[derive(Default)]
pub(super) struct StallDetector {
    next_check: Option<Instant>,
    /// The request for the ends of the logs, as far as the brokers return them.
    request: Option<BackgroundCall<Positions>>,
    /// The positions of partitions that were not at their ends at the last check.
    behind: Positions,
    last_failed: bool,
    /// Since the last check all fetched records were returned at least once: a partition that does
    /// not move is not waiting for the loop.
    was_drained: bool,
}

impl StallDetector {
    /// Notes that the client has no fetched record left.
    pub(super) fn note_drained(&mut self) {
        self.was_drained = true;
    }

    /// Requests the ends of the logs when that is due, or takes the answer. `positions` returns the
    /// position of every fetched partition.
    pub(super) fn check<C: ConsumerContext + 'static>(
        &mut self,
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        positions: impl FnOnce() -> Positions,
    ) -> Option<StallReport> {
        if let Some(request) = &self.request {
            let ends = request.answer(Duration::ZERO)?;
            self.request = None;
            return Some(self.compare(&ends, &positions()));
        }
        let now = Instant::now();
        if now >= *self.next_check.get_or_insert(now + LOG_ENDS_INTERVAL) {
            self.next_check = Some(now + LOG_ENDS_INTERVAL);
            let positions = positions();
            if !positions.is_empty() {
                self.request = Some(request_ends(client, topic, positions.into_keys()));
            }
        }
        None
    }

    fn compare(&mut self, ends: &KafkaResult<Positions>, positions: &Positions) -> StallReport {
        let ends = match ends {
            Ok(ends) => ends,
            Err(error) => {
                let failed_before = std::mem::replace(&mut self.last_failed, true);
                return StallReport {
                    ends_unknown: failed_before.then(|| error.to_string()),
                    ..StallReport::default()
                };
            }
        };
        self.last_failed = false;
        let mut behind = positions.clone();
        behind
            .retain(|partition, position| ends.get(partition).is_some_and(|end| *position < *end));
        let was_drained = std::mem::take(&mut self.was_drained);
        let before = std::mem::replace(&mut self.behind, behind);
        let stalled = self.behind.iter().filter(|(partition, position)| {
            was_drained && before.get(partition) == Some(*position)
        });
        StallReport {
            stalled: stalled
                .map(|(partition, _)| (*partition, ends[partition]))
                .collect(),
            ends_unknown: None,
        }
    }
}

/// Requests the offset past the last committed record of each of these partitions.
fn request_ends<C: ConsumerContext + 'static>(
    client: &Arc<BaseConsumer<C>>,
    topic: &str,
    partitions: impl IntoIterator<Item = Partition>,
) -> BackgroundCall<Positions> {
    let client = Arc::clone(client);
    // The protocol's timestamp for "the end" is the client's offset of that name.
    let list = partition_list(
        topic,
        partitions.into_iter().map(|one| (one, KafkaOffset::End)),
    );
    BackgroundCall::start(move || {
        let mut ends = Positions::new();
        for element in client
            .offsets_for_times(list?, LOG_ENDS_TIMEOUT)?
            .elements()
        {
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
    use crate::kafka::background_call::timed_out;

    fn positions(at: &[(Partition, Offset)]) -> Positions {
        at.iter().copied().collect()
    }

    fn stalled(partitions: &[(Partition, Offset)]) -> StallReport {
        StallReport {
            stalled: partitions.to_vec(),
            ends_unknown: None,
        }
    }

    #[test]
    fn a_partition_with_the_same_position_at_two_checks_before_its_end_is_stalled() {
        let mut detector = StallDetector::default();
        let (at, ends) = (
            positions(&[(0, 5), (1, 8)]),
            Ok(positions(&[(0, 9), (1, 8)])),
        );
        detector.note_drained();
        assert_eq!(detector.compare(&ends, &at), stalled(&[]));
        detector.note_drained();
        assert_eq!(detector.compare(&ends, &at), stalled(&[(0, 9)]));
        detector.note_drained();
        let moved = positions(&[(0, 6), (1, 8)]);
        assert_eq!(detector.compare(&ends, &moved), stalled(&[]));
    }

    #[test]
    fn a_partition_whose_fetched_records_the_loop_has_not_taken_is_not_stalled() {
        let mut detector = StallDetector::default();
        let (at, ends) = (positions(&[(0, 5)]), Ok(positions(&[(0, 9)])));
        detector.note_drained();
        assert_eq!(detector.compare(&ends, &at), stalled(&[]));
        assert_eq!(detector.compare(&ends, &at), stalled(&[]));
    }

    #[test]
    fn one_failed_request_is_not_reported_and_two_in_a_row_are() {
        let mut detector = StallDetector::default();
        let at = positions(&[(0, 5)]);
        let fail = |detector: &mut StallDetector| {
            detector
                .compare(&Err(timed_out()), &at)
                .ends_unknown
                .is_some()
        };
        assert!(!fail(&mut detector));
        assert!(fail(&mut detector));
        let answered = detector.compare(&Ok(positions(&[(0, 5)])), &positions(&[(0, 5)]));
        assert_eq!(answered, stalled(&[]));
        assert!(!fail(&mut detector));
    }
}
