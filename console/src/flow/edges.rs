//! What moves between the places of the path.

use super::recent::{Latency, Recent, rounded};
use super::{Edge, NodeId};
use crate::scrape::{Counter, Gauge, Histogram, Service};

/// Returns the edges in the order of the path.
pub(super) fn edges(recent: &Recent<'_>) -> Vec<Edge> {
    use Service::{Processor, Producer, Sink};
    let rate = |service, counters: &[Counter]| recent.rate(service, counters);
    let all = vec![
        Edge {
            rate_per_second: rate(Producer, &[Counter::OrderChanges]),
            ..edge("ingress-outbox", NodeId::Ingress, NodeId::Outbox)
        }
        .with(recent.latency(Producer, Histogram::OrderRequests)),
        Edge {
            rate_per_second: rate(Producer, &[Counter::Published]),
            // Every instance measures the same outbox.
            lag_records: recent.max(Producer, Gauge::OutboxRows).map(whole),
            lag_seconds: recent.max(Producer, Gauge::OutboxOldest).map(rounded),
            ..edge("outbox-order-status", NodeId::Outbox, NodeId::OrderStatus)
        },
        consumed(
            recent,
            Processor,
            &[
                Counter::Vouchers,
                Counter::Skipped,
                Counter::StatusDeadLetters,
            ],
            edge(
                "order-status-processor",
                NodeId::OrderStatus,
                NodeId::Processor,
            ),
        )
        .with(recent.latency(Processor, Histogram::Transaction)),
        Edge {
            rate_per_second: rate(Processor, &[Counter::Vouchers]),
            ..edge("processor-vouchers", NodeId::Processor, NodeId::Vouchers)
        }
        .with(recent.latency(Processor, Histogram::OrderToVoucher)),
        Edge {
            rate_per_second: rate(Processor, &[Counter::StatusDeadLetters]),
            ..edge(
                "processor-dlq",
                NodeId::Processor,
                NodeId::OrderStatusDeadLetters,
            )
        },
        consumed(
            recent,
            Sink,
            &[
                Counter::Inserted,
                Counter::Existing,
                Counter::Different,
                Counter::Tombstones,
                Counter::VoucherDeadLetters,
            ],
            edge("vouchers-sink", NodeId::Vouchers, NodeId::Sink),
        )
        .with(recent.latency(Sink, Histogram::Batch)),
        Edge {
            // Rows that existed are written once more by a statement that changes nothing.
            rate_per_second: rate(
                Sink,
                &[Counter::Inserted, Counter::Existing, Counter::Different],
            ),
            ..edge("sink-postgres", NodeId::Sink, NodeId::Postgres)
        }
        .with(recent.latency(Sink, Histogram::VoucherToRow)),
        Edge {
            rate_per_second: rate(Sink, &[Counter::VoucherDeadLetters]),
            ..edge("sink-dlq", NodeId::Sink, NodeId::VoucherDeadLetters)
        },
    ];
    // What was within the last minute is not now.
    let is_current = |edge: &Edge| recent.has_data(edge.from.source());
    all.into_iter()
        .map(|one| match is_current(&one) {
            true => one,
            false => edge(one.id, one.from, one.to),
        })
        .collect()
}

/// Returns the edge from a topic to its consumer.
fn consumed(recent: &Recent<'_>, service: Service, counters: &[Counter], edge: Edge) -> Edge {
    Edge {
        rate_per_second: recent.rate(service, counters),
        lag_records: recent.sum(service, Gauge::LagRecords).map(whole),
        lag_seconds: recent.lag(service).map(rounded),
        ..edge
    }
}

/// Returns an edge of which nothing is known.
const fn edge(id: &'static str, from: NodeId, to: NodeId) -> Edge {
    Edge {
        id,
        from,
        to,
        rate_per_second: None,
        lag_records: None,
        lag_seconds: None,
        p50_millis: None,
        p99_millis: None,
    }
}

impl Edge {
    fn with(self, latency: Latency) -> Self {
        Self {
            p50_millis: latency.p50,
            p99_millis: latency.p99,
            ..self
        }
    }
}

