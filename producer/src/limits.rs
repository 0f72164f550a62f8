//! The limits, pauses and timeouts of the ingress, each with its reason.
//!
//! What an operator may set is in [`settings`](crate::settings), with its default; there is no
//! constant here for it.

use std::time::Duration;

// Orders.

/// Products of an order. Together with [`MAX_PRODUCT_NAME`] it bounds an order's JSON to about 300 KB.
pub(crate) const MAX_PRODUCTS: usize = 500;

/// Bytes of a product's name.
pub(crate) const MAX_PRODUCT_NAME: usize = 500;

// Requests and answers.

/// Bytes of an idempotency key. A UUID has 36.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 255;

/// Bytes of an order's JSON with the maximum of products and names: what reading one order reserves
/// of [`ANSWER_MEMORY`].
pub(crate) const MAX_ORDER_JSON: usize = 512 * 1024;

/// Orders of a page, if the client does not say.
pub(crate) const DEFAULT_PAGE_ORDERS: u16 = 100;

/// Orders of a page. The API's description says it too.
pub(crate) const MAX_PAGE_ORDERS: u16 = 1000;

/// Bytes of a page. An order has up to 300 KB, so 1,000 orders alone would be no bound. The API's
/// description says it too.
pub(crate) const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of answers that are being made or sent, of all requests together. A client that reads
/// slowly keeps its answer in memory.
pub(crate) const ANSWER_MEMORY: usize = 64 * 1024 * 1024;

/// How long a request waits for its share of [`ANSWER_MEMORY`]. Readers of small answers come and go
/// in milliseconds, and a queue behind slow readers would only add to the delay.
pub(crate) const ANSWER_MEMORY_TIMEOUT: Duration = Duration::from_secs(1);

/// What `Retry-After` says with a 503, in seconds. The service probes a database that is away twice a
/// second.
pub(crate) const RETRY_AFTER_SECONDS: u16 = 2;

// API keys.

/// Characters of a key that follows a client's name in `API_KEYS_FILE`. A shorter word there is more
/// likely a part of a key that has a space in it.
pub(crate) const MIN_NAMED_KEY: usize = 16;

/// Bytes of a client's name, which labels metrics.
pub(crate) const MAX_CLIENT_NAME: usize = 64;

/// How often `API_KEYS_FILE` is read. A key that is taken out of it works for up to two periods.
pub(crate) const API_KEYS_PERIOD: Duration = Duration::from_secs(1);

// Bulk requests.

/// Bulk requests at a time: each may fill a good part of the queue.
pub(crate) const MAX_BULK_REQUESTS: usize = 16;

/// Lines of one bulk request that are in flight; no further ones are read meanwhile. Two full groups,
/// so that one is committed while the next fills.
pub(crate) const MAX_BULK_LINES_IN_FLIGHT: usize = 2 * MAX_GROUP_CHANGES;

/// How long the answer to a client that waits for `100 Continue` waits for its first result. By then
/// the body has been asked for, however slowly it comes.
pub(crate) const FIRST_RESULT_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of results that are compressed and written to a temporary file at once.
pub(crate) const SPOOL_BLOCK: usize = 256 * 1024;

/// Blocks of one request's results that wait in memory; further ones go into its temporary file.
pub(crate) const MAX_SPOOL_BLOCKS_IN_MEMORY: usize = 2;

// The queue.

/// Changes that wait or are being written: a few dozen full groups.
pub(crate) const MAX_QUEUED_CHANGES: usize = 16_384;

/// A change that was not begun to be written within this time is given up: 503, nothing was done.
/// Shorter than a request may take, so that the client learns the reason.
pub(crate) const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Changes of one transaction. Larger groups cost each of their changes more time, and gain next to
/// nothing.
pub(crate) const MAX_GROUP_CHANGES: usize = 256;

/// While a writer is at work, a second one joins when this many changes are ready...
pub(crate) const SECOND_WRITER_CHANGES: usize = MAX_GROUP_CHANGES / 2;

/// ...or when the first of them has been ready for this long: a group that is held up, by a lock of
/// another instance perhaps, then holds up nobody else. Below both bounds the larger groups of a
/// single writer cost least (ADR 0014).
pub(crate) const SECOND_WRITER_DELAY: Duration = Duration::from_millis(10);

/// Changes that are tried again after they met a lock, in one group: each may cost its writer a few
/// milliseconds.
pub(crate) const MAX_LOCKED_CHANGES_PER_GROUP: usize = 16;

