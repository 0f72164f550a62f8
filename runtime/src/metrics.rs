//! Every metric of all services: its name, kind, labels and meaning, in one place.
//!
//! | module | subject |
//! |---|---|
//! | `definition` | what a metric is described by |
//! | `recorder` | registers the metrics of a service at 0, and renders them |
//! | `buckets` | the bounds of the histograms |
//! | `process` | the metrics of the process itself |
//! | `count` | what a loop counts through its observer |

mod buckets;
mod count;
mod definition;
mod process;
mod recorder;

pub use count::{Count, RetryClass};
pub use definition::{Kind, Label, Metric, SERVICES, Values};
pub use recorder::{Exposition, install};

use crate::kafka::Cause;
use Values::{Known, Open, OwnService, Reasons};

/// Defines the constants of the metrics, and [`ALL`] of them.
///
/// A line is `CONSTANT Kind "name" in SERVICES [label: values] "meaning";`. Without `in`, a metric
/// belongs to the service that its name begins with, after `checkout_`.
macro_rules! metrics {
    ($(
        $constant:ident $kind:ident $name:literal
        $(in $($service:ident)+)?
        $([$label:ident: $values:expr])*
        $help:literal;
    )*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*
        /// All metrics of all services.
        pub const ALL: &[Metric] = &[
            $(Metric {
                name: $name,
                kind: Kind::$kind,
                services: &[$($(stringify!($service)),+)?],
                labels: &[$(Label { name: stringify!($label), values: $values }),*],
                help: $help,
            },)*
        ];
    };
}

