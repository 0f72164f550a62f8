//! Every bound and interval of the processor's loop, and the reason for each.
//!
//! Bounds that the services share are constants beside the shared code: how long a stop may take
//! ([`DRAIN`](runtime::stepping::DRAIN)), how long a transaction may be open
//! ([`TRANSACTION_TIMEOUT`]), how long offsets are deferred
//! ([`deferred_offsets`](runtime::deferred_offsets)), when the circuit breaker opens and for how long
//! ([`circuit_breaker`](runtime::circuit_breaker)), and the pauses between attempts
//! ([`Backoff`](runtime::backoff::Backoff)).

use std::time::Duration;

use runtime::kafka::TRANSACTION_TIMEOUT;

/// When a batch is full. A batch ends earlier when no record is waiting, never on a timer.
///
/// The bounds keep a transaction far below its timeout, and a rebalance from waiting long.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Records that are read.
    pub records: usize,
    /// Records that are to be written.
    pub outputs: usize,
    /// Bytes that are to be written.
    pub bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            records: 20_000,
            outputs: 5_000,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// Memory that an emptied batch keeps for the next one: twice what a full batch needs. A batch of
/// unusually large dead letters must not hold its memory for ever.
pub(crate) const MAX_KEPT_ARENA_BYTES: usize = 16 * 1024 * 1024;

/// How long a poll of an empty topic waits. Also how soon a stop is noticed.
pub(crate) const IDLE_POLL: Duration = Duration::from_millis(250);

/// How long a batch without outputs grows before its offsets are committed alone. If a voucher comes
/// meanwhile, its transaction commits these offsets too, which saves a commit. After a crash these
/// records are skipped again.
pub(crate) const SKIPPED_BATCH_GROWTH: Duration = Duration::from_millis(200);

/// How long one call may wait for the broker before the group is polled again. Far below the session
/// timeout.
pub(crate) const BROKER_CALL: Duration = Duration::from_millis(500);

/// A transaction that has not ended after this long is given up with its producer: the coordinator has
/// aborted it by then, unless it was committed. (A single call that does not come back is given up
/// earlier, by the producer itself.)
pub(crate) const MAX_TRANSACTION: Duration = TRANSACTION_TIMEOUT;

/// How long a record may wait for room in the producer's queue, which is larger than a batch. If the
/// queue is full for this long, the broker accepts nothing.
pub(crate) const QUEUE_ROOM: Duration = Duration::from_secs(5);

/// Records prefetched between two polls of the transaction that is being finished. Bounds how long its
/// outcome can go unnoticed.
pub(crate) const PREFETCHED_PER_STEP: usize = 500;

/// How long a step waits for the transaction's outcome when there is nothing to prefetch at the moment.
pub(crate) const PREFETCH_POLL: Duration = Duration::from_millis(1);

/// How often the cache is asked for a schema that a record waits for.
pub(crate) const SCHEMA_POLL: Duration = Duration::from_millis(20);

/// How long a step of a longer pause waits. Bounds how late a stop is noticed.
pub(crate) const PAUSE_STEP: Duration = Duration::from_millis(100);

/// Failed transactions or commits of offsets in a row after which the task still counts as ready and writes
/// its batch again. A rebalance causes one or two. From the next failure on the task is not ready and reads
/// its records again: its member may have been fenced or removed, which the loop learns only when it reads.
pub(crate) const MAX_QUIET_FAILURES: u32 = 3;

/// How long the group's offsets may be unstable before hanging transactions are searched for. A live
/// transaction keeps offsets unstable for its timeout at most. The interval doubles after each search, up
/// to [`MAX_HANGING_SEARCH_INTERVAL`].
pub(crate) const HANGING_SEARCH_INTERVAL: Duration = TRANSACTION_TIMEOUT;

/// The longest interval between two searches for hanging transactions. A search ends those of this
/// task's transactional ids. It cannot end one of another producer, so more searches would be useless.
pub(crate) const MAX_HANGING_SEARCH_INTERVAL: Duration = Duration::from_secs(600);

/// How long a stop waits for the group's members, to learn whether another instance can take over. The
/// partitions are not read meanwhile; without an answer the task keeps its place.
pub(crate) const HAND_OVER: Duration = Duration::from_millis(500);

/// Fences within [`FENCE_WINDOW`] after which the task looks for another process with its name.
pub(crate) const MAX_FENCES: usize = 3;

/// See [`MAX_FENCES`]. Fences that are further apart are unrelated.
pub(crate) const FENCE_WINDOW: Duration = Duration::from_secs(120);

/// How long one look-up of this task's name in the group takes.
pub(crate) const NAME_LOOKUP: Duration = Duration::from_millis(500);

/// How much longer than a session timeout this task's name is looked up. The session of a member that
/// joins an empty group begins after `group.initial.rebalance.delay.ms` (3 s).
pub(crate) const NAME_LOOKUP_MARGIN: Duration = Duration::from_secs(5);
