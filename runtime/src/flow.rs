//! What a task reports about its flow of records: readiness, and the metrics of what blocks it.

use std::collections::BTreeSet;

use metrics::{Counter, Gauge, counter, gauge};

use crate::group_lag::TaskLag;
use crate::health::Part;
use crate::kafka::Blocked;
use crate::metrics::Count;
use crate::refusals::Refusal;

/// Watches a task's flow of records. Never changes what the task does.
pub trait FlowObserver {
    /// Reports that `partitions` partitions are assigned. The first call says that the task has joined its
    /// group.
    fn assigned(&mut self, partitions: usize) {
        let _ = partitions;
    }

    /// Reports that every assigned partition is read, or was read to its end.
    fn healthy(&mut self) {}

    /// Reports that these partitions are blocked, and all others are read.
    fn partitions_blocked(&mut self, blocked: &[Blocked]) {
        let _ = blocked;
    }

    /// Reports that no partition is read, for this reason.
    fn blocked(&mut self, reason: &str) {
        let _ = reason;
    }

    /// Reports that the circuit breaker has opened, for this reason. It counts as closed once partitions
    /// are read again, or are blocked for another reason.
    fn circuit_opened(&mut self, reason: &str) {
        let _ = reason;
    }

    /// Reports that the broker refused to write this number of records.
    fn refused(&mut self, records: usize, refusal: Refusal) {
        let _ = (records, refusal);
    }

    /// Reports an event that a counter counts. Such events are rarer than records.
    fn count(&mut self, count: Count) {
        let _ = count;
    }

    /// Reports the timestamp of the oldest record whose outcome is not durable, in milliseconds since the
    /// epoch; `None` when every outcome is. Called after every step of the loop.
    fn unsettled_since(&mut self, timestamp: Option<i64>) {
        let _ = timestamp;
    }
}

/// The names of the metrics that a service has for its flow.
#[derive(Debug, Clone, Copy)]
pub struct FlowMetrics {
    /// The number of assigned partitions; by task.
    pub partitions: &'static str,
    /// 1 while the circuit breaker is open; by task.
    pub circuit_open: &'static str,
    /// Records that the broker refused to write; by outcome.
    pub refused: &'static str,
    /// 1 while a partition is blocked; by topic, partition and reason.
    pub blocked: &'static str,
    /// The offset at which it is blocked; by topic and partition.
    pub blocked_offset: &'static str,
}

/// Reports one task's flow to `/readyz` and to the metrics.
pub struct FlowMonitor {
    part: Part,
    lag: TaskLag,
    names: FlowMetrics,
    partitions: Gauge,
    circuit_open: Gauge,
    reduced: Counter,
    refused: Counter,
    /// The labels of the partitions that are shown as blocked.
    shown: BTreeSet<Labels>,
}

