//! What was scraped, as a picture of the flow: a pure function of the rounds of the last minute.
//!
//! | module | what is in it |
//! |---|---|
//! | `recent` | rates, increases, latencies and gauges of a service, over all of its instances |
//! | `latency` | percentiles from buckets |
//! | `nodes`, `edges` | how each place is, and what moves between them |
//! | `chart` | the series that charts show |
//! | `open` | how many dead letters are open, which no metric says |
//! | `warnings` | what is wrong, worst first, and each cause once |
//! | `text` | numbers and lists in sentences |
//!
//! Nothing is invented: a number that is not known is `None`, and not 0.

mod chart;
mod edges;
mod latency;
mod nodes;
mod open;
mod recent;
#[cfg(test)]
mod testing;
mod text;
mod warnings;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::scrape::{Service, Window};
use recent::Recent;

pub use chart::History;
pub(crate) use chart::{ChartValues, series_names};
pub(crate) use open::OpenDeadLetters;

/// The flow at one time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flow {
    /// When the services were asked.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    /// Whether nobody has asked the services for a while.
    pub stale: bool,
    /// The places of the path, in its order.
    pub nodes: Vec<Node>,
    /// What moves between them.
    pub edges: Vec<Edge>,
    /// What is wrong, worst first.
    pub warnings: Vec<Warning>,
}

/// A place of the path, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeId {
    /// The HTTP ingress.
    Ingress,
    /// Events that are committed and not published yet.
    Outbox,
    /// The topic of order statuses.
    OrderStatus,
    /// The processor.
    Processor,
    /// The topic of the processor's dead letters.
    #[serde(rename = "order-status.dlq")]
    OrderStatusDeadLetters,
    /// The topic of vouchers.
    Vouchers,
    /// The sink.
    Sink,
    /// The table of vouchers.
    Postgres,
    /// The topic of the sink's dead letters.
    #[serde(rename = "vouchers.dlq")]
    VoucherDeadLetters,
}

/// What a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Processes of this product.
    Service,
    /// A topic of Kafka.
    Topic,
    /// A table of Postgres.
    Table,
    /// A topic of dead letters.
    DeadLetters,
}

/// How something is; the greater, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nobody says.
    Unknown,
    /// It can do its work.
    Ready,
    /// It can do its work, and something is worth a look.
    Degraded,
    /// It cannot do its work.
    NotReady,
    /// It gives no answer.
    Unreachable,
}

/// A place of the path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Which place.
    pub id: NodeId,
    /// Its name for people.
    pub label: String,
    /// What it is.
    pub kind: NodeKind,
    /// The worst state of its instances, or what the services say of a topic or a table.
    pub state: State,
    /// Why, unless it is ready.
    pub sentence: Option<String>,
    /// The processes of a service.
    pub instances: Vec<Instance>,
    /// A few numbers, the most useful one first; none while [`no_data_since`](Self::no_data_since) is set.
    pub figures: Vec<Figure>,
    /// When the service that says how it is was last heard, while no instance of it answers.
    #[serde(serialize_with = "rfc3339_if_any")]
    pub no_data_since: Option<DateTime<Utc>>,
}

/// One process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Host and port.
    pub address: String,
    /// Its worst part, or that it gives no answer.
    pub state: State,
    /// Why, unless it is ready.
    pub sentence: Option<String>,
    /// Its parts by name, as `/readyz` has them.
    pub parts: Vec<Part>,
}

/// A part of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name, such as `task-0`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Why, unless it is ready.
    pub sentence: Option<String>,
}

/// A number with its meaning, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// What it counts.
    pub label: &'static str,
    /// The number, with its unit.
    pub value: String,
}

