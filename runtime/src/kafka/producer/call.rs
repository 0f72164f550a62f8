//! The calls of a producer that can block in the client library.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::gauge;

use super::client::Client;
use super::transaction::{GroupOffsets, Stage, TransactionError};
use crate::metrics as names;

/// A call that can block, with its arguments.
pub(super) enum Call {
    Init,
    SendOffsets(GroupOffsets),
    Drain,
    Commit,
    Abort,
}

/// The kind of a call, without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Init,
    /// One of the calls that end a transaction.
    End(Stage),
    Abort,
}

impl Call {
    pub(super) const fn kind(&self) -> CallKind {
        match self {
            Self::Init => CallKind::Init,
            Self::SendOffsets(_) => CallKind::End(Stage::SendingOffsets),
            Self::Drain => CallKind::End(Stage::Draining),
            Self::Commit => CallKind::End(Stage::Committing),
            Self::Abort => CallKind::Abort,
        }
    }

    pub(super) fn make(&self, client: &Client, timeout: Duration) -> Result<(), TransactionError> {
        match self {
            Self::Init => client.init(timeout),
            Self::SendOffsets(offsets) => client.send_offsets(offsets, timeout),
            Self::Drain => client.drain(timeout),
            Self::Commit => client.commit(timeout),
            Self::Abort => client.abort(timeout),
        }
    }
}

impl CallKind {
    /// Returns whether the call, repeated after it timed out, goes on where it stopped. Adding offsets
    /// begins again with its first request (`rd_kafka_txn_op_send_offsets_to_transaction`), so a
    /// timeout that is too short for it is too short for every repetition.
    pub(super) const fn resumes(self) -> bool {
        !matches!(self, Self::End(Stage::SendingOffsets))
    }

    /// Returns librdkafka's name of the call.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init_transactions",
            Self::End(Stage::SendingOffsets) => "send_offsets_to_transaction",
            Self::End(Stage::Draining) => "flush",
            Self::End(Stage::Committing) => "commit_transaction",
            Self::Abort => "abort_transaction",
        }
    }
}

/// Counts the abandoned calls of one owner's producers that have not returned. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(super) struct AbandonedCalls(Arc<AtomicUsize>);

impl AbandonedCalls {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a call that is abandoned.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        gauge!(names::KAFKA_CALLS_ABANDONED).increment(1);
    }

    /// Stops counting a call that has returned after all.
    pub(super) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        gauge!(names::KAFKA_CALLS_ABANDONED).decrement(1);
    }
}
