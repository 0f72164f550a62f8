//! Every metric: its name, kind, unit and meaning, in one place.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::lifecycle::Failure;

/// The kinds of Prometheus metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A histogram of durations in seconds.
    Seconds,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The meaning, with the labels.
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
    CONSUMER_LAG_RECORDS Gauge "checkout_consumer_lag_records"
        "Offsets between the position of this instance and the end of the committed records of a partition (its last stable offset), as the brokers returned it within the last seconds; by group, topic and partition. 0 at the end, whether transaction markers follow the last record or not, and for a partition that this instance does not read any more.";
    CONSUMER_LAG_SECONDS Gauge "checkout_consumer_lag_seconds"
        "Age of the oldest record whose outcome is not durable, over all partitions of this instance; by group and topic. Where such a record is still to be read, the age of the record before it, or the time since the partition was last at its end, whichever is less. 0 when every partition was read to its end and every outcome is durable.";
    ORDER_TO_VOUCHER_SECONDS Seconds "checkout_order_to_voucher_seconds"
        "Time from the timestamp of an order status to the commit of its voucher: of the oldest and of the newest order of each batch that earned one. Without backfills and redrives.";
    VOUCHER_TO_ROW_SECONDS Seconds "checkout_voucher_to_row_seconds"
        "Time from the timestamp of a voucher record to the commit of its row: of the oldest and of the newest such record of each batch. Without vouchers of backfills and redrives.";
    OUTBOX_OLDEST_SECONDS Gauge "checkout_outbox_oldest_seconds"
        "Time since the change whose status event is the first of those that wait to be published; 0 while none waits.";
    READY Gauge "checkout_ready"
        "1 while every part of the service can do its work, as /readyz says; 0 otherwise.";
    TOPIC_GUARANTEED_RETENTION_SECONDS Gauge "checkout_topic_guaranteed_retention_seconds"
        "How long a topic keeps every record, so that a reader that is behind by less loses none: min.compaction.lag.ms of a compacted topic or retention.ms of one that deletes by age, whichever is less; infinite where it does neither; by topic (that of the order statuses). 0 when nothing is guaranteed, and until the brokers have returned the setting, for which the processor needs DescribeConfigs on the topic.";
    KEYS_FILE_STALE Gauge "checkout_keys_file_stale"
        "1 while a file of keys cannot be used (it is missing, empty or wrong), so that the keys stay as they were; by variable: API_KEYS_FILE, CONSOLE_KEYS_FILE. Absent without such a file.";
    PROCESSOR_RECORDS Counter "processor_records_total"
        "Order statuses whose outcome was committed; outcome: voucher, skipped, dead_letter.";
    PROCESSOR_SKIPPED Counter "processor_skipped_total"
        "Order statuses that earn no voucher, by the first reason: tombstone, status, currency, threshold, campaign_dates.";
    PROCESSOR_DEAD_LETTERS Counter "processor_dead_letters_total"
        "Order statuses that could not be used, by reason.";
    PROCESSOR_TRANSACTIONS Counter "processor_transactions_total"
        "Transactions; outcome: committed, aborted, unknown (settled by the group's offsets).";
    PROCESSOR_TRANSACTION_SECONDS Seconds "processor_transaction_seconds"
        "Time from the first record of a batch to its committed transaction.";
    PROCESSOR_FENCED Counter "processor_fenced_total"
        "Times this instance's group member was replaced by another one of the same name, or its consumer was rebuilt.";
    PROCESSOR_REFUSED Counter "processor_refused_records_total"
        "Records that the broker refused; outcome: reduced (a dead letter that was too large is written again without the parts that do not fit), blocked (retried every 30 s at most; its partition waits).";
    PROCESSOR_CIRCUIT_OPEN Gauge "processor_circuit_open"
        "1 while the flow is paused because too many records are dead letters; by task.";
    PROCESSOR_PARTITIONS Gauge "processor_partitions"
        "Partitions assigned; by task.";
    PROCESSOR_BLOCKED Gauge "processor_partition_blocked"
        "1 while an assigned partition is blocked; by topic, partition (or all) and reason: offset_unknown, out_of_range, unreadable, refused, fetch_failed, no_progress, end_unknown, not_a_member.";
    PROCESSOR_BLOCKED_OFFSET Gauge "processor_partition_blocked_offset"
        "The offset at which a partition is blocked, or was blocked last; by topic and partition.";
    SINK_ROWS Counter "sink_rows_total"
        "Vouchers whose outcome was committed; outcome: inserted, existing (a duplicate), different (a row with another code, amount or currency was kept), tombstone, dead_letter.";
    SINK_DEAD_LETTERS Counter "sink_dead_letters_total"
        "Vouchers that could not be written, by reason.";
    SINK_BATCH_SECONDS Seconds "sink_batch_seconds"
        "Time from the start of a batch's statement to its commit in Postgres.";
    SINK_WRITE_ERRORS Counter "sink_write_errors_total"
        "Statements that failed and were retried; cause: unavailable, data.";
    SINK_REFUSED Counter "sink_refused_dead_letters_total"
        "Dead letters that the broker refused; outcome: reduced (too large: written again without the parts that do not fit), blocked (retried every 30 s at most).";
    SINK_CIRCUIT_OPEN Gauge "sink_circuit_open"
        "1 while the flow is paused because too many vouchers are dead letters; by task.";
    SINK_PARTITIONS Gauge "sink_partitions"
        "Partitions assigned; by task.";
    SINK_BLOCKED Gauge "sink_partition_blocked"
        "1 while an assigned partition is blocked; by topic, partition (or all) and reason: offset_unknown, out_of_range, unreadable, refused, fetch_failed, no_progress, end_unknown, not_a_member.";
    SINK_BLOCKED_OFFSET Gauge "sink_partition_blocked_offset"
        "The offset at which a partition is blocked, or was blocked last; by topic and partition.";
    KAFKA_CALLS_GIVEN_UP Counter "kafka_calls_given_up_total"
        "Calls of the Kafka client library that did not return in time, so that a new producer took over; by transactional_id.";
    KAFKA_CALLS_ABANDONED Gauge "kafka_calls_abandoned"
        "Given-up calls that have not returned yet; each keeps a client in memory.";
    HTTP_CONNECTIONS Gauge "http_connections"
        "Open connections.";
    HTTP_CONNECTIONS_FULL Counter "http_connections_full_total"
        "Times the maximum number of connections was open, so that the next one had to wait.";
    HTTP_REQUESTS Counter "producer_http_requests_total"
        "Requests answered; by route, method and status.";
    HTTP_REQUEST_SECONDS Seconds "producer_http_request_seconds"
        "Time from the headers of a request to those of its response; by route and method.";
    RATE_LIMITED Counter "producer_rate_limited_total"
        "Requests and bulk lines refused because the rate of their client was used up; by api_key_id, the client's name, or the first 8 hex digits of the SHA-256 of a key without one.";
    BULK_SPOOL_BYTES Gauge "producer_bulk_spool_bytes"
        "Bytes of temporary files with results of bulk requests that clients have not read yet; bounded by HTTP_BULK_SPOOL_LIMIT.";
    API_KEYS Gauge "producer_api_keys"
        "API keys in API_KEYS_FILE when it was last read.";
    INGRESS_GROUP_CHANGES Counter "producer_group_changes_total"
        "Order changes committed in groups.";
    INGRESS_GROUPS Counter "producer_groups_total"
        "Groups of order changes; outcome: committed, locked (retried with locked rows), halved, failed.";
    LOCKED_CHANGES Gauge "producer_locked_changes"
        "Order changes that wait because another session of the database holds a lock on their order.";
    OUTBOX_ROWS Gauge "producer_outbox_rows"
        "Status events committed and not published yet.";
    OUTBOX_DEAD_ROWS Gauge "producer_outbox_dead_rows"
        "Deleted outbox rows that vacuum has not removed yet, as Postgres estimates.";
    VACUUM_HELD_BACK Gauge "producer_vacuum_held_back_seconds"
        "How long the same transaction has kept vacuum from removing the outbox's deleted rows; 0 while none does.";
    RELAY_ACTIVE Gauge "producer_relay_active"
        "1 on the instance whose relay publishes.";
    RELAY_PUBLISHED Counter "producer_relay_published_total"
        "Status events published.";
    RELAY_TRANSACTIONS Counter "producer_relay_transactions_total"
        "The relay's transactions; outcome: committed, failed.";
    CONSOLE_REQUESTS Counter "console_http_requests_total"
        "Requests answered by the console; by route (files: pages and their files), method and status.";
    CONSOLE_PAGES Gauge "console_pages"
        "Pages that are open. While there are none, the console asks the services nothing.";
    CONSOLE_SESSIONS Gauge "console_sessions"
        "Sessions that were signed in and not out; those that have expired are removed at the next sign-in.";
    CONSOLE_SIGN_INS Counter "console_sign_ins_total"
        "Attempts to sign in; outcome: accepted, refused (an unknown key), too_many (from one address).";
    CONSOLE_KEYS Gauge "console_keys"
        "Keys in CONSOLE_KEYS_FILE when it was last read.";
}

/// Histogram buckets in seconds: from a fast local transaction to an outage.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

/// Installs the metrics recorder of the process and describes every metric whose name starts with
/// `service`, or with `http`, `kafka` or `checkout`, which several services have.
///
/// # Errors
/// When the process has a recorder already.
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
        [service, "http_", "kafka_", "checkout_"]
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
    fn names_are_unique_and_only_counters_end_in_total() {
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
