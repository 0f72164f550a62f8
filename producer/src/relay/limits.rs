//! Every bound and interval of the relay, and the reason for each.
//!
//! The constants that all services share are elsewhere: how long a stop may take
//! ([`DRAIN`](runtime::stepping::DRAIN)), how long a transaction may be open ([`TRANSACTION_TIMEOUT`]),
//! and the pauses between attempts ([`Backoff`](runtime::backoff::Backoff)).

use std::time::Duration;

use runtime::kafka::TRANSACTION_TIMEOUT;

/// The maximum number of rows of one read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Rows that one transaction publishes, in the order of their ids. More rows would add latency and
    /// gain little: at this size the fixed cost of a transaction hardly counts.
    pub rows: usize,
    /// Rows of one read of the backlog after a takeover, when rows are read order by order.
    pub backlog: usize,
    /// The mark is moved when at least this many ids lie between it and the highest id that was read.
    /// Bounds how many deleted rows a read scans; moving the mark costs one query.
    pub stride: i64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            rows: 5_000,
            backlog: 10_000,
            stride: 2_000,
        }
    }
}

// When rows are read.

/// How long the relay waits when the outbox is empty, unless it is woken. A notification may be lost.
pub(super) const IDLE_POLL: Duration = Duration::from_millis(500);

/// How long the next read is delayed for each row that the last read returned. Above 2,000 rows a
/// second rows are collected into larger transactions: a transaction of few rows costs the broker as
/// much as one of many. Below that rate no row waits.
pub(super) const COLLECTION_PER_ROW: Duration = Duration::from_micros(500);

/// The maximum time for which rows are collected, which is the most that collecting adds to an order's
/// latency.
pub(super) const MAX_COLLECTION: Duration = Duration::from_millis(50);

// Who publishes.

/// How often a standby instance tries to take the lock. Bounds how long a takeover takes.
pub(super) const STANDBY_POLL: Duration = Duration::from_millis(500);

/// How often the session that holds the lock must send a statement; far below the time after which the
/// server ends it ([`outbox_postgres`](super::outbox_postgres)).
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

/// A lock holder that has been unable to publish for this long releases the lock, so that another
/// instance can try.
pub(super) const MAX_WITHOUT_PROGRESS: Duration = Duration::from_secs(30);

/// How often a relay must be fenced while it holds the lock until a competing producer is certain. A
/// single fence may come from a relay that was paused between taking the lock and fencing.
pub(super) const MIN_COMPETITOR_FENCES: u32 = 2;

/// A competing producer that has not fenced this relay for this long is considered gone.
pub(super) const COMPETITOR_MEMORY: Duration = Duration::from_secs(300);

// The broker.

/// How long one call may wait for the broker, so that the heartbeat of the lock's session is in time.
pub(super) const BROKER_CALL: Duration = Duration::from_millis(500);

const _: () = assert!(BROKER_CALL.as_millis() * 2 < HEARTBEAT.as_millis());

/// A transaction that has not ended after this time is given up together with its producer: the
/// coordinator has aborted it by then, unless it was committed. (A single call that does not return is
/// given up earlier, by the producer itself.)
pub(super) const MAX_TRANSACTION: Duration = TRANSACTION_TIMEOUT;

/// A call to the broker that takes longer than this is reported.
pub(super) const SLOW_BROKER_CALL: Duration = Duration::from_secs(2);

/// How long a record may wait for room in the producer's queue, which is larger than a batch.
pub(super) const QUEUE_ROOM: Duration = Duration::from_secs(1);

// The low-water mark.

/// The minimum interval between two listings of the outbox's writers. Each listing is a query of
/// `pg_locks`.
pub(super) const WRITERS_INTERVAL: Duration = Duration::from_millis(250);

/// How long the relay waits to list the writers again after Postgres refused the query. Every role has
/// the privilege by default, so a refusal lasts until a person grants it again.
pub(super) const WRITERS_REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// The minimum interval between two full reads, which find rows below the low-water mark.
pub(super) const FULL_READ_INTERVAL: Duration = Duration::from_secs(60);

/// The interval between full reads is at least this many times the duration of the last one, so full
/// reads take at most 0.5 % of the time.
pub(super) const FULL_READ_COST: u32 = 200;

// Postgres.

/// How long an answer may take before the session is given up.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// As [`ANSWER_TIMEOUT`], for statements that scan all rows, including deleted ones that are not
/// vacuumed yet: a full read, and the snapshot of the whole backlog, which is sorted.
pub(super) const FULL_READ_TIMEOUT: Duration = Duration::from_secs(600);

/// How long closing a session may take. The server ends a session that is not closed in time.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

// The service.

/// The pause between two attempts at something that a person has to provide.
pub(super) const PREREQUISITE_PAUSE: Duration = Duration::from_secs(2);

/// The maximum wait once a stop is requested. Nothing interrupts this wait.
pub(super) const STOPPING_WAIT: Duration = Duration::from_millis(50);
