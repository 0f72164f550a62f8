//! Timeouts, intervals and bounds of a consumer, each with its reason.

use std::time::Duration;

// Committed offsets.

/// Timeout of one request for committed offsets. A coordinator that is far away or throttled answers
/// within it; after it the request is sent again.
pub(super) const COMMITTED_OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);

/// An open transaction that holds one offset back delays the answer for all partitions of a request.
/// After this long each partition is requested by itself as well.
pub(super) const REQUEST_SINGLY_AFTER: Duration = Duration::from_secs(1);

/// Requests that are open at the same time. Each has a thread.
pub(super) const MAX_OPEN_REQUESTS: usize = 32;

/// How long the loop waits for the answer to a new request: most coordinators answer within milliseconds,
/// and the partition then starts one poll earlier. Records of other partitions wait meanwhile.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(20);

/// The same while no partition is fetched, so that no record waits.
pub(super) const FIRST_WAIT_WITHOUT_RECORDS: Duration = Duration::from_millis(200);

/// Pause before a new request for offsets that were not returned, or that are not settled.
pub(super) const REQUEST_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A partition whose offset is unknown for this long is reported as blocked. Shorter delays are
/// those of a usual rebalance.
pub(super) const OFFSET_UNKNOWN_AFTER: Duration = Duration::from_secs(5);

/// How long after a lost connection committed offsets may be out of date: the broker that was away
/// may still be loading the group.
pub(super) const DISTRUST_AFTER_OUTAGE: Duration = Duration::from_secs(10);

/// After an outage an offset counts once the coordinator has returned it unchanged for this long.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(2);

// Blocked partitions.

/// Pause before a halted partition is fetched again; doubled each time, up to [`MAX_RETRY_PAUSE`].
pub(super) const FIRST_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A partition whose cause has gone resumes within this time.
pub(super) const MAX_RETRY_PAUSE: Duration = Duration::from_secs(8);

/// Timeout of the request for the offsets that a log holds. Only a message to a person needs the answer.
pub(super) const LOG_RANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval between two requests for the ends of the logs. A partition that does not move is
/// reported after two answers. Also how long the ends may be unknown before that is reported.
pub(super) const LOG_ENDS_INTERVAL: Duration = Duration::from_secs(4);

/// The same within [`QUICK_AFTER_OUTAGE`] of a lost connection. Leaders move then, and partitions were
/// observed to stall after that. Longer than most fetches take.
pub(super) const QUICK_LOG_ENDS_INTERVAL: Duration = Duration::from_secs(1);

/// How long after a lost connection partitions are checked more often. Long enough for brokers to
/// come back in turn and for leaders to move back to them.
pub(super) const QUICK_AFTER_OUTAGE: Duration = Duration::from_secs(30);

/// Timeout of one such request. Only one is open at a time, so a broker that is throttled has this
/// long for its answer at the quick interval, too.
pub(super) const LOG_ENDS_TIMEOUT: Duration = LOG_ENDS_INTERVAL;

/// Pause between the first and the second restart of a stalled partition. It doubles for as long as
/// the partition does not move, because a restart discards a fetch that may only be slow.
pub(super) const FIRST_RESTART_PAUSE: Duration = Duration::from_secs(8);

/// The longest pause between two restarts: a fetch that takes less succeeds in the end.
pub(super) const MAX_RESTART_PAUSE: Duration = Duration::from_secs(64);

/// A member that is in no group for this long is reported. A usual rejoin takes less.
pub(super) const MEMBERSHIP_LOST_AFTER: Duration = Duration::from_secs(5);

/// Interval between two checks for blocked partitions. Bounds how late `/readyz` sees a change, and how
/// late a heartbeat is sent. A loop that has nothing to read polls less often.
pub(super) const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

/// How long a poll waits for the revocations of a member that was removed. The client has queued them before
/// it drops the member id.
pub(super) const REVOCATIONS_OF_REMOVED: Duration = Duration::from_millis(20);

// Records and events.

/// Under a sustained load the client's events are polled after this many records. Bounds how late a
/// rebalance is noticed, at a cost of one call in 500.
pub(super) const RECORDS_PER_EVENT_POLL: u32 = 500;

/// How long one wait for a record may take in `first_records`, which has a deadline of its own.
pub(super) const FIRST_RECORD_WAIT: Duration = Duration::from_millis(100);

// Commit and close.

/// Timeout of a commit. librdkafka's own call waits without a limit (`rd_kafka_commit`), and a loop
/// that waits here does not poll its group.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the drop of a consumer waits until the consumer is closed. The client waits for the
/// coordinator without a limit; after this time it goes on closing in the background.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a member that leaves its group waits for its partitions to be revoked. Shorter than
/// [`CLOSE_TIMEOUT`], which includes it.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
