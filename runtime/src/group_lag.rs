//! The lag of a consumer group in seconds: how old the oldest record is that is not settled.
//!
//! A task only says since when it has unsettled records. Their age is computed when the metrics are
//! read, so it grows while a task waits, and no task reads a clock for it. The metric has one value for
//! all tasks of the process, that of the task which is furthest behind.
//!
//! A service that has not said anything yet may be behind by any amount, such as one that waits for the
//! registry or for a right since it was started. It is behind since its start at least, so its lag grows
//! from then on: a lag of 0 would silence the alerts.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Gauge, gauge};

use crate::clock::{age_of, unix_millis};
use crate::metrics::CONSUMER_LAG_SECONDS;

/// The lags of all groups that the process reads as. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct GroupLags(Arc<Mutex<Vec<GroupLag>>>);

impl GroupLags {
    /// Adds the lag of `group` on `topic` to the metrics. Until a task says more, it is the time since this
    /// call.
    pub fn add(&self, group: &str, topic: &str) -> GroupLag {
        self.add_at(unix_millis(), group, topic)
    }

    fn add_at(&self, began: i64, group: &str, topic: &str) -> GroupLag {
        let lag = GroupLag(Arc::new(Shared {
            seconds: gauge!(
                CONSUMER_LAG_SECONDS,
                "group" => group.to_owned(), "topic" => topic.to_owned()
            ),
            began,
            tasks: Mutex::default(),
        }));
        lock(&self.0).push(lag.clone());
        lag
    }

    /// Brings the metrics up to date, before they are read.
    pub fn update(&self) {
        let now = unix_millis();
        for lag in lock(&self.0).iter() {
            lag.0.seconds.set(lag.age(now));
        }
    }
}

/// The lag of one group on one topic. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GroupLag(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seconds: Gauge,
    /// When the service began to wait for its first task, in milliseconds since the epoch.
    began: i64,
    /// The oldest timestamp of each task.
    tasks: Mutex<Vec<Arc<AtomicI64>>>,
}

/// The timestamp of a task whose records are all settled.
const ALL_SETTLED: i64 = i64::MAX;

impl GroupLag {
    /// Adds a task, which has settled nothing yet.
    pub fn task(&self) -> TaskLag {
        let oldest = Arc::new(AtomicI64::new(self.0.began));
        lock(&self.0.tasks).push(Arc::clone(&oldest));
        TaskLag(oldest)
    }

    /// Returns the age of the oldest record that is not settled; zero when all are.
    fn age(&self, now: i64) -> Duration {
        let tasks = lock(&self.0.tasks);
        let oldest = tasks.iter().map(|task| task.load(Ordering::Relaxed)).min();
        match oldest.unwrap_or(self.0.began) {
            ALL_SETTLED => Duration::ZERO,
            oldest => age_of(oldest, now),
        }
    }
}

/// What one task contributes to the lag of its group.
#[derive(Debug)]
pub struct TaskLag(Arc<AtomicI64>);

impl TaskLag {
    /// Sets the timestamp of the task's oldest record that is not settled, in milliseconds since the
    /// epoch; `None` when all are.
    pub fn set(&self, oldest: Option<i64>) {
        self.0
            .store(oldest.unwrap_or(ALL_SETTLED), Ordering::Relaxed);
    }
}

/// Ignores poisoning: the data stays valid when a thread panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn the_lag_is_that_of_the_task_that_is_furthest_behind() {
        let lag = GroupLags::default().add_at(2_000, "processor", "order-status");
        let (one, other) = (lag.task(), lag.task());
        one.set(Some(8_000));
        other.set(Some(5_000));
        assert_eq!(lag.age(9_000), Duration::from_secs(4));
        assert_eq!(lag.age(9_500), Duration::from_millis(4_500), "it grows");
        other.set(None);
        assert_eq!(lag.age(9_000), Duration::from_secs(1));
        one.set(None);
        assert_eq!(lag.age(9_000), Duration::ZERO);
    }

    #[test]
    fn what_has_read_nothing_yet_is_behind_since_it_began() {
        let lag = GroupLags::default().add_at(2_000, "processor", "order-status");
        assert_eq!(lag.age(9_000), Duration::from_secs(7), "there is no task");
        let (one, other) = (lag.task(), lag.task());
        one.set(None);
        assert_eq!(lag.age(9_000), Duration::from_secs(7), "the other task");
        other.set(None);
        assert_eq!(lag.age(9_000), Duration::ZERO);
    }

    #[test]
    fn the_metric_says_group_and_topic_and_is_brought_up_to_date() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let lags = GroupLags::default();
            let task = lags.add("sink", "vouchers").task();
            task.set(None);
            lags.update();
            let series = r#"checkout_consumer_lag_seconds{group="sink",topic="vouchers"}"#;
            let shown = metrics.render();
            assert!(shown.contains(&format!("{series} 0\n")), "{shown}");
            task.set(Some(0));
            lags.update();
            let shown = metrics.render();
            assert!(!shown.contains(&format!("{series} 0\n")), "{shown}");
        });
    }
}
