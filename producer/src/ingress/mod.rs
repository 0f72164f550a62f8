//! Commits concurrent changes of orders in groups.
//!
//! ```text
//! request -> submit -> queue -> writer: take a group -> decide -> commit -> answers
//! ```
//!
//! A group consists of the changes that arrived while the last group was being committed; no timer
//! waits for more. It has at most one change per order and per idempotency key, so that reading the
//! locked rows once is enough to decide about all changes. An answer is sent after the commit, never
//! before.
//!
//! | module | subject |
//! |---|---|
//! | `change` | a requested change, and its outcome |
//! | `conflicts` | which change waits for which |
//! | `job` | a change that waits for its outcome, and how it is to be committed |
//! | `queue` | waiting changes, and which of them may be committed together |
//! | `writer` | the loop: take, commit, bisect or wait, answer |
//! | `gate` | whether changes are accepted: not with too large a backlog or a database that is away |
//! | `wakeup` | wakes relays when there are new events |
//! | `maintenance` | measures the backlog, deletes old idempotency keys, probes the database |
//! | `vacuum` | reports who holds vacuum back |

mod change;
mod conflicts;
mod gate;
mod job;
mod maintenance;
mod queue;
mod vacuum;
mod wakeup;
mod writer;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

pub use crate::store::idempotency_keys::Claim;
pub use change::{Action, Change, ChangeRefused, NotDone, Outcome, Precondition};
pub use gate::Gate;
pub use maintenance::Maintenance;
pub use queue::Queue;
pub use vacuum::VacuumWatch;
pub use wakeup::Wakeup;
pub use writer::Writer;

use crate::limits::CHANGE_TIMEOUT;

/// Accepts changes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingress {
    queue: Arc<Queue>,
    gate: Arc<Gate>,
}

/// A change that was accepted. It will be written or refused whether or not somebody waits for the
/// outcome: a client that disconnects cancels nothing.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Outcome, NotDone>>);

impl Ingress {
    /// Puts changes into `queue` while `gate` is open.
    pub const fn new(queue: Arc<Queue>, gate: Arc<Gate>) -> Self {
        Self { queue, gate }
    }

    /// Accepts a change, or refuses it at once when the queue is full.
    ///
    /// # Errors
    /// Overloaded, unavailable, or closing: nothing was done.
    pub fn submit(&self, change: Change) -> Result<Pending, NotDone> {
        self.gate.check()?;
        let (answer, pending) = oneshot::channel();
        self.queue
            .push(change, answer, Instant::now() + CHANGE_TIMEOUT)?;
        Ok(Pending(pending))
    }

    /// Accepts a change as soon as the queue has room. For streams: the wait is their backpressure.
    ///
    /// # Errors
    /// As [`Ingress::submit`], when there was no room in time.
    pub async fn submit_when_room(&self, change: Change) -> Result<Pending, NotDone> {
        self.gate.check()?;
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        let (answer, pending) = oneshot::channel();
        self.queue.push_when_room(change, answer, deadline).await?;
        Ok(Pending(pending))
    }

    /// Accepts no more changes. The writers end when they have written the waiting ones.
    pub fn close(&self) {
        self.queue.close();
    }
}

impl Pending {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// See [`NotDone`].
    pub async fn outcome(self) -> Result<Outcome, NotDone> {
        // A writer that ended without an answer may have committed the change.
        self.0.await.unwrap_or(Err(NotDone::OutcomeUnknown))
    }
}
