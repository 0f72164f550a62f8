//! From concurrent requests to grouped commits.
//!
//! ```text
//! request -> submit -> queue -> writer: take a group -> decide -> commit -> answers
//! ```
//!
//! A group is what arrived while the last one was being committed; no timer waits for more. It
//! holds at most one change per order and per idempotency key, so that one look at the locked rows
//! decides all of it. An answer is given after the commit, never before.
//!
//! | module | subject |
//! |---|---|
//! | `change` | what is asked for, and what came of it |
//! | `queue` | what waits, and which of it may go together |
//! | `lines` | which change waits for which |
//! | `job` | a change in the queue, and the way in which it is to be written |
//! | `decide` | the verdict on a change, given the rows: pure |
//! | `commit` | one group, in one statement or in one transaction |
//! | `place`, `set_status` | new orders; orders that shall have another status |
//! | `statements` | the SQL, one statement per step for a whole group |
//! | `stored` | an order as it is stored; one that can't be read |
//! | `writer` | the loop: take, commit, halve or wait, answer |
//! | `gate` | when nothing may be taken in: the backlog, a database that is away |
//! | `wakeup` | the relay hears of new events |
//! | `upkeep` | the small periodic work |
//! | `backlog`, `old_keys` | the backlog is measured, old idempotency keys are deleted |
//! | `vacuum` | whoever holds vacuum back is named |

mod backlog;
mod change;
mod commit;
mod decide;
mod gate;
mod job;
mod lines;
mod old_keys;
mod place;
mod queue;
mod set_status;
mod statements;
mod stored;
mod upkeep;
mod vacuum;
mod wakeup;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use change::{Action, Change, Claim, NotWritten, Outcome, Precondition};
pub use gate::Gate;
pub use queue::Queue;
pub use stored::StoredOrder;
pub use upkeep::Upkeep;
pub use vacuum::VacuumWatch;
pub use wakeup::Wakeup;
pub use writer::Writer;

/// A change that has not begun to be written after this long is given up: 503, nothing was done.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingress {
    queue: Arc<Queue>,
    gate: Arc<Gate>,
}

/// A change that was taken in. It will be written (or refused) whether or not somebody waits for
/// the answer: a client that disconnects cancels nothing.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Outcome, NotWritten>>);

impl Ingress {
    /// The way into `queue`, past `gate`.
    pub const fn new(queue: Arc<Queue>, gate: Arc<Gate>) -> Self {
        Self { queue, gate }
    }

    /// Takes a change in; refused at once when too much is waiting.
    ///
    /// # Errors
    /// Overloaded, unavailable, or closing: nothing was done.
    pub fn submit(&self, change: Change) -> Result<Pending, NotWritten> {
        self.gate.check()?;
        let (answer, pending) = oneshot::channel();
        self.queue.push(change, answer, Instant::now() + PATIENCE)?;
        Ok(Pending(pending))
    }

    /// Takes a change in, waiting for room: for a stream, whose sender is slowed down by that.
    ///
    /// # Errors
    /// As [`Ingress::submit`], when there was no room in time.
    pub async fn submit_in_turn(&self, change: Change) -> Result<Pending, NotWritten> {
        self.gate.check()?;
        let deadline = Instant::now() + PATIENCE;
        let (answer, pending) = oneshot::channel();
        self.queue.push_in_turn(change, answer, deadline).await?;
        Ok(Pending(pending))
    }

    /// No more changes; the writers end when they have written what is waiting.
    pub fn close(&self) {
        self.queue.close();
    }
}

impl Pending {
    /// What came of it.
    ///
    /// # Errors
    /// See [`NotWritten`].
    pub async fn outcome(self) -> Result<Outcome, NotWritten> {
        // A writer that ended without an answer may have committed before it did.
        self.0.await.unwrap_or(Err(NotWritten::OutcomeUnknown))
    }
}
