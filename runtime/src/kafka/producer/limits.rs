//! Timeouts and bounds of a producer, each with its reason.
//!
//! The transaction's own timeout is [`TRANSACTION_TIMEOUT`].

use std::time::Duration;

use crate::kafka::TRANSACTION_TIMEOUT;

// Calls that can block.

/// A call that has not returned this long after it was made is abandoned, as some never return. A new
/// client's first call takes up to five round trips (registering the offsets, finding the group's
/// coordinator, connecting to it, committing them), so 500 ms for each are no fault. It is short
/// because it adds up: in a rolling restart the new client may meet the next broker's stop. Doubled
/// each time, up to [`MAX_ABANDON_TIMEOUT`].
pub(super) const FIRST_ABANDON_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest time before a call is abandoned. It exceeds the transaction's timeout, after which the
/// loops replace the producer anyway: more would be of no use.
pub(super) const MAX_ABANDON_TIMEOUT: Duration = Duration::from_secs(12);

const _: () = assert!(MAX_ABANDON_TIMEOUT.as_millis() > TRANSACTION_TIMEOUT.as_millis());

/// A call is made with a timeout that ends this long before it is abandoned. A call that keeps to its
/// timeout then returns in time, on a busy machine too, and its producer goes on.
pub(super) const RETURN_MARGIN: Duration = Duration::from_secs(1);

/// The number of abandoned calls of one owner at which no further client is built. Each keeps a client
/// with its threads and connections. Five, each followed by a new client that did no better, mean that
/// only a new process can help.
pub(super) const MAX_ABANDONED_CALLS: usize = 5;

/// How long the drop of a producer waits for its client to be destroyed. That takes milliseconds, but
/// it can block.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

// Takeover of transactional ids.

/// Clients that have not taken over their ids after this long are replaced by new ones, which ask any
/// broker where the coordinators are. Doubled each time, up to [`MAX_TAKEOVER_TIMEOUT`].
pub(super) const FIRST_TAKEOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time for one set of clients: a coordinator that is back is found within it.
pub(super) const MAX_TAKEOVER_TIMEOUT: Duration = Duration::from_secs(40);

// Acknowledgements. The wrapper's `poll` with a timeout lasts until that time is over, whatever comes,
// and spins through what is below a millisecond, on a core that the broker may need to answer. So
// `drain` polls without waiting, and sleeps in between for an eighth of the time that has passed.

/// Shortest sleep between two polls for acknowledgements.
pub(super) const MIN_DRAIN_SLEEP: Duration = Duration::from_micros(50);

/// Longest sleep between two polls for acknowledgements. Bounds how late one is noticed.
pub(super) const MAX_DRAIN_SLEEP: Duration = Duration::from_millis(5);

/// How long one wait for room in the client's queue lasts.
pub(super) const QUEUE_FULL_WAIT: Duration = Duration::from_millis(1);

// Hanging transactions.

/// Offsets that are held back for less than this may belong to a busy sibling, whose transactions
/// last milliseconds. Nothing is written before.
pub(super) const SUSPECT_AFTER: Duration = Duration::from_secs(3);

/// How long the markers of an abort may take to release the offsets.
pub(super) const MARKERS_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause between the two checks for open partitions. If the open records are of a live transaction, the
/// stable offset has moved by then.
pub(super) const RECHECK_PAUSE: Duration = Duration::from_millis(100);

/// The least time that a request for stable offsets gets. One that takes less may just be slow.
pub(super) const MIN_STABLE_OFFSETS_TIMEOUT: Duration = Duration::from_millis(150);

/// Timeout of each call of an abort. A client that was just made has to find the coordinator and to
/// connect to it first.
pub(super) const ABORT_CALL_TIMEOUT: Duration = Duration::from_secs(4);