/// The pause of a change after the first lock that it meets; it doubles with each further one, up to
/// [`MAX_LOCK_PAUSE`].
pub(crate) const FIRST_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between two tries of a change that waits for a lock.
pub(crate) const MAX_LOCK_PAUSE: Duration = Duration::from_millis(320);

// The writers.

/// How long a connect may take. A database that accepts a connection but does not answer counts as
/// away.
pub(crate) const WRITER_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a statement may wait for a lock. The whole group waits with it, so it is short; after it
/// the group is tried with [`CAREFUL_LOCK_TIMEOUT`].
pub(crate) const WRITER_LOCK_TIMEOUT: &str = "200ms";

/// How long a statement may take, for the same reason.
pub(crate) const WRITER_STATEMENT_TIMEOUT: &str = "2s";

/// The same while a group is bisected, which takes some eight tries until one change is left.
pub(crate) const CAREFUL_LOCK_TIMEOUT: &str = "5ms";

/// The same while a group is bisected.
pub(crate) const CAREFUL_STATEMENT_TIMEOUT: &str = "250ms";

/// How long writing a group may take before its connection is given up. Longer than
/// [`WRITER_STATEMENT_TIMEOUT`], so that normally the server decides.
pub(crate) const GROUP_TIMEOUT: Duration = Duration::from_secs(6);

/// Conflicts in a row after which a group is tried again at once. More are no accident; then it waits
/// between its tries.
pub(crate) const MAX_IMMEDIATE_RETRIES: u32 = 5;

/// The first and the longest pause between the tries of a group whose database is away.
pub(crate) const GROUP_RETRY_PAUSES: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(500));

/// A connection that was idle for longer is asked whether it lives before it is given a group: when a
/// connection is lost during a group, nobody knows what became of the group.
pub(crate) const CONNECTION_CHECK_AFTER: Duration = Duration::from_millis(100);

/// Integers that one statement takes from the sequence of order ids. Where imported orders have many
/// of them, each statement takes twice as many as the one before, up to this number.
pub(crate) const MAX_ORDER_NUMBERS: i64 = 10_000;

// The routes that read.

/// How long a statement may take: an answer of 503 is better than a client that hangs. The writers and
/// the relay have their own bounds.
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

/// That pause is at least this many times what the last measurement took, so that measuring takes at
/// most a tenth of a connection's time.
pub(crate) const MAINTENANCE_COST_FACTOR: u32 = 10;

/// How long maintenance's connect may take.
pub(crate) const MAINTENANCE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer to maintenance may take. Longer than [`STATEMENT_TIMEOUT`], so that normally the
/// server decides.
pub(crate) const MAINTENANCE_ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Up to this number the backlog is counted; beyond it, it is estimated by the span of its ids.
pub(crate) const MAX_COUNTED_EVENTS: i64 = 10_000;

/// How long idempotency keys are kept. The API's description says it too.
pub(crate) const IDEMPOTENCY_KEY_RETENTION: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// How long after its time of creation a key may be committed, or how much the clock of its instance may
/// be behind, so that the key is still found and deleted.
pub(crate) const IDEMPOTENCY_KEY_SLACK: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// The pause between two rounds in which old idempotency keys are deleted.
pub(crate) const DELETE_KEYS_PERIOD: Duration = Duration::from_secs(60);

/// Idempotency keys that one statement deletes: it stays short.
pub(crate) const MAX_DELETED_KEYS: i64 = 5_000;

// The watch over vacuum.

/// The pause between two checks of whether vacuum is held back.
pub(crate) const VACUUM_PERIOD: Duration = Duration::from_secs(10);

/// Deleted rows of the outbox from which on a holder is searched for. Fewer harm nobody.
pub(crate) const MIN_DEAD_ROWS: i64 = 100_000;

/// How long a transaction must have held vacuum back to be reported: shorter ones are statements like
/// others.
pub(crate) const MIN_HELD_BACK: Duration = Duration::from_secs(30);

// Notifications to other instances.

/// The pause after each NOTIFY. Each takes a lock of the whole database at its commit.
pub(crate) const NOTIFY_PAUSE: Duration = Duration::from_millis(20);

/// How often other instances are notified of where the outbox begins...
pub(crate) const LOW_WATER_PERIOD: Duration = Duration::from_secs(2);

/// ...and how often while it begins where it did: an instance may have started meanwhile.
pub(crate) const LOW_WATER_REPEAT: Duration = Duration::from_secs(60);