/// What moves between two places. Numbers that are not known are `None`, as all are while no instance of
/// the service at one of its ends answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    /// Its name.
    pub id: &'static str,
    /// Where it begins.
    pub from: NodeId,
    /// Where it ends.
    pub to: NodeId,
    /// Records, rows or requests a second, over the last 10 seconds.
    pub rate_per_second: Option<f64>,
    /// Records that wait at its beginning.
    pub lag_records: Option<u64>,
    /// Age of the oldest of them, in seconds; 0 when none waits.
    pub lag_seconds: Option<f64>,
    /// The median duration, over the last minute, in milliseconds.
    pub p50_millis: Option<f64>,
    /// The 99th percentile, likewise.
    pub p99_millis: Option<f64>,
}

/// How urgent a warning is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something does not do its work.
    Critical,
    /// Something will not, or some records are affected.
    Warning,
    /// Worth knowing.
    Info,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// How urgent it is.
    pub severity: Severity,
    /// The place that it concerns.
    pub node: NodeId,
    /// A sentence that says what is wrong, and what to do where that is known.
    pub text: String,
    /// The section of the documentation on it.
    pub help: Option<&'static str>,
}

impl Flow {
    /// Returns the flow at `at`, the time of the last round of `window`. `services` are those whose
    /// instances are known to the console.
    pub(crate) fn of(
        window: &Window,
        services: &[Service],
        open: OpenDeadLetters,
        at: DateTime<Utc>,
    ) -> Self {
        let recent = Recent::of(window);
        Self {
            at,
            stale: window.is_empty(),
            nodes: nodes::nodes(&recent, services),
            edges: edges::edges(&recent),
            warnings: warnings::warnings(&recent, services, open),
        }
    }
}

impl NodeId {
    /// Returns the place of a service.
    pub(crate) const fn of(service: Service) -> Self {
        match service {
            Service::Producer => Self::Ingress,
            Service::Processor => Self::Processor,
            Service::Sink => Self::Sink,
        }
    }

    /// Returns the place of a service's dead letters. The ingress has none.
    pub(crate) const fn of_dead_letters(service: Service) -> Option<Self> {
        match service {
            Service::Producer => None,
            Service::Processor => Some(Self::OrderStatusDeadLetters),
            Service::Sink => Some(Self::VoucherDeadLetters),
        }
    }

    /// Returns the service that says how the place is.
    const fn source(self) -> Service {
        match self {
            Self::Ingress | Self::Outbox => Service::Producer,
            Self::OrderStatus | Self::Processor | Self::OrderStatusDeadLetters => {
                Service::Processor
            }
            Self::Vouchers | Self::Sink | Self::Postgres | Self::VoucherDeadLetters => {
                Service::Sink
            }
        }
    }
}