/// Returns a count that a gauge has. Exact to 2^53.
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OTHER_PROCESSOR, PROCESSOR, PRODUCER, Rounds, SINK};
    use super::*;
    use crate::scrape::examples;

    fn of<'a>(edges: &'a [Edge], id: &str) -> &'a Edge {
        edges.iter().find(|edge| edge.id == id).unwrap()
    }

    #[test]
    fn the_edges_follow_the_path() {
        let edges = edges(&Recent::of(Rounds::default().window()));
        let ids: Vec<_> = edges.iter().map(|edge| edge.id).collect();
        assert_eq!(
            ids,
            [
                "ingress-outbox",
                "outbox-order-status",
                "order-status-processor",
                "processor-vouchers",
                "processor-dlq",
                "vouchers-sink",
                "sink-postgres",
                "sink-dlq",
            ]
        );
    }

    #[test]
    fn what_services_answer_becomes_rates_lags_and_latencies() {
        let mut rounds = Rounds::default();
        for metrics in ["", examples::PRODUCER] {
            rounds.ready(PRODUCER, metrics).end_round();
        }
        let edges = edges(&Recent::of(rounds.window()));
        let accepted = of(&edges, "ingress-outbox");
        assert_eq!(accepted.rate_per_second, Some(1854.0));
        assert_eq!(accepted.lag_records, None);
        // 900 of the 1,850 requests took 5 ms or less, and 1,835 took 10 ms or less.
        assert_eq!(accepted.p50_millis, Some(5.13));
        assert_eq!(accepted.p99_millis, Some(9.98));
        let published = of(&edges, "outbox-order-status");
        assert_eq!(published.rate_per_second, Some(1850.0));
        assert_eq!(published.lag_records, Some(4));
        assert_eq!(published.lag_seconds, Some(0.5));
        // No processor and no sink has answered.
        assert_eq!(of(&edges, "processor-dlq").rate_per_second, None);
        assert_eq!(of(&edges, "sink-postgres").rate_per_second, None);
    }

    #[test]
    fn every_outcome_of_a_record_is_read_from_the_topic() {
        let mut rounds = Rounds::default();
        for (processor, sink) in [("", ""), (examples::PROCESSOR, examples::SINK)] {
            rounds.ready(PROCESSOR, processor).ready(SINK, sink);
            rounds.end_round();
        }
        let edges = edges(&Recent::of(rounds.window()));
        let rate = |id| of(&edges, id).rate_per_second;
        assert_eq!(rate("order-status-processor"), Some(1857.0));
        assert_eq!(rate("processor-vouchers"), Some(553.0));
        assert_eq!(rate("processor-dlq"), Some(3.0));
        assert_eq!(rate("vouchers-sink"), Some(556.0));
        assert_eq!(rate("sink-postgres"), Some(556.0));
        assert_eq!(rate("sink-dlq"), Some(0.0));
        // A sink at the end of its topic has a lag of 0, which is known.
        assert_eq!(of(&edges, "vouchers-sink").lag_records, Some(0));
        assert_eq!(of(&edges, "vouchers-sink").lag_seconds, Some(0.0));
    }

    #[test]
    fn the_lag_is_the_sum_of_records_and_the_greatest_age() {
        let lag = |records: u64, seconds: f64| {
            format!(
                "checkout_consumer_lag_records{{group=\"g\",topic=\"t\",partition=\"0\"}} {records}\n\
                 checkout_consumer_lag_seconds{{group=\"g\",topic=\"t\"}} {seconds}\n\
                 checkout_processor_partitions{{task=\"0\"}} 2\n"
            )
        };
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, &lag(7, 1.5));
        rounds.ready(OTHER_PROCESSOR, &lag(3, 0.5));
        let edges = edges(&Recent::of(rounds.window()));
        let consumed = of(&edges, "order-status-processor");
        assert_eq!(consumed.lag_records, Some(10));
        assert_eq!(consumed.lag_seconds, Some(1.5));
    }

    #[test]
    fn an_instance_that_waits_since_its_start_holds_nobody_up() {
        let lag = |seconds: u32, partitions: u32| {
            format!(
                "checkout_consumer_lag_seconds{{group=\"g\",topic=\"t\"}} {seconds}\n\
                 checkout_processor_partitions{{task=\"0\"}} {partitions}\n"
            )
        };
        let lag_of = |owned| {
            let mut rounds = Rounds::default();
            rounds.ready(PROCESSOR, &lag(1, owned));
            rounds.ready(OTHER_PROCESSOR, &lag(900, 0));
            let edges = edges(&Recent::of(rounds.window()));
            of(&edges, "order-status-processor").lag_seconds
        };
        assert_eq!(lag_of(4), Some(1.0));
        assert_eq!(lag_of(0), Some(1.0), "nobody reads since then");
    }

    #[test]
    fn outboxes_of_one_database_are_counted_once() {
        let mut rounds = Rounds::default();
        let other = (Service::Producer, "127.0.0.1:54323");
        rounds.ready(PRODUCER, "checkout_producer_outbox_rows 40\n");
        rounds.ready(other, "checkout_producer_outbox_rows 38\n");
        let edges = edges(&Recent::of(rounds.window()));
        assert_eq!(of(&edges, "outbox-order-status").lag_records, Some(40));
    }
}
