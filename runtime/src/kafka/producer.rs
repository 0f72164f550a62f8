//! A producer of which every call comes back in time.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::transaction::{Client, GroupOffsets, Outgoing, TransactionError, Unfinished};
use super::worker::{Abandoned, Call, Worker};
use crate::lifecycle::Failure;
use crate::record::Partition;

/// A producer that one thread drives: begin, send, drain, offsets, commit. With a transactional id
/// in its configuration it writes transactions, without one it sends and drains. Made again after a
/// fatal error.
///
/// The calls that can block in the client library are made by a thread that belongs to the
/// producer. A timeout is how long the caller waits: a call that has not answered by then goes on,
/// and the same call made again waits for its answer. One that does not come back is given up with
/// [`TransactionError::Fatal`]. Dropping a producer waits for nothing; that thread destroys the
/// client.
pub struct Producer {
    // Before the worker: whose reference to the client is the last one's, to destroy it there.
    client: Arc<Client>,
    worker: Worker,
}

impl Producer {
    /// Builds the client; does not talk to the broker yet.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn new(config: &ClientConfig) -> Result<Self, Failure> {
        Self::counted(config, Abandoned::default())
    }

    /// The same, whose calls that don't come back are counted in `abandoned`.
    pub(super) fn counted(config: &ClientConfig, abandoned: Abandoned) -> Result<Self, Failure> {
        let client = Arc::new(Client::new(config)?);
        let id = config.get("transactional.id").unwrap_or_default();
        let worker = Worker::start(Arc::clone(&client), id.to_owned(), abandoned)
            .map_err(|error| Failure::failed(format!("no thread for a Kafka producer: {error}")))?;
        Ok(Self { client, worker })
    }

    /// Takes over the transactional id: fences whoever had it, and ends what they left open.
    ///
    /// # Errors
    /// See [`TransactionError`]; retriable while the broker does not answer.
    pub fn init(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.worker.call(Call::Init, timeout)
    }

    /// Opens a transaction; local.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn begin(&self) -> Result<(), TransactionError> {
        match self.worker.given_up() {
            Some(error) => Err(error),
            None => self.client.begin(),
        }
    }

    /// Hands a record to the client, waiting up to `timeout` for room in its queue.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when there was no room in time, [`TransactionError::Abortable`]
    /// otherwise: an earlier record of the transaction failed, or this one can't be sent at all.
    pub fn send(&self, record: &Outgoing<'_>, timeout: Duration) -> Result<(), TransactionError> {
        self.client.send(record, timeout)
    }

    /// The same, to a partition that the key does not choose.
    pub(super) fn send_to(
        &self,
        record: &Outgoing<'_>,
        partition: Partition,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.client.send_to(record, Some(partition), timeout)
    }

    /// Waits until every record is acknowledged.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when some still are not after `timeout`;
    /// [`TransactionError::Abortable`] when one was refused.
    pub fn drain(&self, timeout: Duration) -> Result<(), TransactionError> {
        if self.worker.is_busy() {
            self.worker.call(Call::Drain, timeout)
        } else {
            self.client.drain(timeout)
        }
    }

    /// Adds a group's offsets to the transaction.
    ///
    /// # Errors
    /// See [`TransactionError`]. Retry with the very same offsets only.
    pub fn send_offsets(
        &self,
        offsets: GroupOffsets,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.worker.call(Call::SendOffsets(offsets), timeout)
    }

    /// Commits. [`drain`](Self::drain) first: the wrapper's own commit waits in slices of 100 ms
    /// while anything is unacknowledged.
    ///
    /// # Errors
    /// See [`TransactionError`]; when retriable, call it again: it resumes.
    pub fn commit(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.worker.call(Call::Commit, timeout)
    }

    /// Aborts. [`drain`](Self::drain) first: an abort that overtakes the first record's
    /// registration kills the client (confluentinc/librdkafka#4849).
    ///
    /// # Errors
    /// See [`TransactionError`]; when retriable, call it again: it resumes.
    pub fn abort(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.worker.call(Call::Abort, timeout)
    }

    /// Begins to end the open transaction: adds `offsets`, drains, commits, one call after the
    /// other. That is one wake-up of the producer's thread instead of three.
    pub fn begin_to_finish(&self, offsets: GroupOffsets) {
        self.worker.begin_to_finish(offsets);
    }

    /// What came of it, waiting for that up to `timeout`. Each of the calls may take up to
    /// `patience`: after that it is [`TransactionError::Retriable`], and its owner makes the calls
    /// one by one from this [`Stage`](super::Stage) on.
    pub fn poll_finish(
        &self,
        timeout: Duration,
        patience: Duration,
    ) -> Option<Result<(), Unfinished>> {
        self.worker.poll_finish(timeout, patience)
    }
}
