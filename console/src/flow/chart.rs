//! The series that charts show, and their last minutes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Edge, Flow, recent, rfc3339};

/// The last minutes of what charts show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// Time between two values of a series.
    pub step_seconds: u32,
    /// The time of the last value of each series.
    #[serde(serialize_with = "rfc3339")]
    pub until: DateTime<Utc>,
    /// Values by the name of the series, oldest first, all of one length; `None` is a gap.
    pub series: BTreeMap<&'static str, Vec<Option<f32>>>,
}

/// What a flow says of a series.
type Value = fn(&Flow) -> Option<f64>;

/// The series of a [`History`] by name.
const SERIES: [(&str, Value); 12] = [
    ("ingress-outbox.rate", |flow| rate(flow, "ingress-outbox")),
    ("order-status-processor.rate", |flow| {
        rate(flow, "order-status-processor")
    }),
    ("order-status-processor.lag_records", |flow| {
        records(flow, "order-status-processor")
    }),
    ("order-status-processor.lag_seconds", |flow| {
        seconds(flow, "order-status-processor")
    }),
    ("vouchers-sink.rate", |flow| rate(flow, "vouchers-sink")),
    ("vouchers-sink.lag_records", |flow| {
        records(flow, "vouchers-sink")
    }),
    ("vouchers-sink.lag_seconds", |flow| {
        seconds(flow, "vouchers-sink")
    }),
    ("ingress.p99_millis", |flow| p99(flow, "ingress-outbox")),
    ("processor.p99_millis", |flow| {
        p99(flow, "processor-vouchers")
    }),
    ("sink.p99_millis", |flow| p99(flow, "sink-postgres")),
    ("dead_letters.rate", |flow| {
        recent::sum([rate(flow, "processor-dlq"), rate(flow, "sink-dlq")])
    }),
    ("outbox.rows", |flow| records(flow, "outbox-order-status")),
];

/// One value of each series. Single precision is enough for a chart.
pub(crate) type ChartValues = [Option<f32>; SERIES.len()];

/// Returns the names of the series, in the order of [`ChartValues`].
pub(crate) fn series_names() -> [&'static str; SERIES.len()] {
    SERIES.map(|(name, _)| name)
}

impl Flow {
    /// Returns what charts show of this flow.
    pub(crate) fn chart_values(&self) -> ChartValues {
        SERIES.map(|(_, value)| value(self).map(|value| value as f32))
    }
}

fn rate(flow: &Flow, id: &str) -> Option<f64> {
    edge(flow, id)?.rate_per_second
}

fn records(flow: &Flow, id: &str) -> Option<f64> {
    edge(flow, id)?.lag_records.map(|records| records as f64)
}

fn seconds(flow: &Flow, id: &str) -> Option<f64> {
    edge(flow, id)?.lag_seconds
}

fn p99(flow: &Flow, id: &str) -> Option<f64> {
    edge(flow, id)?.p99_millis
}

fn edge<'a>(flow: &'a Flow, id: &str) -> Option<&'a Edge> {
    flow.edges.iter().find(|edge| edge.id == id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{PROCESSOR, Rounds};
    use super::*;

    #[test]
    fn every_series_is_a_number_of_edges_that_exist() {
        let mut flow = Rounds::default().flow();
        for edge in &mut flow.edges {
            edge.rate_per_second = Some(1.0);
            edge.lag_records = Some(2);
            edge.lag_seconds = Some(3.0);
            edge.p99_millis = Some(4.0);
        }
        for (name, value) in series_names().into_iter().zip(flow.chart_values()) {
            let expected = match name.rsplit_once('.') {
                // Those of two edges.
                Some(("dead_letters", "rate")) => 2.0,
                Some((_, "rate")) => 1.0,
                Some((_, "lag_records" | "rows")) => 2.0,
                Some((_, "lag_seconds")) => 3.0,
                Some((_, "p99_millis")) => 4.0,
                _ => panic!("{name}"),
            };
            assert_eq!(value, Some(expected), "{name}");
        }
    }

    #[test]
    fn charts_show_what_the_edges_say() {
        let mut rounds = Rounds::default();
        rounds.ready(
            PROCESSOR,
            "checkout_processor_records_total{outcome=\"dead_letter\"} 1\n",
        );
        rounds.end_round().ready(
            PROCESSOR,
            "checkout_processor_records_total{outcome=\"dead_letter\"} 4\n",
        );
        let values = rounds.flow().chart_values();
        let named: BTreeMap<_, _> = series_names().into_iter().zip(values).collect();
        assert_eq!(named["order-status-processor.rate"], Some(3.0));
        assert_eq!(named["dead_letters.rate"], Some(3.0));
        assert_eq!(named["vouchers-sink.rate"], None);
    }

    #[test]
    fn a_history_is_json_with_gaps() {
        let history = History {
            step_seconds: 1,
            until: DateTime::UNIX_EPOCH,
            series: BTreeMap::from([("outbox.rows", vec![None, Some(2.5)])]),
        };
        assert_eq!(
            serde_json::to_value(history).unwrap(),
            json!({
                "step_seconds": 1, "until": "1970-01-01T00:00:00.000Z",
                "series": {"outbox.rows": [null, 2.5]},
            })
        );
    }
}
