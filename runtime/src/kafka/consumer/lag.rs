//! How far the assigned partitions are behind the ends of their logs: in records, and in time.
//!
//! The brokers are asked for the ends every few seconds (`stalled`). An end is that of the committed
//! records, and a position is past control records, so a partition that was read to its end is 0 behind
//! even where transaction markers follow its last record.
//!
//! The timestamp of an unread record is not known. The record is about as old as the record before it,
//! and no older than the moment at which the partition was last at its end.
//!
//! A consumer without an assignment, even an empty one, may have any records to read: it is behind since
//! it has been without one.

use std::collections::BTreeMap;

use metrics::{Gauge, gauge};

use crate::clock::unix_millis;
use crate::metrics::CONSUMER_LAG_RECORDS;
use crate::record::{Partition, Positions};

/// The lag of a subscription. Times are in milliseconds since the epoch.
pub(super) struct ConsumerLag {
    group: String,
    topic: String,
    partitions: BTreeMap<Partition, PartitionLag>,
    /// Since when the group has assigned nothing; `None` after an assignment, even of no partition.
    unassigned_since: Option<i64>,
    /// The time of day when the client's events were last polled, so that no record needs a read of the
    /// clock.
    now: i64,
}

/// The lag of an assigned partition.
struct PartitionLag {
    /// The metric, once the lag is known. The exporter cannot remove a metric, so it is set to 0 when the
    /// partition is revoked.
    records: Option<Gauge>,
    /// Whether there are committed records past the position, or that is not known.
    is_behind: bool,
    /// When it was assigned, or began to be read again from its committed offset.
    began: i64,
    /// The timestamp of the record that was read last, or of one shortly before it.
    last_read: Option<i64>,
    /// When it was last at its end.
    at_end: Option<i64>,
}

impl PartitionLag {
    const fn begin(now: i64) -> Self {
        Self {
            records: None,
            is_behind: true,
            began: now,
            last_read: None,
            at_end: None,
        }
    }

    /// Returns about when the first unread record was written.
    fn unread_since(&self) -> i64 {
        self.at_end.max(self.last_read).unwrap_or(self.began)
    }
}

impl ConsumerLag {
    pub(super) fn new(group: &str, topic: &str) -> Self {
        let now = unix_millis();
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partitions: BTreeMap::new(),
            unassigned_since: Some(now),
            now,
        }
    }

    /// Takes over since when the consumer that this one replaces has been behind.
    pub(super) fn follow(&mut self, replaced: &Self) {
        self.unassigned_since = replaced.unread_since().or(self.unassigned_since);
    }

    /// Sets the time of day.
    pub(super) const fn set_time(&mut self, now: i64) {
        self.now = now;
    }

    /// Notes that partitions were assigned, or that the member has joined and none is for it.
    pub(super) fn note_assigned(&mut self, partitions: &[Partition]) {
        self.unassigned_since = None;
        for partition in partitions {
            self.partitions
                .insert(*partition, PartitionLag::begin(self.now));
        }
    }

    /// Notes that a partition is read again from its committed offset. Whether it is at its end is not
    /// known yet.
    pub(super) fn note_rewound(&mut self, partition: Partition) {
        if let Some(lag) = self.partitions.get_mut(&partition) {
            lag.is_behind = true;
            lag.began = self.now;
            lag.last_read = None;
            lag.at_end = None;
        }
    }

    /// Notes that a partition was taken from the client, which may have records of it that were not
    /// returned yet.
    pub(super) fn note_interrupted(&mut self, partition: Partition) {
        if let Some(lag) = self.partitions.get_mut(&partition) {
            lag.is_behind = true;
        }
    }

    /// Notes the timestamp of a record that was returned.
    pub(super) fn note_read(&mut self, partition: Partition, timestamp: Option<i64>) {
        if let Some(lag) = self.partitions.get_mut(&partition)
            && timestamp.is_some()
        {
            lag.last_read = timestamp;
        }
    }

    /// Notes that all committed records of a partition were returned.
    pub(super) fn note_end(&mut self, partition: Partition) {
        let is_known = self
            .partitions
            .get(&partition)
            .is_some_and(|lag| !lag.is_behind && lag.records.is_some());
        if is_known {
            // The common case: the record that was read was the only one.
            self.set_at_end(partition);
        } else {
            self.set_records(partition, 0);
        }
    }

    /// Compares the positions of the fetched partitions with the ends that the brokers returned.
    pub(super) fn compare(&mut self, ends: &Positions, positions: &Positions) {
        for (partition, position) in positions {
            if let Some(end) = ends.get(partition) {
                // The ends are from a moment ago, so the position may be past them.
                self.set_records(*partition, (end - position).max(0));
            }
        }
    }

    fn set_at_end(&mut self, partition: Partition) {
        if let Some(lag) = self.partitions.get_mut(&partition) {
            lag.at_end = Some(self.now);
        }
    }

    fn set_records(&mut self, partition: Partition, records: i64) {
        let Some(lag) = self.partitions.get_mut(&partition) else {
            return;
        };
        let gauge = lag.records.get_or_insert_with(|| {
            gauge!(
                CONSUMER_LAG_RECORDS,
                "group" => self.group.clone(),
                "topic" => self.topic.clone(),
                "partition" => partition.to_string()
            )
        });
        // Exact to 2^52 records.
        gauge.set(records as f64);
        lag.is_behind = records > 0;
        if !lag.is_behind {
            self.set_at_end(partition);
        }
    }

    /// Forgets a revoked partition.
    pub(super) fn forget(&mut self, partition: Partition) {
        if let Some(PartitionLag {
            records: Some(gauge),
            ..
        }) = self.partitions.remove(&partition)
        {
            gauge.set(0);
        }
        if self.partitions.is_empty() {
            self.unassigned_since = self.unassigned_since.or(Some(self.now));
        }
    }

    /// Returns about when the oldest unread record was written, or since when nothing is assigned; `None`
    /// when every assigned partition was read to its end.
    pub(super) fn unread_since(&self) -> Option<i64> {
        let behind = self.partitions.values().filter(|lag| lag.is_behind);
        let unread = behind.map(PartitionLag::unread_since);
        unread.chain(self.unassigned_since).min()
    }
}

