//! Which of the services' metrics the flow needs.

use runtime::metrics as names;

use super::exposition::Series;

/// A service whose instances are scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// Ingress and relay.
    Producer,
    /// Order statuses to vouchers.
    Processor,
    /// Vouchers to rows.
    Sink,
}

impl Service {
    /// All services, in the order of the path.
    pub(crate) const ALL: [Self; 3] = [Self::Producer, Self::Processor, Self::Sink];

    /// Returns the name of its binary, which follows `checkout_` in the names of its metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Processor => "processor",
            Self::Sink => "sink",
        }
    }

    /// Returns the variable that lists its instances.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Producer => "CONSOLE_PRODUCER_URLS",
            Self::Processor => "CONSOLE_PROCESSOR_URLS",
            Self::Sink => "CONSOLE_SINK_URLS",
        }
    }

    /// Returns the service that a metric belongs to, or `None` for a metric of several services.
    pub(super) fn of_metric(name: &str) -> Option<Self> {
        let name = name.strip_prefix("checkout_")?;
        Self::ALL.into_iter().find(|service| {
            name.strip_prefix(service.name())
                .is_some_and(|rest| rest.starts_with('_'))
        })
    }
}

/// Events that a service counts since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Order changes that the ingress committed.
    OrderChanges,
    /// Status events that the relay published.
    Published,
    /// Connections of the ingress that had to wait for a free one.
    ConnectionsFull,
    /// Order statuses that became vouchers.
    Vouchers,
    /// Order statuses that earn no voucher.
    Skipped,
    /// Order statuses that became dead letters.
    StatusDeadLetters,
    /// Transactions of the processor that were aborted, or whose outcome was unknown at first.
    Aborted,
    /// Times a processor was fenced.
    Fenced,
    /// Vouchers that became rows.
    Inserted,
    /// Vouchers whose row existed.
    Existing,
    /// Vouchers whose row has another code, amount or currency.
    Different,
    /// Tombstones of vouchers.
    Tombstones,
    /// Vouchers that became dead letters.
    VoucherDeadLetters,
    /// Statements of the sink that failed and were retried.
    WriteErrors,
}

/// How many [`Counter`]s there are.
pub(super) const COUNTERS: usize = Counter::WriteErrors as usize + 1;

/// Numbers that go up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gauge {
    /// Open connections.
    Connections,
    /// API keys of the ingress.
    ApiKeys,
    /// Bytes of results of bulk requests that wait in files.
    SpoolBytes,
    /// Order changes that wait for another session's lock.
    LockedChanges,
    /// Events that wait to be published.
    OutboxRows,
    /// Age of the oldest event that waits to be published, in seconds.
    OutboxOldest,
    /// Deleted rows of the outbox that vacuum has not removed.
    OutboxDeadRows,
    /// 1 where the relay publishes.
    RelayActive,
    /// Assigned partitions.
    Partitions,
    /// Tasks whose circuit breaker is open.
    CircuitsOpen,
    /// Calls of the Kafka client that have not returned.
    CallsAbandoned,
    /// Records that a consumer is behind.
    LagRecords,
    /// Age of the oldest record that is not settled, in seconds.
    LagSeconds,
}

/// How many [`Gauge`]s there are.
pub(super) const GAUGES: usize = Gauge::LagSeconds as usize + 1;

/// Durations in buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Histogram {
    /// Requests that place or change one order.
    OrderRequests,
    /// From an order status to the commit of its outcome.
    OrderToVoucher,
    /// From a batch's first record to its committed transaction.
    Transaction,
    /// From a voucher to the commit of its row.
    VoucherToRow,
    /// From the start of a statement to its commit.
    Batch,
}

/// How many [`Histogram`]s there are.
pub(super) const HISTOGRAMS: usize = Histogram::Batch as usize + 1;

/// Returns the counter that a series is part of.
pub(super) fn counter_of(series: &Series<'_>) -> Option<Counter> {
    let outcome = || series.label("outcome");
    Some(match series.name {
        names::INGRESS_GROUP_CHANGES => Counter::OrderChanges,
        names::RELAY_PUBLISHED => Counter::Published,
        names::HTTP_CONNECTIONS_FULL => Counter::ConnectionsFull,
        names::PROCESSOR_RECORDS => match &*outcome()? {
            "voucher" => Counter::Vouchers,
            "skipped" => Counter::Skipped,
            "dead_letter" => Counter::StatusDeadLetters,
            _ => return None,
        },
        names::PROCESSOR_TRANSACTIONS => match &*outcome()? {
            "aborted" | "unknown" => Counter::Aborted,
            _ => return None,
        },
        names::PROCESSOR_FENCED => Counter::Fenced,
        names::SINK_ROWS => match &*outcome()? {
            "inserted" => Counter::Inserted,
            "existing" => Counter::Existing,
            "different" => Counter::Different,
            "tombstone" => Counter::Tombstones,
            "dead_letter" => Counter::VoucherDeadLetters,
            _ => return None,
        },
        names::SINK_WRITE_ERRORS => Counter::WriteErrors,
        _ => return None,
    })
}

/// Returns the gauge that a series is part of.
pub(super) fn gauge_of(name: &str) -> Option<Gauge> {
    Some(match name {
        names::HTTP_CONNECTIONS => Gauge::Connections,
        names::API_KEYS => Gauge::ApiKeys,
        names::BULK_SPOOL_BYTES => Gauge::SpoolBytes,
        names::LOCKED_CHANGES => Gauge::LockedChanges,
        names::OUTBOX_ROWS => Gauge::OutboxRows,
        names::OUTBOX_OLDEST_SECONDS => Gauge::OutboxOldest,
        names::OUTBOX_DEAD_ROWS => Gauge::OutboxDeadRows,
        names::RELAY_ACTIVE => Gauge::RelayActive,
        names::PROCESSOR_PARTITIONS | names::SINK_PARTITIONS => Gauge::Partitions,
        names::PROCESSOR_CIRCUIT_OPEN | names::SINK_CIRCUIT_OPEN => Gauge::CircuitsOpen,
        names::KAFKA_CALLS_ABANDONED => Gauge::CallsAbandoned,
        names::CONSUMER_LAG_RECORDS => Gauge::LagRecords,
        names::CONSUMER_LAG_SECONDS => Gauge::LagSeconds,
        _ => return None,
    })
}

/// Returns the histogram that a series is a bucket of.
pub(super) fn histogram_of(series: &Series<'_>) -> Option<Histogram> {
    Some(match series.name.strip_suffix("_bucket")? {
        names::HTTP_REQUEST_SECONDS if changes_one_order(series) => Histogram::OrderRequests,
        names::ORDER_TO_VOUCHER_SECONDS => Histogram::OrderToVoucher,
        names::PROCESSOR_TRANSACTION_SECONDS => Histogram::Transaction,
        names::VOUCHER_TO_ROW_SECONDS => Histogram::VoucherToRow,
        names::SINK_BATCH_SECONDS => Histogram::Batch,
        _ => return None,
    })
}

/// Returns whether the duration of these requests counts for the ingress's latency. Reads, probes and
/// this console's own scrapes do not count, nor do bulk requests, whose duration their client
/// determines.
fn changes_one_order(series: &Series<'_>) -> bool {
    let is_change = matches!(series.label("method").as_deref(), Some("POST" | "PATCH"));
    let is_single = series
        .label("route")
        .is_some_and(|route| route.starts_with("/order") && route != "/orders/bulk");
    is_change && is_single
}
