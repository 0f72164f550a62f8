//! Producers that take turns, one transaction each.
//!
//! After a commit was answered the broker still writes the transaction's markers. A transaction of the
//! same id that begins meanwhile is refused (`CONCURRENT_TRANSACTIONS`), and librdkafka retries its
//! first record only 20 ms later (`rd_kafka_txn_handle_AddPartitionsToTxn`). A second id is not
//! refused, and when the turn of the first one comes again, its markers are written.
//!
//! One transaction is open at a time, and the next begins after the last one's commit was answered.
//! Records and offsets keep their order: a partition's log and the group's coordinator take them in the
//! order in which they were written, not in that of the markers.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::adaptive_timeout::AdaptiveTimeout;
use super::bounded_producer::Producer;
use super::call::AbandonedCalls;
use super::hanging_transactions::{HangingTransactions, TransactionScope};
use super::limits::{FIRST_TAKEOVER_TIMEOUT, MAX_ABANDONED_CALLS, MAX_TAKEOVER_TIMEOUT};
use super::transaction::{Refused, TransactionError};
use crate::kafka::KafkaSettings;
use crate::lifecycle::Failure;

/// The producers of one owner, each with a transactional id of its own. They take turns; a single one
/// has every turn.
pub struct Producers {
    configs: Vec<ClientConfig>,
    scope: Option<(KafkaSettings, TransactionScope)>,
    all: Vec<Producer>,
    /// How many have taken over their ids.
    taken_over: usize,
    /// The search for transactions that they may have left hanging, until it is done.
    hanging: Option<HangingTransactions>,
    /// The index of the producer whose turn it is.
    turn: usize,
    abandoned_calls: AbandonedCalls,
    /// Kept over [`open`](Self::open): the new clients' calls may be as slow as the old ones' were.
    abandon_timeout: AdaptiveTimeout,
    opened: Instant,
    takeover_timeout: Duration,
}

impl Producers {
    /// Keeps the configurations. [`open`](Self::open) builds the clients.
    ///
    /// # Panics
    /// Without any configuration.
    #[must_use]
    pub fn new(configs: Vec<ClientConfig>) -> Self {
        assert!(!configs.is_empty(), "there is at least one producer");
        Self {
            configs,
            scope: None,
            all: Vec::new(),
            taken_over: 0,
            hanging: None,
            turn: 0,
            abandoned_calls: AbandonedCalls::default(),
            abandon_timeout: AdaptiveTimeout::doubling(),
            opened: Instant::now(),
            takeover_timeout: FIRST_TAKEOVER_TIMEOUT,
        }
    }

    /// Makes [`init`](Self::init) look for hanging transactions of these ids within `scope`, and abort
    /// them.
    #[must_use]
    pub fn ending_hanging_transactions(
        mut self,
        settings: &KafkaSettings,
        scope: TransactionScope,
    ) -> Self {
        self.scope = Some((settings.clone(), scope));
        self
    }

    /// Builds new clients in place of the old ones, whose running calls are abandoned. Does not wait
    /// for the broker.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses a configuration; 1 when too many abandoned calls have not
    /// returned.
    pub fn open(&mut self) -> Result<(), Failure> {
        self.close();
        let abandoned = self.abandoned_calls.count();
        if abandoned >= MAX_ABANDONED_CALLS {
            return Err(Failure::failed(format!(
                "{abandoned} calls of Kafka's client library have not returned; the log names them. \
                 Restart this process"
            )));
        }
        self.opened = Instant::now();
        for config in &self.configs {
            let producer = Producer::sharing(
                config,
                self.abandoned_calls.clone(),
                self.abandon_timeout.clone(),
            )?;
            self.all.push(producer);
        }
        if let Some((settings, scope)) = &self.scope {
            self.hanging = Some(HangingTransactions::new(settings, scope.clone())?);
        }
        Ok(())
    }

    /// Drops the clients. Does not wait for running calls.
    pub fn close(&mut self) {
        self.all.clear();
        self.taken_over = 0;
        self.turn = 0;
        self.drop_search();
    }

    /// Drops the search's clients on a thread of their own, because destroying a client can block.
    fn drop_search(&mut self) {
        if let Some(hanging) = self.hanging.take() {
            // When the thread cannot be started, the closure is dropped here.
            let _ = std::thread::Builder::new().spawn(move || drop(hanging));
        }
    }

    /// Takes over every transactional id: fences the producers that had them, and aborts the
    /// transactions that they left open.
    ///
    /// # Errors
    /// See [`TransactionError`]. A retry continues where this call stopped.
    pub fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        match self.take_over(timeout) {
            Ok(()) => self.takeover_timeout = FIRST_TAKEOVER_TIMEOUT,
            Err(TransactionError::Retriable(why))
                if self.opened.elapsed() >= self.takeover_timeout =>
            {
                self.takeover_timeout = (self.takeover_timeout * 2).min(MAX_TAKEOVER_TIMEOUT);
                self.open()
                    .map_err(|failure| TransactionError::Fatal(failure.to_string()))?;
                return Err(TransactionError::Retriable(why));
            }
            Err(error) => return Err(error),
        }
        if let Some(hanging) = &mut self.hanging {
            hanging.abort(&self.all, timeout)?;
            self.drop_search();
        }
        Ok(())
    }

    fn take_over(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.current()?;
        while let Some(next) = self.all.get(self.taken_over) {
            next.init(timeout)?;
            self.taken_over += 1;
        }
        Ok(())
    }

    /// Begins a transaction with the next producer.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        self.turn = (self.turn + 1) % self.configs.len();
        self.current()?.begin()
    }

    /// Returns the producer whose turn it is, until the next [`begin`](Self::begin).
    ///
    /// # Errors
    /// [`TransactionError::Fatal`] while no client is open.
    pub fn current(&self) -> Result<&Producer, TransactionError> {
        self.all
            .get(self.turn)
            .ok_or_else(|| TransactionError::Fatal("no producer is open".to_owned()))
    }

    /// Takes the records of the open transaction that the broker refused, see
    /// [`Producer::take_refused`]. There are none while no client is open.
    pub fn take_refused(&self) -> Vec<Refused> {
        self.current()
            .map(Producer::take_refused)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_is_built_while_many_abandoned_calls_have_not_returned() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "localhost:1");
        let mut producers = Producers::new(vec![config]);
        for _ in 0..MAX_ABANDONED_CALLS {
            producers.open().unwrap();
            producers.abandoned_calls.add();
        }
        let failure = producers.open().unwrap_err();
        assert!(failure.to_string().contains("Restart"), "{failure}");
        assert!(producers.begin().is_err());
    }
}
