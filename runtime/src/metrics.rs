//! Every metric: its name, kind, unit and meaning, in one place.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::lifecycle::Failure;

/// The kinds that Prometheus knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counted in buckets of seconds.
    Seconds,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As Prometheus sees it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, with its labels.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*
        /// All metrics of all services.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, help: $help },)*
        ];
    };
}

metrics! {
    PROCESSOR_RECORDS Counter "processor_records_total"
        "Order statuses whose outcome was committed; outcome: voucher, skipped, dead_letter.";
    PROCESSOR_SKIPPED Counter "processor_skipped_total"
        "Order statuses that earn no voucher, by the first reason: tombstone, status, currency, threshold, campaign_dates.";
    PROCESSOR_DEAD_LETTERS Counter "processor_dead_letters_total"
        "Order statuses that could not be used, by reason.";
    PROCESSOR_TRANSACTIONS Counter "processor_transactions_total"
        "Transactions; outcome: committed, aborted, unknown (settled by the group's offsets).";
    PROCESSOR_TRANSACTION_SECONDS Seconds "processor_transaction_seconds"
        "From the first record of a batch that is to be written to its committed transaction.";
    PROCESSOR_FENCED Counter "processor_fenced_total"
        "Times another producer took over this instance's transactional id.";
    PROCESSOR_CIRCUIT_OPEN Gauge "processor_circuit_open"
        "1 while the flow is paused because too many records are dead letters; by task.";
    PROCESSOR_PARTITIONS Gauge "processor_partitions"
        "Partitions assigned; by task.";
    SINK_ROWS Counter "sink_rows_total"
        "Vouchers whose outcome was committed; outcome: inserted, existing (an echo), different (a row with another code, amount or currency was kept), tombstone, dead_letter.";
    SINK_DEAD_LETTERS Counter "sink_dead_letters_total"
        "Vouchers that could not be written, by reason.";
    SINK_BATCH_SECONDS Seconds "sink_batch_seconds"
        "From the start of a batch's statement to its commit in Postgres.";
    SINK_WRITE_ERRORS Counter "sink_write_errors_total"
        "Statements that failed and were tried again; cause: unavailable, data.";
    SINK_CIRCUIT_OPEN Gauge "sink_circuit_open"
        "1 while the flow is paused because too many vouchers are dead letters; by task.";
    SINK_PARTITIONS Gauge "sink_partitions"
        "Partitions assigned; by task.";
    KAFKA_CALLS_GIVEN_UP Counter "kafka_calls_given_up_total"
        "Calls of the Kafka client library that did not come back in time, so that a new producer took over; by transactional_id.";
    KAFKA_CALLS_ABANDONED Gauge "kafka_calls_abandoned"
        "Calls of these that have not come back since; each keeps a client.";
    HTTP_CONNECTIONS Gauge "http_connections"
        "Connections open.";
    HTTP_CONNECTIONS_FULL Counter "http_connections_full_total"
        "Times as many connections were open as there may be, so that the next one had to wait.";
    HTTP_REQUESTS Counter "producer_http_requests_total"
        "Requests answered; by route, method and status.";
    HTTP_REQUEST_SECONDS Seconds "producer_http_request_seconds"
        "From a request's headers to its answer's; by route and method.";
    RATE_LIMITED Counter "producer_rate_limited_total"
        "Requests and bulk lines refused because the rate of their key was used up; by api_key_id, the first 8 hex digits of the key's SHA-256.";
    API_KEYS Gauge "producer_api_keys"
        "API keys known, as API_KEYS_FILE was last read.";
    INGRESS_GROUP_CHANGES Counter "producer_group_changes_total"
        "Order changes that were committed in groups.";
    INGRESS_GROUPS Counter "producer_groups_total"
        "Groups of order changes; outcome: committed, halved, failed.";
    OUTBOX_ROWS Gauge "producer_outbox_rows"
        "Status events committed and not published yet.";
    RELAY_ACTIVE Gauge "producer_relay_active"
        "1 on the instance whose relay publishes.";
    RELAY_PUBLISHED Counter "producer_relay_published_total"
        "Status events published.";
    RELAY_TRANSACTIONS Counter "producer_relay_transactions_total"
        "The relay's transactions; outcome: committed, failed.";
}

/// Bucket bounds in seconds: from a quick local transaction to an outage.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

/// Installs the process's recorder and describes every metric whose name starts with `service`,
/// or with `http` or `kafka`: those every service has.
///
/// # Errors
/// When a recorder is installed already.
pub fn install(service: &str) -> Result<PrometheusHandle, Failure> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL.iter().filter(|metric| metric.kind == Kind::Seconds) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), BUCKETS)
            .map_err(|error| Failure::failed(format!("metrics: {error}")))?;
    }
    let handle = builder
        .install_recorder()
        .map_err(|error| Failure::failed(format!("metrics: {error}")))?;
    let is_ours = |name: &str| {
        [service, "http_", "kafka_"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    for metric in ALL.iter().filter(|metric| is_ours(metric.name)) {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Seconds => {
                metrics::describe_histogram!(metric.name, metrics::Unit::Seconds, metric.help);
            }
        }
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_of_the_field() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{}", metric.name);
        }
    }
}
