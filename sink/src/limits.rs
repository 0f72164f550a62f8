//! Every bound and interval of the sink's loop and of its statements, and the reason for each.
//!
//! Bounds that the services share are constants beside the shared code: how long a stop may take
//! ([`DRAIN`](runtime::stepping::DRAIN)), how long offsets are deferred
//! ([`deferred_offsets`](runtime::deferred_offsets)), when the circuit breaker opens and for how long
//! ([`circuit_breaker`](runtime::circuit_breaker)), and the pauses between attempts
//! ([`Backoff`](runtime::backoff::Backoff)). Time limits that the database's server enforces are beside
//! its connections ([`target::postgres`](crate::target::postgres)).

use std::time::Duration;

// When a batch is written: when no record is waiting, or at one of these bounds; never on a timer.

/// Records of a batch. At this size the fixed cost of a statement hardly counts, and a larger batch would
/// only add latency and memory.
pub const MAX_BATCH_RECORDS: usize = 2_000;

/// Bytes of a batch, but for its last record. Bounds the memory of a task, which has two batches.
pub(crate) const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

// The loop.

/// How long a poll of an empty topic waits. Also how soon a stop is noticed.
pub(crate) const IDLE_POLL: Duration = Duration::from_millis(250);

/// Records decoded between two polls of the in-flight statement. Bounds how long its I/O can starve.
pub(crate) const PREFETCHED_PER_STEP: usize = 64;

/// How long one step may wait for the database or the broker before the group is polled again.
pub(crate) const WAIT_STEP: Duration = Duration::from_millis(50);

/// How long a rewind may wait for the group's offsets.
pub(crate) const REWIND: Duration = Duration::from_millis(500);

/// A statement that takes longer is not quick. Prefetching stops, and each step polls the group instead, so
/// that the task stays a member.
pub(crate) const QUICK_STATEMENT: Duration = Duration::from_secs(1);

/// A statement that takes longer makes the task not ready.
pub(crate) const SLOW_STATEMENT: Duration = Duration::from_secs(3);

/// How long a dead letter may wait for room in the producer's queue, which is larger than a batch.
pub(crate) const QUEUE_ROOM: Duration = Duration::from_secs(5);

// Whether a row that fails alone is at fault, or the database (see `lone_failures`).

/// Failures of a row alone, while the table accepts others, before it becomes a dead letter.
pub const MAX_LONE_FAILURES: u32 = 3;

/// Rows that become dead letters for an ambiguous error between two rows that are written. A trigger
/// that refuses every row is a fault of the set-up, which is waited out.
pub(crate) const MAX_REJECTED_IN_A_ROW: u32 = 10;

// The statements.

/// How long a statement may be without an answer. Longer than the server itself works on it, to
/// distinguish a statement that cannot be executed in time from a database that does not answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// How long connecting may take. If the server does not answer, connecting is tried again.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A table that needs longer for a statement without rows accepts no rows.
pub(crate) const CANARY_TIMEOUT: Duration = Duration::from_secs(5);

/// Comparisons of a batch with the table before a row that was neither inserted nor found counts as
/// ignored. Another writer can make one more comparison necessary; a table that ignores a row would make
/// them endless.
pub(crate) const MAX_COMPARISONS: usize = 3;

/// Smallest number of rows for which the statement is tried that fails if one of the rows exists. A
/// smaller batch is not worth a failed statement.
pub(crate) const MIN_ROWS_TO_EXPECT_NEW: usize = 500;

/// Number of statements in a row with only new rows, after which the next rows are expected to be new too.
pub(crate) const MIN_STATEMENTS_TO_EXPECT_NEW: u32 = 8;

// The probe of the database.

/// The interval between two probes. An idle loop would not notice an outage by itself.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// How long a probe may take.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