/// Topic, partition and reason.
type Labels = (String, String, &'static str);

impl FlowMonitor {
    /// Reports the task of this number as `part`, and how far it is behind as `lag`. Nothing is blocked
    /// yet.
    pub fn new(part: Part, lag: TaskLag, task: u16, names: FlowMetrics) -> Self {
        let task = task.to_string();
        Self {
            part,
            lag,
            names,
            partitions: gauge!(names.partitions, "task" => task.clone()),
            circuit_open: gauge!(names.circuit_open, "task" => task),
            reduced: counter!(names.refused, "outcome" => "reduced"),
            refused: counter!(names.refused, "outcome" => "blocked"),
            shown: BTreeSet::new(),
        }
    }

    fn show(&mut self, blocked: &[Blocked]) {
        self.circuit_open.set(0);
        if blocked.is_empty() && self.shown.is_empty() {
            return;
        }
        let now: BTreeSet<_> = blocked.iter().map(labels).collect();
        for labels in self.shown.difference(&now) {
            self.set_blocked(labels, false);
        }
        for (labels, one) in blocked.iter().map(|one| (labels(one), one)) {
            self.set_blocked(&labels, true);
            if let Some(offset) = one.offset {
                let (topic, partition, _) = labels;
                gauge!(self.names.blocked_offset, "topic" => topic, "partition" => partition)
                    .set(offset as f64);
            }
        }
        self.shown = now;
    }

    fn set_blocked(&self, (topic, partition, reason): &Labels, is_blocked: bool) {
        gauge!(
            self.names.blocked,
            "topic" => topic.clone(), "partition" => partition.clone(), "reason" => *reason
        )
        .set(u8::from(is_blocked));
    }
}

impl FlowObserver for FlowMonitor {
    fn assigned(&mut self, partitions: usize) {
        self.partitions
            .set(u32::try_from(partitions).unwrap_or(u32::MAX));
    }

    fn healthy(&mut self) {
        self.show(&[]);
        self.part.ready();
    }

    fn partitions_blocked(&mut self, blocked: &[Blocked]) {
        self.show(blocked);
        let sentences: Vec<_> = blocked.iter().map(ToString::to_string).collect();
        self.part.not_ready(sentences.join("; "));
    }

    fn blocked(&mut self, reason: &str) {
        // The task is blocked for another reason than the circuit breaker, whose pause is therefore over.
        self.circuit_open.set(0);
        self.part.not_ready(reason);
    }

    fn circuit_opened(&mut self, reason: &str) {
        self.circuit_open.set(1);
        self.part.not_ready(reason);
    }

    fn refused(&mut self, records: usize, refusal: Refusal) {
        match refusal {
            Refusal::Reduced => &self.reduced,
            Refusal::Blocked => &self.refused,
        }
        .increment(records as u64);
    }

    fn count(&mut self, count: Count) {
        count.record();
    }

    fn unsettled_since(&mut self, timestamp: Option<i64>) {
        self.lag.set(timestamp);
    }
}

fn labels(blocked: &Blocked) -> Labels {
    let partition = blocked
        .partition
        .map_or_else(|| "all".to_owned(), |partition| partition.to_string());
    (blocked.topic.clone(), partition, blocked.cause.as_str())
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

    use super::*;
    use crate::group_lag::GroupLags;
    use crate::health::Health;
    use crate::kafka::Cause;

    const NAMES: FlowMetrics = FlowMetrics {
        partitions: "t_partitions",
        circuit_open: "t_circuit_open",
        refused: "t_refused",
        blocked: "t_blocked",
        blocked_offset: "t_blocked_offset",
    };

    fn lag() -> TaskLag {
        GroupLags::default().add("processor", "order-status").task()
    }

    fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        (recorder, metrics)
    }

    fn assert_shown(metrics: &PrometheusHandle, line: &str) {
        let shown = metrics.render();
        assert!(shown.contains(line), "{line} in {shown}");
    }

    #[test]
    fn an_open_circuit_is_in_the_metrics_until_the_task_is_blocked_for_another_reason() {
        let (recorder, metrics) = recorder();
        metrics::with_local_recorder(&recorder, || {
            let part = Health::new().part("task-0", "joining");
            let mut monitor = FlowMonitor::new(part, lag(), 0, NAMES);
            monitor.circuit_opened("too many dead letters");
            assert_shown(&metrics, "t_circuit_open{task=\"0\"} 1");
            monitor.blocked("waiting for the broker");
            assert_shown(&metrics, "t_circuit_open{task=\"0\"} 0");
        });
    }

    #[test]
    fn a_blocked_partition_is_in_the_metrics_and_makes_the_task_not_ready_until_it_is_read() {
        let (recorder, metrics) = recorder();
        let health = Health::new();
        let blocked = Blocked {
            topic: "order-status".to_owned(),
            partition: Some(3),
            offset: Some(17),
            cause: Cause::OutOfRange { held: None },
        };
        metrics::with_local_recorder(&recorder, || {
            let mut flow = FlowMonitor::new(health.part("task-0", "joining"), lag(), 0, NAMES);
            flow.partitions_blocked(&[blocked]);
            assert!(!health.is_ready());
            let labels = r#"{topic="order-status",partition="3",reason="out_of_range"}"#;
            assert_shown(&metrics, &format!("t_blocked{labels} 1"));
            let place = r#"{topic="order-status",partition="3"}"#;
            assert_shown(&metrics, &format!("t_blocked_offset{place} 17"));
            flow.healthy();
            assert!(health.is_ready());
            assert_shown(&metrics, &format!("t_blocked{labels} 0"));
        });
    }

    #[test]
    fn an_open_circuit_is_shown_until_partitions_are_read_again() {
        let (recorder, metrics) = recorder();
        let health = Health::new();
        metrics::with_local_recorder(&recorder, || {
            let mut flow = FlowMonitor::new(health.part("task-2", "joining"), lag(), 2, NAMES);
            flow.circuit_opened("too many dead letters");
            assert!(!health.is_ready());
            assert_shown(&metrics, r#"t_circuit_open{task="2"} 1"#);
            flow.healthy();
            assert!(health.is_ready());
            assert_shown(&metrics, r#"t_circuit_open{task="2"} 0"#);
        });
    }
}