fn rfc3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn rfc3339_if_any<S: Serializer>(
    at: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::{PROCESSOR, PRODUCER, Rounds, SINK};
    use super::*;

    #[test]
    fn a_flow_without_a_scrape_is_unknown_and_stale() {
        let (window, open) = (Window::default(), OpenDeadLetters::default());
        let flow = Flow::of(&window, &Service::ALL, open, DateTime::UNIX_EPOCH);
        assert!(flow.stale);
        assert!(flow.warnings.is_empty());
        assert_eq!((flow.nodes.len(), flow.edges.len()), (9, 8));
        assert!(flow.nodes.iter().all(|node| node.state == State::Unknown));
        assert!(flow.edges.iter().all(|edge| edge.rate_per_second.is_none()));
        assert!(flow.chart_values().iter().all(Option::is_none));
    }

    #[test]
    fn the_json_is_that_of_the_api() {
        let mut rounds = Rounds::default();
        rounds.ready(PRODUCER, "").ready(SINK, "");
        rounds.ready(
            PROCESSOR,
            "checkout_processor_records_total{outcome=\"voucher\"} 100\n",
        );
        rounds.end_round().ready(PRODUCER, "").ready(SINK, "");
        rounds.not_ready(
            PROCESSOR,
            r#"{"task-0":"not ready: paused: 612 of the last 1000 records are dead letters"}"#,
            "checkout_processor_records_total{outcome=\"voucher\"} 150\n\
             checkout_consumer_lag_records{group=\"g\",topic=\"order-status\",partition=\"0\"} 7\n\
             checkout_consumer_lag_seconds{group=\"g\",topic=\"order-status\"} 1.25\n",
        );
        let flow = serde_json::to_value(rounds.flow()).unwrap();
        assert_eq!(flow["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(flow["stale"], false);
        let node = &flow["nodes"][3];
        assert_eq!(node["id"], "processor");
        assert_eq!(node["kind"], "service");
        assert_eq!(node["state"], "not-ready");
        assert_eq!(node["instances"][0]["parts"][0]["name"], "task-0");
        assert_eq!(node["instances"][0]["parts"][0]["state"], "not-ready");
        assert_eq!(flow["nodes"][4]["id"], "order-status.dlq");
        assert_eq!(flow["nodes"][4]["kind"], "dead-letters");
        assert_eq!(
            flow["edges"][2],
            json!({
                "id": "order-status-processor", "from": "order-status", "to": "processor",
                "rate_per_second": 50.0, "lag_records": 7, "lag_seconds": 1.25,
                "p50_millis": null, "p99_millis": null,
            })
        );
        assert_eq!(
            flow["warnings"][0],
            json!({
                "severity": "critical", "node": "processor",
                "text": "The processor is paused: 612 of the last 1000 records are dead letters",
                "help": "docs/troubleshooting.md#the-circuit-breaker-is-open",
            })
        );
    }

    #[test]
    fn a_service_that_has_stopped_has_no_figures_of_now() {
        let processor = |count: u64| {
            format!(
                "checkout_processor_records_total{{outcome=\"voucher\"}} {count}\n\
                 checkout_order_to_voucher_seconds_bucket{{le=\"0.01\"}} {count}\n\
                 checkout_order_to_voucher_seconds_bucket{{le=\"+Inf\"}} {count}\n"
            )
        };
        let mut rounds = Rounds::default();
        for count in [100, 150] {
            rounds.ready(PROCESSOR, &processor(count)).ready(SINK, "");
            rounds.end_round();
        }
        let of = |flow: &Flow, id: &str| {
            let edge = flow.edges.iter().find(|edge| edge.id == id);
            edge.cloned().unwrap()
        };
        let running = rounds.flow();
        let issued = of(&running, "processor-vouchers");
        assert!(issued.rate_per_second.is_some() && issued.p99_millis.is_some());
        assert!(!running.nodes[3].figures.is_empty());
        assert_eq!(running.nodes[3].no_data_since, None);

        rounds.refused(PROCESSOR).ready(SINK, "");
        let missed = rounds.flow();
        assert!(!missed.nodes[3].figures.is_empty(), "one round is missed");
        rounds.end_round();
        rounds.refused(PROCESSOR).ready(SINK, "");
        let flow = rounds.flow();
        for id in [
            "order-status-processor",
            "processor-vouchers",
            "processor-dlq",
        ] {
            let edge = of(&flow, id);
            assert_eq!(edge.rate_per_second, None, "{id}");
            assert_eq!((edge.p50_millis, edge.p99_millis), (None, None), "{id}");
        }
        for node in &flow.nodes[2..=4] {
            assert!(node.figures.is_empty(), "{node:?}");
            let since = DateTime::from_timestamp(1, 0);
            assert_eq!(node.no_data_since, since, "{:?}", node.id);
        }
        let json = serde_json::to_value(&flow).unwrap();
        assert_eq!(
            json["nodes"][3]["no_data_since"],
            "1970-01-01T00:00:01.000Z"
        );
        assert_eq!(json["nodes"][6]["no_data_since"], serde_json::Value::Null);
        assert!(of(&flow, "sink-postgres").rate_per_second.is_some());
        assert_eq!(flow.chart_values()[1], None, "a gap, and no slow end");
    }
}
