//! A requested change of an order, and its outcome.

use runtime::postgres::Unwritable;
use runtime::trace_context::TraceParent;
use schemas::Status;

use crate::orders::{NewOrder, Order};
use crate::store::idempotency_keys::Claim;

/// One change of one order.
#[derive(Debug, Clone)]
pub struct Change {
    /// What to do.
    pub action: Action,
    /// The idempotency key of the request.
    pub claim: Option<Claim>,
    /// The request's trace, which its event continues.
    pub trace: TraceParent,
}

/// What to do with an order.
#[derive(Debug, Clone)]
pub enum Action {
    /// Place a new one.
    Place(NewOrder),
    /// Change the status of an existing one.
    SetStatus {
        /// Its id; a valid [`OrderId`](schemas::OrderId).
        order_id: String,
        /// The requested status.
        wanted: Status,
        /// The versions on which the change may build.
        precondition: Option<Precondition>,
    },
}

/// The versions on which a change may build: an `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Any version, as long as the order exists.
    Any,
    /// One of these versions; an empty list matches none.
    Versions(Vec<i64>),
}

impl Precondition {
    /// Returns whether an order of this version may be changed.
    pub fn holds(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// The outcome of a change. Only `Placed` and `Changed` wrote an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The order was placed.
    Placed(Order),
    /// The order has the new status.
    Changed(Order),
    /// The order had the status already.
    Unchanged(Order),
    /// The same request was answered before under this idempotency key. This is the stored answer.
    Replayed {
        /// Its HTTP status.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// The change cannot be made.
    Refused(ChangeRefused),
}

/// Why a change cannot be made. A retry alone does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRefused {
    /// An order of this id exists.
    OrderExists {
        /// The id.
        order_id: String,
    },
    /// The order does not exist.
    OrderNotFound,
    /// The status cannot follow the order's current one.
    Transition {
        /// The current status.
        current: Status,
        /// The requested status.
        wanted: Status,
    },
    /// The order has another version than the client builds on.
    PreconditionFailed {
        /// The order's version.
        version: i64,
    },
    /// Another request was made under this idempotency key.
    KeyReused,
}

impl From<ChangeRefused> for Outcome {
    fn from(why: ChangeRefused) -> Self {
        Self::Refused(why)
    }
}

/// Why a request was not carried out. Except for `OutcomeUnknown`, nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDone {
    /// The database did not answer in time.
    Unavailable,
    /// Another session of the database holds a lock on the order or the key that this names.
    Locked(String),
    /// Another session of the database holds a lock on whole tables.
    TablesLocked,
    /// The statement failed for this reason, although this request was alone in it.
    StatementFailed(String),
    /// The stored order of this id cannot be read.
    Unreadable(String),
    /// The database takes no writes.
    Unwritable(Unwritable),
    /// Too many requests are in flight, or too many events wait to be published.
    Overloaded,
    /// The service shuts down.
    Closing,
    /// The connection was lost during the commit: the change may have been written.
    OutcomeUnknown,
    /// The database refuses the change for its data.
    DataRefused,
}
