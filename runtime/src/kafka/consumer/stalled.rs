//! Finds partitions that do not move although their logs go on.
//!
//! The client reports when it has read a partition to its end. After that it reports nothing for as long
//! as the broker returns no records, or does not answer. So the brokers are asked from time to time where
//! the logs end, and a partition whose position stays before its end is restarted (`halted`). The ends are
//! those for committed records: a partition whose records wait for a transaction is at its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;

use super::limits::{
    FIRST_RESTART_PAUSE, LOG_ENDS_INTERVAL, LOG_ENDS_TIMEOUT, MAX_RESTART_PAUSE,
    QUICK_LOG_ENDS_INTERVAL,
};
use crate::kafka::admin::{ends_of, log_ends};
use crate::kafka::background_call::BackgroundCall;
use crate::record::{Offset, Partition, Positions};

/// What two checks in a row have found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StallReport {
    /// Partitions that had the same position at both checks.
    pub(super) stalled: Vec<Stalled>,
    /// The ends of the logs, unless the last request failed.
    pub(super) ends: Option<Positions>,
    /// The error, when both requests failed.
    pub(super) ends_unknown: Option<String>,
}

/// A partition that does not move although its log goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stalled {
    pub(super) partition: Partition,
    /// The end of its log.
    pub(super) end: Offset,
    /// Whether it is time to restart it.
    pub(super) restart: bool,
}

/// Compares the positions of all partitions with the ends of their logs, every few seconds.
#[derive(Default)]
pub(super) struct StallDetector {
    /// When the last request was sent; once the brokers have answered it, when the answer came.
    last_check: Option<Instant>,
    /// The request for the ends of the logs that has no answer yet.
    request: Option<BackgroundCall<Positions>>,
    /// The positions of partitions that were not at their ends at the last check.
    behind: Positions,
    /// When the first of the requests that have failed since the last answer was sent.
    failing_since: Option<Instant>,
    /// Whether the client had no fetched record left at some moment since the last check. If it had none,
    /// a partition that does not move is not waiting for the loop.
    was_drained: bool,
    restarts: Restarts,
}

impl StallDetector {
    /// Notes that the client has no fetched record left.
    pub(super) fn note_drained(&mut self) {
        self.was_drained = true;
    }

    /// Forgets where a partition stood, because it is fetched anew: two more checks have to find it at
    /// the same position.
    pub(super) fn reset(&mut self, partition: Partition) {
        self.behind.remove(&partition);
    }

    /// Forgets a partition that was revoked.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.reset(partition);
        self.restarts.0.remove(&partition);
    }

    /// Requests the ends of the logs when that is due, or takes the answer. `after_outage` says that a
    /// connection was lost recently; `positions` returns the position of every fetched partition.
    pub(super) fn check<C: ConsumerContext + 'static>(
        &mut self,
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        after_outage: bool,
        positions: impl FnOnce() -> Positions,
    ) -> Option<StallReport> {
        let now = Instant::now();
        if let Some(request) = &self.request {
            let ends = request.answer(Duration::ZERO)?;
            self.request = None;
            return Some(self.compare(&ends, &positions(), now));
        }
        if self.is_due(now, after_outage) {
            self.last_check = Some(now);
            let positions = positions();
            if !positions.is_empty() {
                self.request = Some(request_ends(client, topic, positions.into_keys()));
            }
        }
        None
    }

    /// Returns whether the next request is due. The first one is due an interval after the first call.
    fn is_due(&mut self, now: Instant, after_outage: bool) -> bool {
        let interval = if after_outage {
            QUICK_LOG_ENDS_INTERVAL
        } else {
            LOG_ENDS_INTERVAL
        };
        now >= *self.last_check.get_or_insert(now) + interval
    }

    fn compare(
        &mut self,
        ends: &KafkaResult<Positions>,
        positions: &Positions,
        now: Instant,
    ) -> StallReport {
        let ends = match ends {
            Ok(ends) => ends,
            Err(error) => {
                return StallReport {
                    ends_unknown: self.has_failed_for_long(now).then(|| error.to_string()),
                    ..StallReport::default()
                };
            }
        };
        self.failing_since = None;
        // The time of the answer, not of the request: after a slow answer a partition gets as much time
        // to move as after any other.
        self.last_check = Some(now);
        let mut behind = positions.clone();
        behind
            .retain(|partition, position| ends.get(partition).is_some_and(|end| *position < *end));
        let was_drained = std::mem::take(&mut self.was_drained);
        let before = std::mem::replace(&mut self.behind, behind);
        let mut stalled = Vec::new();
        for (partition, position) in &self.behind {
            if was_drained && before.get(partition) == Some(position) {
                stalled.push(Stalled {
                    partition: *partition,
                    end: ends[partition],
                    restart: self.restarts.begin(*partition, *position, now),
                });
            }
        }
        StallReport {
            stalled,
            ends: Some(ends.clone()),
            ends_unknown: None,
        }
    }

    /// Notes that a request has failed. Returns whether requests have failed for
    /// [`LOG_ENDS_INTERVAL`], and not only this one. Quick requests in a row may all fail while a leader
    /// is elected.
    fn has_failed_for_long(&mut self, now: Instant) -> bool {
        if let Some(since) = self.failing_since {
            return now >= since + LOG_ENDS_INTERVAL;
        }
        self.failing_since = Some(self.last_check.unwrap_or(now));
        false
    }
}