metrics! {
    BUILD_INFO Gauge "checkout_build_info" in producer processor sink console
        [service: OwnService]
        [version: Open("the version of the release")]
        [revision: Open("the commit it was built from, or unknown")]
        "Always 1. Its labels say what runs.";
    CONSUMER_LAG_RECORDS Gauge "checkout_consumer_lag_records" in processor sink
        [group: Open("the consumer group")]
        [topic: Open("a topic")]
        [partition: Open("a partition")]
        "Offsets between the position of this instance and the end of the committed records of a partition (its last stable offset), as the brokers returned it within the last seconds. 0 at the end, whether transaction markers follow the last record or not, and for a partition that this instance does not read any more.";
    CONSUMER_LAG_SECONDS Gauge "checkout_consumer_lag_seconds" in processor sink
        [group: Open("the consumer group")]
        [topic: Open("a topic")]
        "Age of the oldest record whose outcome is not durable, over all partitions of this instance. Where such a record is still to be read, the age of the record before it, or the time since the partition was last at its end, whichever is less. Where neither is known, the time since the partition was assigned, and without an assignment the time since the start or since the assignment was lost. If no instance of the group has an assignment, the group is behind by the least of these at least. 0 when every partition was read to its end and every outcome is durable.";
    ORDER_TO_VOUCHER_SECONDS Seconds "checkout_order_to_voucher_seconds" in processor
        "Time from the timestamp of an order status to the commit of its voucher: of the oldest and of the newest order of each batch that earned one. Without backfills and redrives.";
    VOUCHER_TO_ROW_SECONDS Seconds "checkout_voucher_to_row_seconds" in sink
        "Time from the timestamp of a voucher record to the commit of its row: of the oldest and of the newest such record of each batch. Without vouchers of backfills and redrives.";
    ORDER_TO_ROW_SECONDS Seconds "checkout_order_to_row_seconds" in sink
        "Time from when an order was sent, as its voucher says (issued_at), to the commit of the voucher's row: of the oldest and of the newest such order of each batch. Without vouchers of backfills and redrives. It contains the time that a writer took to publish the order.";
    BATCH_RECORDS Records "checkout_batch_records" in producer processor sink
        [service: OwnService]
        "Records of each batch that became durable: of a transaction of the relay or the processor, or of a batch of the sink.";
    RETRIES Counter "checkout_retries_total" in producer processor sink
        [class: Known(RetryClass::CLASSES)]
        "Attempts that failed and are made again, by what stood in the way: a broker that did not answer or a transaction that failed (kafka), a database that is away (postgres), a schema registry that did not answer (registry), another transaction (conflict), values that are bisected (data), a record that the broker refuses (refused).";
    DB_POOL_CONNECTIONS Gauge "checkout_db_pool_connections" in producer
        [state: Known(&["idle", "used", "max"])]
        "Connections of the pool that serves the reading routes. max: its limit, DATABASE_POOL.";
    OUTBOX_OLDEST_SECONDS Gauge "checkout_outbox_oldest_seconds" in producer
        "Time since the change whose status event is the first of those that wait to be published; 0 while none waits.";
    READY Gauge "checkout_ready" in producer processor sink console
        "1 while every part of the service can do its work, as /readyz says; 0 otherwise.";
    TOPIC_GUARANTEED_RETENTION_SECONDS Gauge "checkout_topic_guaranteed_retention_seconds" in processor
        [topic: Open("the topic of the order statuses")]
        "How long a topic keeps every record, so that a reader that is behind by less loses none: min.compaction.lag.ms of a compacted topic or retention.ms of one that deletes by age, whichever is less; infinite where it does neither. 0 when nothing is guaranteed, and until the brokers have returned the setting, for which the processor needs DescribeConfigs on the topic.";
    KEYS_FILE_STALE Gauge "checkout_keys_file_stale" in producer console
        [variable: Open("API_KEYS_FILE or CONSOLE_KEYS_FILE")]
        "1 while a file of keys cannot be used (it is missing, empty or wrong), so that the keys stay as they were. Absent without such a file.";
    TRACE_SPANS_DROPPED Counter "checkout_trace_spans_dropped_total" in producer processor sink
        [reason: Known(&["queue_full", "not_exported", "batch_full"])]
        "Spans that did not reach the collector: queue_full (they were recorded faster than they were exported), not_exported (the collector was not reached, or refused them), batch_full (a batch had more sampled records than are traced of one batch).";
    PROCESSOR_RECORDS Counter "checkout_processor_records_total"
        [outcome: Known(&["voucher", "skipped", "dead_letter"])]
        "Order statuses whose outcome was committed.";
    PROCESSOR_SKIPPED Counter "checkout_processor_skipped_total"
        [reason: Known(&["tombstone", "status", "currency", "threshold", "campaign_dates"])]
        "Order statuses that earn no voucher, by the first reason.";
    PROCESSOR_DEAD_LETTERS Counter "checkout_processor_dead_letters_total"
        [reason: Reasons]
        "Order statuses that could not be used.";
    PROCESSOR_TRANSACTIONS Counter "checkout_processor_transactions_total"
        [outcome: Known(&["committed", "aborted", "unknown"])]
        "Transactions by how they ended; the outcome of an unknown one is settled by the group's offsets.";
    PROCESSOR_TRANSACTION_SECONDS Seconds "checkout_processor_transaction_seconds"
        "Time from the first record of a batch to its committed transaction.";
    PROCESSOR_FENCED Counter "checkout_processor_fenced_total"
        "Times this instance's group member was replaced by another one of the same name, or its consumer was rebuilt.";
    PROCESSOR_REFUSED Counter "checkout_processor_refused_records_total"
        [outcome: Known(&["reduced", "blocked"])]
        "Records that the broker refused: reduced (a dead letter that was too large is written again without the parts that do not fit) or blocked (retried every 30 s at most; its partition waits).";
    PROCESSOR_CIRCUIT_OPEN Gauge "checkout_processor_circuit_open"
        [task: Open("the number of a task")]
        "1 while the flow is paused because too many records are dead letters.";
    PROCESSOR_PARTITIONS Gauge "checkout_processor_partitions"
        [task: Open("the number of a task")]
        "Partitions assigned.";
    PROCESSOR_BLOCKED Gauge "checkout_processor_partition_blocked"
        [topic: Open("a topic")]
        [partition: Open("a partition, or all")]
        [reason: Known(Cause::NAMES)]
        "1 while an assigned partition is blocked.";
    PROCESSOR_BLOCKED_OFFSET Gauge "checkout_processor_partition_blocked_offset"
        [topic: Open("a topic")]
        [partition: Open("a partition")]
        "The offset at which a partition is blocked, or was blocked last.";
    SINK_ROWS Counter "checkout_sink_rows_total"
        [outcome: Known(&["inserted", "existing", "different", "tombstone", "dead_letter"])]
        "Vouchers whose outcome was committed. existing: a duplicate; different: a row with another code, amount or currency was kept.";
    SINK_DEAD_LETTERS Counter "checkout_sink_dead_letters_total"
        [reason: Reasons]
        "Vouchers that could not be written.";
    SINK_BATCH_SECONDS Seconds "checkout_sink_batch_seconds"
        "Time from the start of a batch's statement to its commit in Postgres.";
    SINK_WRITE_ERRORS Counter "checkout_sink_write_errors_total"
        [cause: Known(&["unavailable", "conflict", "data"])]
        "Statements that failed and were retried: in smaller parts because of their data, or unchanged because the database was unavailable or another transaction was in conflict.";
    SINK_REFUSED Counter "checkout_sink_refused_dead_letters_total"
        [outcome: Known(&["reduced", "blocked"])]
        "Dead letters that the broker refused: reduced (too large: written again without the parts that do not fit) or blocked (retried every 30 s at most).";
    SINK_CIRCUIT_OPEN Gauge "checkout_sink_circuit_open"
        [task: Open("the number of a task")]
        "1 while the flow is paused because too many vouchers are dead letters.";
    SINK_PARTITIONS Gauge "checkout_sink_partitions"
        [task: Open("the number of a task")]
        "Partitions assigned.";
    SINK_BLOCKED Gauge "checkout_sink_partition_blocked"
        [topic: Open("a topic")]
        [partition: Open("a partition, or all")]
        [reason: Known(Cause::NAMES)]
        "1 while an assigned partition is blocked.";
    SINK_BLOCKED_OFFSET Gauge "checkout_sink_partition_blocked_offset"
        [topic: Open("a topic")]
        [partition: Open("a partition")]
        "The offset at which a partition is blocked, or was blocked last.";
    KAFKA_CALLS_GIVEN_UP Counter "checkout_kafka_calls_given_up_total" in producer processor sink
        [transactional_id: Open("the id of a producer, empty for that of the sink's dead letters")]
        "Calls of the Kafka client library that did not return in time, so that a new producer took over.";
    KAFKA_CALLS_ABANDONED Gauge "checkout_kafka_calls_abandoned" in producer processor sink
        "Given-up calls that have not returned yet; each keeps a client in memory.";
    HTTP_CONNECTIONS Gauge "checkout_http_connections" in producer processor sink console
        "Open connections.";
    HTTP_CONNECTIONS_FULL Counter "checkout_http_connections_full_total" in producer processor sink console
        "Times the maximum number of connections was open, so that the next one had to wait.";
    HTTP_REQUESTS Counter "checkout_producer_http_requests_total"
        [route: Open("the template of a path, or other")]
        [method: Known(METHODS)]
        [status: Open("a status code")]
        "Requests answered. Every route exists from the start with the methods and statuses of the OpenAPI description.";
    HTTP_REQUEST_SECONDS Seconds "checkout_producer_http_request_seconds"
        [route: Open("the template of a path, or other")]
        [method: Known(METHODS)]
        "Time from the headers of a request to those of its response.";
    RATE_LIMITED Counter "checkout_producer_rate_limited_total"
        [api_key_id: Open("the client's name, or the first 8 hex digits of the SHA-256 of a key without one")]
        "Requests and bulk lines refused because the rate of their client was used up.";
    BULK_SPOOL_BYTES Gauge "checkout_producer_bulk_spool_bytes"
        "Bytes of temporary files with results of bulk requests that clients have not read yet; bounded by HTTP_BULK_SPOOL_LIMIT.";
    API_KEYS Gauge "checkout_producer_api_keys"
        "API keys in API_KEYS_FILE when it was last read.";
    INGRESS_GROUP_CHANGES Counter "checkout_producer_group_changes_total"
        "Order changes committed in groups.";
    INGRESS_GROUPS Counter "checkout_producer_groups_total"
        [outcome: Known(&["committed", "locked", "halved", "failed"])]
        "Groups of order changes. locked: retried with locked rows.";
    LOCKED_CHANGES Gauge "checkout_producer_locked_changes"
        "Order changes that were tried and wait because another session of the database holds a lock on their order or on a whole table.";
    OUTBOX_ROWS Gauge "checkout_producer_outbox_rows"
        "Status events committed and not published yet.";
    OUTBOX_DEAD_ROWS Gauge "checkout_producer_outbox_dead_rows"
        "Deleted outbox rows that vacuum has not removed yet, as Postgres estimates.";
    VACUUM_HELD_BACK Gauge "checkout_producer_vacuum_held_back_seconds"
        "How long the same transaction has kept vacuum from removing the outbox's deleted rows; 0 while none does.";
    RELAY_ACTIVE Gauge "checkout_producer_relay_active"
        "1 on the instance whose relay publishes.";
    RELAY_PUBLISHED Counter "checkout_producer_relay_published_total"
        "Status events published.";
    RELAY_TRANSACTIONS Counter "checkout_producer_relay_transactions_total"
        [outcome: Known(&["committed", "failed"])]
        "The relay's transactions.";
    CONSOLE_REQUESTS Counter "checkout_console_http_requests_total"
        [route: Open("the template of a path, or files for pages and their files")]
        [method: Open("a method")]
        [status: Open("a status code")]
        "Requests answered by the console.";
    CONSOLE_PAGES Gauge "checkout_console_pages"
        "Pages that are open. While there are none, the console asks the services nothing.";
    CONSOLE_SESSIONS Gauge "checkout_console_sessions"
        "Sessions that were signed in and not out; those that have expired are removed at the next sign-in.";
    CONSOLE_SIGN_INS Counter "checkout_console_sign_ins_total"
        [outcome: Known(&["accepted", "refused", "too_many"])]
        "Attempts to sign in. refused: an unknown key; too_many: from one address.";
    CONSOLE_KEYS Gauge "checkout_console_keys"
        "Keys in CONSOLE_KEYS_FILE when it was last read.";
    PROCESS_CPU_SECONDS Counter "process_cpu_seconds_total" in producer processor sink console
        "CPU time of the process, user and system, in seconds.";
    PROCESS_OPEN_FDS Gauge "process_open_fds" in producer processor sink console
        "Open file descriptors.";
    PROCESS_MAX_FDS Gauge "process_max_fds" in producer processor sink console
        "Maximum number of open file descriptors; 0: unlimited.";
    PROCESS_RESIDENT_MEMORY Gauge "process_resident_memory_bytes" in producer processor sink console
        "Resident memory.";
    PROCESS_VIRTUAL_MEMORY Gauge "process_virtual_memory_bytes" in producer processor sink console
        "Virtual memory.";
    PROCESS_VIRTUAL_MEMORY_MAX Gauge "process_virtual_memory_max_bytes" in producer processor sink console
        "Maximum amount of virtual memory; 0: unlimited.";
    PROCESS_START_TIME Gauge "process_start_time_seconds" in producer processor sink console
        "When the process was started, in seconds since the Unix epoch.";
    PROCESS_THREADS Gauge "process_threads" in producer processor sink console
        "Threads of the operating system.";
}

/// Methods that are labels; others are counted as `other`, so that a client cannot make up labels.
const METHODS: &[&str] = &["GET", "POST", "PATCH", "HEAD", "OPTIONS", "other"];

#[cfg(test)]
mod tests;