impl Drop for ConsumerLag {
    /// Sets the metrics to 0, because another member has the partitions from now on.
    fn drop(&mut self) {
        for gauge in self
            .partitions
            .values()
            .filter_map(|lag| lag.records.as_ref())
        {
            gauge.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

    use super::*;
    use crate::record::Offset;

    fn positions(at: &[(Partition, Offset)]) -> Positions {
        at.iter().copied().collect()
    }

    /// Returns the lag of partitions 0 and 1, which were assigned at 100.
    fn lag() -> ConsumerLag {
        let mut lag = ConsumerLag::new("processor", "order-status");
        lag.set_time(100);
        lag.note_assigned(&[0, 1]);
        lag
    }

    /// Returns the same lag after both partitions were read to their ends.
    fn at_end() -> ConsumerLag {
        let mut lag = lag();
        lag.note_end(0);
        lag.note_end(1);
        lag
    }

    fn series(partition: Partition, records: i64) -> String {
        format!(
            "checkout_consumer_lag_records{{group=\"processor\",topic=\"order-status\",\
             partition=\"{partition}\"}} {records}\n"
        )
    }

    fn with_metrics(test: impl FnOnce(&PrometheusHandle)) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        metrics::with_local_recorder(&recorder, || test(&metrics));
    }

    fn assert_shown(metrics: &PrometheusHandle, expected: &str) {
        let shown = metrics.render();
        assert!(shown.contains(expected), "{expected} in {shown}");
    }

    #[test]
    fn the_records_between_position_and_end_are_shown_until_the_end_is_reached() {
        with_metrics(|metrics| {
            let mut lag = lag();
            assert!(!metrics.render().contains("lag_records"), "not known yet");
            // The end of partition 1 was requested before its last record was read.
            lag.compare(&positions(&[(0, 9), (1, 8)]), &positions(&[(0, 5), (1, 9)]));
            assert_shown(metrics, &series(0, 4));
            assert_shown(metrics, &series(1, 0));
            lag.note_end(0);
            assert_shown(metrics, &series(0, 0));
        });
    }

    #[test]
    fn a_partition_that_is_not_read_any_more_shows_no_lag() {
        with_metrics(|metrics| {
            let mut lag = lag();
            lag.compare(&positions(&[(0, 9), (1, 9)]), &positions(&[(0, 5), (1, 5)]));
            lag.forget(0);
            assert_shown(metrics, &series(0, 0));
            assert_shown(metrics, &series(1, 4));
            lag.compare(&positions(&[(0, 9)]), &positions(&[(0, 5)]));
            assert_shown(metrics, &series(0, 0));
            drop(lag);
            assert_shown(metrics, &series(1, 0));
        });
    }

    #[test]
    fn a_consumer_without_an_assignment_is_behind_since_it_has_none() {
        let mut lag = ConsumerLag::new("processor", "order-status");
        lag.unassigned_since = Some(70);
        lag.set_time(90);
        assert_eq!(lag.unread_since(), Some(70), "it has not joined yet");
        lag.note_assigned(&[]);
        assert_eq!(lag.unread_since(), None, "no partition is for it");
        lag.note_assigned(&[0, 1]);
        lag.note_end(0);
        lag.note_end(1);
        lag.set_time(120);
        lag.forget(0);
        assert_eq!(lag.unread_since(), None);
        lag.forget(1);
        lag.set_time(150);
        assert_eq!(lag.unread_since(), Some(120), "its membership was lost");
        lag.note_assigned(&[]);
        assert_eq!(lag.unread_since(), None);
    }

    #[test]
    fn a_consumer_is_behind_since_the_one_that_it_replaces_was() {
        let mut replaced = lag();
        let mut lag = ConsumerLag::new("processor", "order-status");
        lag.follow(&replaced);
        assert_eq!(lag.unread_since(), Some(100));
        replaced.note_end(0);
        replaced.note_end(1);
        let mut lag = ConsumerLag::new("processor", "order-status");
        lag.unassigned_since = Some(130);
        lag.follow(&replaced);
        assert_eq!(lag.unread_since(), Some(130), "everything was read");
    }

    #[test]
    fn at_its_end_a_partition_has_no_unread_record() {
        assert_eq!(
            lag().unread_since(),
            Some(100),
            "not known to be at its end"
        );
        let mut lag = at_end();
        assert_eq!(lag.unread_since(), None);
        lag.compare(&positions(&[(0, 9)]), &positions(&[(0, 5)]));
        assert_eq!(lag.unread_since(), Some(100));
        lag.compare(&positions(&[(0, 9)]), &positions(&[(0, 9)]));
        assert_eq!(lag.unread_since(), None);
    }

    #[test]
    fn an_unread_record_is_no_older_than_the_time_at_which_its_partition_was_at_its_end() {
        let mut lag = at_end();
        // A record of long ago.
        lag.note_read(0, Some(7));
        lag.set_time(104);
        lag.compare(&positions(&[(0, 5)]), &positions(&[(0, 5)]));
        lag.set_time(108);
        lag.compare(&positions(&[(0, 6)]), &positions(&[(0, 5)]));
        assert_eq!(lag.unread_since(), Some(104));
        lag.note_read(0, Some(106));
        assert_eq!(lag.unread_since(), Some(106));
    }

    #[test]
    fn of_several_partitions_the_one_that_is_furthest_behind_counts() {
        let mut lag = lag();
        lag.note_read(0, Some(50));
        lag.note_read(1, Some(40));
        let (ends, at) = (positions(&[(0, 9), (1, 9)]), positions(&[(0, 5), (1, 5)]));
        lag.compare(&ends, &at);
        assert_eq!(lag.unread_since(), Some(40));
        lag.note_end(1);
        assert_eq!(lag.unread_since(), Some(50));
    }

    #[test]
    fn a_partition_of_which_nothing_was_read_has_been_behind_since_it_was_assigned() {
        let mut lag = lag();
        lag.note_end(1);
        lag.set_time(104);
        lag.compare(&positions(&[(0, 9)]), &positions(&[(0, 0)]));
        assert_eq!(lag.unread_since(), Some(100));
    }

    #[test]
    fn what_was_known_before_a_rewind_does_not_count_after_it() {
        let mut lag = lag();
        lag.note_read(0, Some(90));
        lag.note_end(0);
        lag.note_end(1);
        lag.set_time(110);
        lag.note_rewound(0);
        assert_eq!(lag.unread_since(), Some(110));
        lag.note_read(0, Some(3));
        assert_eq!(lag.unread_since(), Some(3));
    }

    #[test]
    fn a_partition_that_was_taken_from_the_client_is_not_known_to_be_at_its_end() {
        let mut lag = at_end();
        lag.set_time(120);
        lag.note_interrupted(0);
        assert_eq!(lag.unread_since(), Some(100));
        lag.note_end(0);
        assert_eq!(lag.unread_since(), None);
    }
}
