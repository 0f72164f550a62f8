//! What a task tells of its flow: readiness, and a metric for each partition that is blocked.

use std::collections::BTreeSet;

use metrics::gauge;

use crate::health::Part;
use crate::kafka::Blocked;

/// The names of a service's metrics of blocked partitions.
#[derive(Debug, Clone, Copy)]
pub struct FlowMetrics {
    /// 1 while a partition is blocked; by topic, partition and reason.
    pub blocked: &'static str,
    /// The offset at which it stands; by topic and partition.
    pub offset: &'static str,
}

/// One task's voice about its flow.
pub struct Flow {
    part: Part,
    metrics: FlowMetrics,
    /// The labels of what is blocked now.
    shown: BTreeSet<Labels>,
}

/// Topic, partition and reason.
type Labels = (String, String, &'static str);

impl Flow {
    /// Nothing is blocked yet.
    pub fn new(part: Part, metrics: FlowMetrics) -> Self {
        Self {
            part,
            metrics,
            shown: BTreeSet::new(),
        }
    }

    /// Every assigned partition flows or is at its end.
    pub fn flowing(&mut self) {
        self.show(&[]);
        self.part.ready();
    }

    /// These don't, and the others do.
    pub fn blocked(&mut self, blocked: &[Blocked]) {
        self.show(blocked);
        let sentences: Vec<_> = blocked.iter().map(ToString::to_string).collect();
        self.part.not_ready(sentences.join("; "));
    }

    /// None does, for this reason.
    pub fn standing(&self, reason: &str) {
        self.part.not_ready(reason);
    }

    fn show(&mut self, blocked: &[Blocked]) {
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
                gauge!(self.metrics.offset, "topic" => topic, "partition" => partition)
                    .set(offset as f64);
            }
        }
        self.shown = now;
    }

    fn set_blocked(&self, (topic, partition, reason): &Labels, is_blocked: bool) {
        gauge!(
            self.metrics.blocked,
            "topic" => topic.clone(), "partition" => partition.clone(), "reason" => *reason
        )
        .set(u8::from(is_blocked));
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
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::health::Health;
    use crate::kafka::Cause;

    #[test]
    fn a_blocked_partition_is_in_the_metrics_and_makes_the_task_not_ready_until_it_flows() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let health = Health::new();
        let mut flow = Flow::new(
            health.part("task-0", "joining"),
            FlowMetrics {
                blocked: "t_blocked",
                offset: "t_blocked_offset",
            },
        );
        let blocked = Blocked {
            topic: "order-status".to_owned(),
            partition: Some(3),
            offset: Some(17),
            cause: Cause::OutOfRange { held: None },
        };
        metrics::with_local_recorder(&recorder, || {
            flow.blocked(&[blocked]);
            assert!(!health.is_ready());
            let shown = metrics.render();
            let labels = r#"{topic="order-status",partition="3",reason="out_of_range"}"#;
            assert!(shown.contains(&format!("t_blocked{labels} 1")), "{shown}");
            let place = r#"{topic="order-status",partition="3"}"#;
            assert!(
                shown.contains(&format!("t_blocked_offset{place} 17")),
                "{shown}"
            );
            flow.flowing();
            assert!(health.is_ready());
            let shown = metrics.render();
            assert!(shown.contains(&format!("t_blocked{labels} 0")), "{shown}");
        });
    }
}
