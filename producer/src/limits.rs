//! The limits, pauses and timeouts of the ingress, each with its reason.
//!
//! Values that an operator can set are in [`settings`](crate::settings) with their defaults, and have
//! no constant here.

use std::time::Duration;

// Orders.

/// The maximum number of products of an order. Together with [`MAX_PRODUCT_NAME`] it bounds an order's
/// JSON to about 300 KB.
pub(crate) const MAX_PRODUCTS: usize = 500;

/// The maximum length of a product's name, in bytes.
pub(crate) const MAX_PRODUCT_NAME: usize = 500;

// Requests and answers.

/// The maximum length of an idempotency key, in bytes. A UUID has 36.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 255;

/// An upper bound for an order's JSON in bytes, with the maximum of products and names. Reading one
/// order reserves this much of [`ANSWER_MEMORY`].
pub(crate) const MAX_ORDER_JSON: usize = 512 * 1024;

/// Orders of a page, if the client does not choose a number.
pub(crate) const DEFAULT_PAGE_ORDERS: u16 = 100;

/// The maximum number of orders of a page. The API's description names it too.
pub(crate) const MAX_PAGE_ORDERS: u16 = 1000;

/// The maximum size of a page, in bytes. An order has up to 300 KB, so a limit of 1,000 orders alone
/// would not bound it. The API's description names it too.
pub(crate) const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The maximum size of the answers of all requests that are being built or sent, in bytes. A client
/// that reads slowly keeps its answer in memory.
pub(crate) const ANSWER_MEMORY: usize = 64 * 1024 * 1024;

/// How long a request waits for its share of [`ANSWER_MEMORY`]. Readers of small answers come and go
/// in milliseconds, and a queue behind slow readers would only add to the delay.
pub(crate) const ANSWER_MEMORY_TIMEOUT: Duration = Duration::from_secs(1);

/// What `Retry-After` says with a 503, in seconds. The service probes a database that is away twice a
/// second.
pub(crate) const RETRY_AFTER_SECONDS: u16 = 2;

// API keys.

/// The minimum length of a key that follows a client's name in `API_KEYS_FILE`. A shorter word is more
/// likely a part of a key that contains a space.
pub(crate) const MIN_NAMED_KEY: usize = 16;

/// The maximum length of a client's name, in bytes. The name is a label of metrics.
pub(crate) const MAX_CLIENT_NAME: usize = 64;

/// How often `API_KEYS_FILE` is read. A key that is taken out of it works for up to two periods.
pub(crate) const API_KEYS_PERIOD: Duration = Duration::from_secs(1);

// Bulk requests.

/// The maximum number of concurrent bulk requests: each may fill a large part of the queue.
pub(crate) const MAX_BULK_REQUESTS: usize = 16;

/// The maximum number of lines of one bulk request that are in flight; further lines are not read
/// meanwhile. Two full groups, so that one is committed while the next fills.
pub(crate) const MAX_BULK_LINES_IN_FLIGHT: usize = 2 * MAX_GROUP_CHANGES;

/// How long the answer to a client that waits for `100 Continue` is delayed for its first result. By
/// then `100 Continue` has been sent, however slowly the body arrives.
pub(crate) const FIRST_RESULT_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of results that are compressed and written to a temporary file at once.
pub(crate) const SPOOL_BLOCK: usize = 256 * 1024;

/// The maximum number of blocks of one request's results that wait in memory; further blocks go into
/// its temporary file.
pub(crate) const MAX_SPOOL_BLOCKS_IN_MEMORY: usize = 2;

// The queue.

/// The maximum number of changes that wait or are being written: a few dozen full groups.
pub(crate) const MAX_QUEUED_CHANGES: usize = 16_384;

/// A change that no writer has begun to write within this time is given up: the answer is 503, and
/// nothing was done. Shorter than a request may take, so that the client learns the reason.
pub(crate) const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of changes of one transaction. Larger groups add latency to each of their changes
/// and gain next to nothing.
pub(crate) const MAX_GROUP_CHANGES: usize = 256;

/// While a writer is at work, a second one joins when this many changes are ready...
pub(crate) const SECOND_WRITER_CHANGES: usize = MAX_GROUP_CHANGES / 2;

/// ...or when the first of them has been ready for this long: a group that is held up, perhaps by a
/// lock of another instance, then does not hold up the other changes. Below both bounds the larger
/// groups of a single writer are cheapest (ADR 0014).
pub(crate) const SECOND_WRITER_DELAY: Duration = Duration::from_millis(10);

/// The maximum number of changes in one group that are retried after they met a lock: each may cost its
/// writer a few milliseconds.
pub(crate) const MAX_LOCKED_CHANGES_PER_GROUP: usize = 16;

/// The pause of a change after the first lock that it meets; it doubles with each further one, up to
/// [`MAX_LOCK_PAUSE`].
pub(crate) const FIRST_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The maximum pause between two tries of a change that waits for a lock.
pub(crate) const MAX_LOCK_PAUSE: Duration = Duration::from_millis(320);

