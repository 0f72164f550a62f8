//! A producer whose calls return in time.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::adaptive_timeout::AdaptiveTimeout;
use super::call::{AbandonedCalls, Call};
use super::call_thread::CallThread;
use super::client::Client;
use super::transaction::{GroupOffsets, Outgoing, Refused, TransactionError, Unfinished};
use crate::lifecycle::Failure;
use crate::record::Partition;

/// A producer that one thread drives: begin, send, drain, send offsets, commit. With a transactional
/// id in its configuration it writes transactions, without one it only sends and drains. After a
/// fatal error its owner builds a new one.
///
/// The calls that can block in the client library run on a thread that belongs to the producer. A
/// timeout is how long the caller waits: after that the call goes on, and the same call made again
/// waits for its result. A call that does not return is abandoned: every call from then on is
/// [`TransactionError::Fatal`]. Dropping a producer does not wait for such a call; the thread destroys
/// the client whenever it returns.
pub struct Producer {
    // Dropped before the thread, which then has the last reference and destroys the client.
    client: Arc<Client>,
    calls: CallThread,
}

impl Producer {
    /// Builds the client; does not talk to the broker yet.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn new(config: &ClientConfig) -> Result<Self, Failure> {
        Self::sharing(
            config,
            AbandonedCalls::default(),
            AdaptiveTimeout::longest(),
        )
    }

    /// Builds the client. Its owner's other producers share the count of abandoned calls, and the
    /// timeout after which a call is abandoned.
    pub(super) fn sharing(
        config: &ClientConfig,
        abandoned: AbandonedCalls,
        abandon_timeout: AdaptiveTimeout,
    ) -> Result<Self, Failure> {
        let client = Arc::new(Client::new(config)?);
        let id = config.get("transactional.id").unwrap_or_default();
        let calls = CallThread::start(
            Arc::clone(&client),
            id.to_owned(),
            abandoned,
            abandon_timeout,
        )
        .map_err(|error| {
            Failure::failed(format!(
                "cannot start a thread for a Kafka producer: {error}"
            ))
        })?;
        Ok(Self { client, calls })
    }

    /// Takes over the transactional id: fences the producer that had it, and aborts the transaction
    /// that it left open.
    ///
    /// # Errors
    /// See [`TransactionError`]; retriable while the broker does not answer.
    pub fn init(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.calls.call(Call::Init, timeout)
    }

    /// Begins a transaction, without talking to the broker.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn begin(&self) -> Result<(), TransactionError> {
        match self.calls.failure() {
            Some(error) => Err(error),
            None => self.client.begin(),
        }
    }

    /// Adds a record to the client's queue, waiting up to `timeout` for room.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when there was no room in time; otherwise
    /// [`TransactionError::Abortable`]: an earlier record of the transaction failed, or this one cannot
    /// be sent at all.
    pub fn send(&self, record: &Outgoing<'_>, timeout: Duration) -> Result<(), TransactionError> {
        self.client.send(record, None, timeout)
    }

    /// Sends a record to a partition that its key does not choose.
    pub(super) fn send_to(
        &self,
        record: &Outgoing<'_>,
        partition: Partition,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.client.send(record, Some(partition), timeout)
    }

    /// Waits until every record is acknowledged.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when some are not after `timeout`;
    /// [`TransactionError::Abortable`] when one failed.
    pub fn drain(&self, timeout: Duration) -> Result<(), TransactionError> {
        if self.calls.is_busy() {
            self.calls.call(Call::Drain, timeout)
        } else {
            self.client.drain(timeout)
        }
    }

    /// Returns how many records could not be delivered, including the refused ones.
    pub fn failed(&self) -> usize {
        self.client.failed()
    }

    /// Takes the records that the broker refused, in the order of the refusals.
    pub fn take_refused(&self) -> Vec<Refused> {
        self.client.take_refused()
    }

    /// Adds a group's offsets to the transaction.
    ///
    /// # Errors
    /// See [`TransactionError`]. A retry must have the same offsets.
    pub fn send_offsets(
        &self,
        offsets: GroupOffsets,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.calls.call(Call::SendOffsets(offsets), timeout)
    }

    /// Commits. Call [`drain`](Self::drain) first: while anything is unacknowledged the wrapper's
    /// commit waits in slices of 100 ms.
    ///
    /// # Errors
    /// See [`TransactionError`]. A retry resumes.
    pub fn commit(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.calls.call(Call::Commit, timeout)
    }

    /// Aborts. Call [`drain`](Self::drain) first: an abort that overtakes the registration of the
    /// first record's partition makes the client unusable (confluentinc/librdkafka#4849).
    ///
    /// # Errors
    /// See [`TransactionError`]. A retry resumes.
    pub fn abort(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.calls.call(Call::Abort, timeout)
    }

    /// Starts to end the open transaction on the producer's thread: sends `offsets`, drains, commits.
    /// That is one wake-up of the thread instead of three.
    pub fn start_finish(&self, offsets: GroupOffsets) {
        self.calls.start_finish(offsets);
    }

    /// Returns the result of [`start_finish`](Self::start_finish), waiting for it up to
    /// `timeout`; `None` while it goes on. When one of its calls takes longer than `call_timeout`, the
    /// result is [`TransactionError::Retriable`], and the owner makes the calls one by one from this
    /// [`Stage`](super::Stage) on.
    pub fn poll_finish(
        &self,
        timeout: Duration,
        call_timeout: Duration,
    ) -> Option<Result<(), Unfinished>> {
        self.calls.poll_finish(timeout, call_timeout)
    }
}
