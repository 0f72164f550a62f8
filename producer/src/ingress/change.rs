//! What is asked for, and what came of it.

use runtime::postgres::Unwritable;
use runtime::trace_context::TraceParent;
use schemas::Status;

use crate::orders::{NewOrder, Order};

/// One change of one order.
#[derive(Debug, Clone)]
pub struct Change {
    /// What to do.
    pub action: Action,
    /// The idempotency key under which it was asked for.
    pub claim: Option<Claim>,
    /// The request's trace; its event carries a child.
    pub trace: TraceParent,
}

/// What to do with an order.
#[derive(Debug, Clone)]
pub enum Action {
    /// Place a new one.
    Place(NewOrder),
    /// Give one another status.
    SetStatus {
        /// Which; a valid [`OrderId`](schemas::OrderId).
        order_id: String,
        /// The status that it shall have.
        wanted: Status,
        /// Only if it is as the client saw it.
        precondition: Option<Precondition>,
    },
}

/// The versions on which a change may build: an `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Any, as long as the order exists.
    Any,
    /// One of these; none matches when the list is empty.
    Versions(Vec<i64>),
}

impl Precondition {
    /// Whether an order of this version may be changed.
    pub fn holds(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// An idempotency key, within the API key that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose key it is.
    pub api_key_id: String,
    /// The key.
    pub key: String,
    /// What was asked for under it.
    pub request_hash: [u8; 32],
}

/// What came of a change. Everything but `Placed` and `Changed` wrote no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The order is placed.
    Placed(Order),
    /// The order has the new status.
    Changed(Order),
    /// The order had the status already.
    Unchanged(Order),
    /// The same was asked for before under this idempotency key: the answer of then.
    Replayed {
        /// Its HTTP status.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// An order of this id exists.
    Exists {
        /// The id.
        order_id: String,
    },
    /// There is no such order.
    NotFound,
    /// The status can't follow the one the order has.
    Refused {
        /// The status that it has.
        current: Status,
        /// The status that was wanted.
        wanted: Status,
    },
    /// The order is not as the client saw it.
    PreconditionFailed {
        /// Its version.
        version: i64,
    },
    /// Something else was asked for under this idempotency key.
    KeyReused,
}

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// The database did not answer in time: nothing was done.
    Unavailable,
    /// Another session of the database holds a lock on what this names: nothing was done.
    Locked(String),
    /// Another session of the database holds a lock on whole tables: nothing was done.
    TablesLocked,
    /// The statement failed although nothing but this change was in it, for this reason: nothing was
    /// done.
    Failed(String),
    /// The stored order of this id can't be read: nothing was done.
    Unreadable(String),
    /// The database takes no writes: nothing was done.
    Unwritable(Unwritable),
    /// Too many changes wait to be written or published: nothing was done.
    Overloaded,
    /// The service stops: nothing was done.
    Closing,
    /// The connection was lost during the commit, and what became of it can't be told.
    OutcomeUnknown,
    /// The database refuses this change for its data: nothing was done.
    Rejected,
}