// The writers.

/// How long a connect may take. A database that accepts a connection but does not answer counts as
/// away.
pub(crate) const WRITER_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a statement may wait for a lock. Short, because the whole group waits; after this time the
/// group is tried with [`CAREFUL_LOCK_TIMEOUT`].
pub(crate) const WRITER_LOCK_TIMEOUT: &str = "200ms";

/// How long a statement may take, for the same reason.
pub(crate) const WRITER_STATEMENT_TIMEOUT: &str = "2s";

/// As [`WRITER_LOCK_TIMEOUT`], while a group is bisected, which takes about eight tries until one
/// change is left.
pub(crate) const CAREFUL_LOCK_TIMEOUT: &str = "5ms";

/// As [`WRITER_STATEMENT_TIMEOUT`], while a group is bisected.
pub(crate) const CAREFUL_STATEMENT_TIMEOUT: &str = "250ms";

/// How long writing a group may take before its connection is given up. Longer than
/// [`WRITER_STATEMENT_TIMEOUT`], so that normally the server ends the statement first.
pub(crate) const GROUP_TIMEOUT: Duration = Duration::from_secs(6);

/// The number of consecutive conflicts after which a group is still retried at once. More are unlikely
/// to be an accident, so then it pauses between its tries.
pub(crate) const MAX_IMMEDIATE_RETRIES: u32 = 5;

/// The first and the maximum pause between the tries of a group while the database is away.
pub(crate) const GROUP_RETRY_PAUSES: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(500));

/// A connection that was idle for longer is pinged before it gets a group: if a connection is lost
/// while a group is committed, the outcome of the group is unknown.
pub(crate) const CONNECTION_CHECK_AFTER: Duration = Duration::from_millis(100);

/// The maximum number of integers that one statement takes from the sequence of order ids. If imported
/// orders already use many of them, each statement takes twice as many as the one before.
pub(crate) const MAX_ORDER_NUMBERS: i64 = 10_000;

// The routes that read.

/// How long a statement may take: an answer of 503 is better than a client that waits without end. The
/// writers and the relay have their own bounds.
pub(crate) const STATEMENT_TIMEOUT: &str = "5s";

/// How long a statement may wait for a lock. Shorter than [`STATEMENT_TIMEOUT`], so that the error names
/// the lock.
pub(crate) const LOCK_TIMEOUT: &str = "4s";

/// How long a request waits for a connection of the pool.
pub(crate) const POOL_TIMEOUT: Duration = Duration::from_secs(2);

// Maintenance.

/// The pause between two measurements of the backlog. At 20,000 events a second `OUTBOX_LIMIT` is
/// overshot by half of that.
pub(crate) const MAINTENANCE_PERIOD: Duration = Duration::from_millis(500);

/// That pause is at least this many times the duration of the last measurement, so that measuring takes
/// at most a tenth of a connection's time.
pub(crate) const MAINTENANCE_COST_FACTOR: u32 = 10;

/// How long maintenance may take to connect.
pub(crate) const MAINTENANCE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer to maintenance may take. Longer than [`STATEMENT_TIMEOUT`], so that normally the
/// server ends the statement first.
pub(crate) const MAINTENANCE_ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Up to this number the events of the backlog are counted. A larger backlog is estimated by the range
/// of its ids.
pub(crate) const MAX_COUNTED_EVENTS: i64 = 10_000;

/// How long idempotency keys are kept. The API's description names it too.
pub(crate) const IDEMPOTENCY_KEY_RETENTION: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// How long after its time of creation a key may be committed, or how far the clock of its instance may
/// be behind, without the deletion missing the key.
pub(crate) const IDEMPOTENCY_KEY_SLACK: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// The pause between two rounds in which old idempotency keys are deleted.
pub(crate) const DELETE_KEYS_PERIOD: Duration = Duration::from_secs(60);

/// The maximum number of idempotency keys that one statement deletes, so that it stays short.
pub(crate) const MAX_DELETED_KEYS: i64 = 5_000;

// The watch over vacuum.

/// The pause between two checks of whether vacuum is held back.
pub(crate) const VACUUM_PERIOD: Duration = Duration::from_secs(10);

/// The number of deleted rows of the outbox from which on a holder is searched for. Fewer rows do no
/// harm.
pub(crate) const MIN_DEAD_ROWS: i64 = 100_000;

/// How long a transaction must have held vacuum back to be reported. Ordinary statements may take that
/// long.
pub(crate) const MIN_HELD_BACK: Duration = Duration::from_secs(30);

// Notifications to other instances.

/// The pause after each NOTIFY. Each takes a database-wide lock at its commit.
pub(crate) const NOTIFY_PAUSE: Duration = Duration::from_millis(20);

/// How often other instances are notified of a changed low-water mark...
pub(crate) const LOW_WATER_PERIOD: Duration = Duration::from_secs(2);

/// ...and how often of an unchanged one: an instance may have started meanwhile.
pub(crate) const LOW_WATER_REPEAT: Duration = Duration::from_secs(60);
