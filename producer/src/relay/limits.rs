//! Every bound and interval of the relay, and the reason for each.
//!
//! What the services share has its constants beside it: how long a stop may take
//! ([`DRAIN`](runtime::stepping::DRAIN)), how long a transaction may be open
//! ([`TRANSACTION_TIMEOUT`]), and the pauses between attempts
//! ([`Backoff`](runtime::backoff::Backoff)).

use std::time::Duration;

use runtime::kafka::TRANSACTION_TIMEOUT;

/// The maximum number of rows of one read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Rows in the order of their ids, which one transaction publishes. More would add latency and
    /// gain little: the cost of a transaction is spread thin at this size.
    pub rows: usize,
    /// Rows of the backlog that is taken over, order by order.
    pub backlog: usize,
    /// Ids between the low-water mark and what was read before the mark is moved. Bounds how many
    /// deleted rows a read walks; moving it costs one query.
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

/// How long the next read waits for each row of the last one. Beyond 2,000 rows a second rows are
/// collected: a transaction of few rows costs the broker as much as one of many. Below that rate
/// nothing waits.
pub(super) const COLLECTION_PER_ROW: Duration = Duration::from_micros(500);

/// The longest that rows are collected: what the collection adds to an order's latency at most.
pub(super) const MAX_COLLECTION: Duration = Duration::from_millis(50);

// Who publishes.

/// How often an instance that stands by asks for the lock. Bounds how long a takeover takes.
pub(super) const STANDBY_POLL: Duration = Duration::from_millis(500);

/// How often the lock's session must send something; far below the time after which the server ends
/// it ([`outbox_postgres`](super::outbox_postgres)).
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

/// A holder of the lock that publishes nothing for this long, because it cannot, lets another instance
/// try.
pub(super) const MAX_WITHOUT_PROGRESS: Duration = Duration::from_secs(30);

/// Fences in spite of the lock that make a competing producer certain. One alone may come from a relay that slept
/// between its lock and its fence.
pub(super) const MIN_COMPETITOR_FENCES: u32 = 2;

/// A competing producer that has not fenced this relay for this long is gone.
pub(super) const COMPETITOR_MEMORY: Duration = Duration::from_secs(300);

// The broker.

/// How long one call may wait for the broker before the lock's session is used again.
pub(super) const BROKER_CALL: Duration = Duration::from_millis(500);

const _: () = assert!(BROKER_CALL.as_millis() * 2 < HEARTBEAT.as_millis());

/// A transaction that has not ended after this long is given up with its producer: the coordinator has
/// aborted it by then, unless it was committed. (A single call that does not come back is given up
/// earlier, by the producer itself.)
pub(super) const MAX_TRANSACTION: Duration = TRANSACTION_TIMEOUT;

/// A call to the broker that takes longer is reported.
pub(super) const SLOW_BROKER_CALL: Duration = Duration::from_secs(2);

/// How long a record may wait for room in the producer's queue, which is larger than a batch.
pub(super) const QUEUE_ROOM: Duration = Duration::from_secs(1);

// The low-water mark.

/// The shortest interval between two lists of the outbox's writers: each is a query of `pg_locks`.
pub(super) const WRITERS_INTERVAL: Duration = Duration::from_millis(250);

/// How long the relay waits after the list was refused. The right that it needs is there by default,
/// so a person has taken it away.
pub(super) const WRITERS_REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// The shortest interval between two full reads, which find rows below the low-water mark.
pub(super) const FULL_READ_INTERVAL: Duration = Duration::from_secs(60);

/// How many times longer than the last full read took the interval is at least: full reads take no
/// more than 0.5 % of the time.
pub(super) const FULL_READ_COST: u32 = 200;

// Postgres.

/// How long an answer may take before the session is given up.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for statements that walk all rows, including deleted ones that are not vacuumed yet: a full
/// read, and the snapshot of the whole backlog, which is sorted.
pub(super) const FULL_READ_TIMEOUT: Duration = Duration::from_secs(600);

/// How long the end of a session may take. The server itself ends what isn't ended in time.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

// The service.

/// The pause between two attempts at something that a person has to provide.
pub(super) const PREREQUISITE_PAUSE: Duration = Duration::from_secs(2);

/// The longest wait once a stop is requested. Nothing interrupts it.
pub(super) const STOPPING_WAIT: Duration = Duration::from_millis(50);