/// When stalled partitions were restarted, so that one that is merely slow gets more and more time.
#[derive(Default)]
struct Restarts(BTreeMap<Partition, Restart>);

/// The last restart of a partition.
struct Restart {
    at: Instant,
    position: Offset,
    /// How long the next one waits if the partition does not move.
    pause: Duration,
}

impl Restarts {
    /// Returns whether a partition that is stalled at `position` is to be restarted, and notes that.
    fn begin(&mut self, partition: Partition, position: Offset, now: Instant) -> bool {
        let mut pause = FIRST_RESTART_PAUSE;
        if let Some(last) = self.0.get(&partition) {
            let has_moved = last.position != position;
            let wait = if has_moved { pause } else { last.pause };
            if now < last.at + wait {
                return false;
            }
            if !has_moved {
                pause = (last.pause * 2).min(MAX_RESTART_PAUSE);
            }
        }
        let restart = Restart {
            at: now,
            position,
            pause,
        };
        self.0.insert(partition, restart);
        true
    }
}

/// Requests the offset past the last committed record of each of these partitions.
fn request_ends<C: ConsumerContext + 'static>(
    client: &Arc<BaseConsumer<C>>,
    topic: &str,
    partitions: impl IntoIterator<Item = Partition>,
) -> BackgroundCall<Positions> {
    let client = Arc::clone(client);
    let asked = ends_of(topic, partitions);
    BackgroundCall::start(move || log_ends(&client, asked?, LOG_ENDS_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::background_call::timed_out;

    const SECOND: Duration = Duration::from_secs(1);

    fn positions(at: &[(Partition, Offset)]) -> Positions {
        at.iter().copied().collect()
    }

    /// Compares as of `now`, with all fetched records returned, and returns the stalled partitions.
    fn stalled(
        detector: &mut StallDetector,
        ends: &[(Partition, Offset)],
        at: &[(Partition, Offset)],
        now: Instant,
    ) -> Vec<(Partition, Offset)> {
        detector.note_drained();
        let report = detector.compare(&Ok(positions(ends)), &positions(at), now);
        assert_eq!(report.ends_unknown, None);
        let stalled = report.stalled.iter();
        stalled.map(|one| (one.partition, one.end)).collect()
    }

    #[test]
    fn a_partition_with_the_same_position_at_two_checks_before_its_end_is_stalled() {
        let (mut detector, now) = (StallDetector::default(), Instant::now());
        let (ends, at) = ([(0, 9), (1, 8)], [(0, 5), (1, 8)]);
        assert_eq!(stalled(&mut detector, &ends, &at, now), []);
        assert_eq!(stalled(&mut detector, &ends, &at, now), [(0, 9)]);
        let moved = [(0, 6), (1, 8)];
        assert_eq!(stalled(&mut detector, &ends, &moved, now), []);
    }

    #[test]
    fn a_partition_whose_fetched_records_the_loop_has_not_taken_is_not_stalled() {
        let (mut detector, now) = (StallDetector::default(), Instant::now());
        assert_eq!(stalled(&mut detector, &[(0, 9)], &[(0, 5)], now), []);
        let report = detector.compare(&Ok(positions(&[(0, 9)])), &positions(&[(0, 5)]), now);
        assert!(report.stalled.is_empty(), "{report:?}");
    }

    #[test]
    fn a_partition_that_is_fetched_anew_has_two_more_checks() {
        let (mut detector, now) = (StallDetector::default(), Instant::now());
        let (ends, at) = ([(0, 9)], [(0, 5)]);
        assert_eq!(stalled(&mut detector, &ends, &at, now), []);
        detector.reset(0);
        assert_eq!(stalled(&mut detector, &ends, &at, now), []);
        assert_eq!(stalled(&mut detector, &ends, &at, now), [(0, 9)]);
    }

    #[test]
    fn checks_are_due_every_second_after_an_outage_and_every_four_seconds_otherwise() {
        let (mut detector, start) = (StallDetector::default(), Instant::now());
        assert!(!detector.is_due(start, true), "nothing was fetched yet");
        assert!(!detector.is_due(start + SECOND / 2, true));
        assert!(
            !detector.is_due(start + 3 * SECOND, false),
            "no connection was lost"
        );
        assert!(
            detector.is_due(start + SECOND, true),
            "a connection that is lost meanwhile brings the next check forward"
        );
        assert!(detector.is_due(start + 4 * SECOND, false));
    }

    #[test]
    fn after_a_slow_answer_a_partition_has_a_whole_interval_to_move() {
        let (mut detector, start) = (StallDetector::default(), Instant::now());
        detector.last_check = Some(start);
        let answered = start + 3 * SECOND;
        stalled(&mut detector, &[(0, 9)], &[(0, 5)], answered);
        assert!(!detector.is_due(answered + SECOND / 2, true));
        assert!(detector.is_due(answered + SECOND, true));
    }

    /// Returns the seconds within `seconds` at which a partition is restarted that is found stalled
    /// every second, at the position that `position` returns for it.
    fn restarts(seconds: u32, position: impl Fn(u32) -> Offset) -> Vec<u32> {
        let (mut restarts, start) = (Restarts::default(), Instant::now());
        let is_restarted =
            |second: &u32| restarts.begin(0, position(*second), start + *second * SECOND);
        (0..seconds).filter(is_restarted).collect()
    }

    #[test]
    fn the_first_restart_is_immediate_and_the_pause_doubles_up_to_64_seconds() {
        assert_eq!(restarts(260, |_| 5), [0, 8, 24, 56, 120, 184, 248]);
    }

    #[test]
    fn a_partition_that_has_moved_is_restarted_after_the_first_pause_again() {
        let moves_at_30 = |second| if second < 30 { 5 } else { 6 };
        assert_eq!(restarts(60, moves_at_30), [0, 8, 24, 32, 40, 56]);
    }

    #[test]
    fn a_partition_that_was_revoked_and_assigned_again_is_restarted_at_once() {
        let (mut detector, now) = (StallDetector::default(), Instant::now());
        assert!(detector.restarts.begin(0, 5, now));
        assert!(!detector.restarts.begin(0, 5, now));
        assert!(detector.restarts.begin(1, 5, now), "each by itself");
        detector.forget(0);
        assert!(detector.restarts.begin(0, 5, now));
    }

    /// Sends a request that fails as of `now`, and returns whether that is reported.
    fn fail(detector: &mut StallDetector, now: Instant) -> bool {
        detector.last_check = Some(now);
        let report = detector.compare(&Err(timed_out()), &positions(&[(0, 5)]), now);
        report.ends_unknown.is_some()
    }

    #[test]
    fn one_failed_request_is_not_reported_and_two_in_a_row_are() {
        let (mut detector, start) = (StallDetector::default(), Instant::now());
        assert!(!fail(&mut detector, start));
        assert!(fail(&mut detector, start + 4 * SECOND));
        let answered = stalled(&mut detector, &[(0, 5)], &[(0, 5)], start + 8 * SECOND);
        assert_eq!(answered, []);
        assert!(!fail(&mut detector, start + 12 * SECOND));
    }

    #[test]
    fn quick_requests_that_fail_are_reported_no_sooner() {
        let (mut detector, start) = (StallDetector::default(), Instant::now());
        let is_reported = |second: &u32| fail(&mut detector, start + *second * SECOND);
        assert_eq!((0..7).filter(is_reported).collect::<Vec<_>>(), [4, 5, 6]);
    }
}
