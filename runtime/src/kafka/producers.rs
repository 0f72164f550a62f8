//! Producers that take turns, one transaction each.
//!
//! After a commit's answer the broker still writes the transaction's markers. A next transaction of
//! the same id that begins meanwhile is refused (`CONCURRENT_TRANSACTIONS`), and librdkafka tries
//! its first record again only 20 ms later (`rd_kafka_txn_handle_AddPartitionsToTxn`). A second id
//! does not meet them: by the time the first one's turn comes again, they are written.
//!
//! One transaction is open at a time, and the next begins after the last one's commit was answered:
//! records and offsets keep their order, because a partition's log and the group's coordinator take
//! them in the order in which they were written, not in that of the markers.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::hanging_transactions::{HangingTransactions, TransactionScope};
use super::worker::Abandoned;
use super::{KafkaSettings, Producer, TransactionError};
use crate::lifecycle::Failure;

/// Clients that have not taken over their ids after this long are replaced by new ones, which ask
/// any broker anew where the coordinators are. Twice as long after each time in vain.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
const MAX_PATIENCE: Duration = Duration::from_secs(40);

/// So many calls that were given up and have not come back are too many. Each keeps a client with
/// its threads and connections; five of them in one owner, each followed by a new client that did
/// no better, say that this process is beyond help, and a new process starts without them.
const MAX_ABANDONED: usize = 5;

/// Producers of one owner; see the module. One alone is its own successor.
pub struct Producers {
    configs: Vec<ClientConfig>,
    scope: Option<(KafkaSettings, TransactionScope)>,
    all: Vec<Producer>,
    /// How many have taken over their ids.
    taken_over: usize,
    /// What they may have left hanging, until it was looked for.
    hanging: Option<HangingTransactions>,
    turn: usize,
    abandoned: Abandoned,
    opened: Instant,
    patience: Duration,
}

impl Producers {
    /// Does not build the clients yet: see [`open`](Self::open).
    ///
    /// # Panics
    /// Without any configuration.
    #[must_use]
    pub fn new(configs: Vec<ClientConfig>) -> Self {
        assert!(!configs.is_empty(), "somebody has to write");
        Self {
            configs,
            scope: None,
            all: Vec::new(),
            taken_over: 0,
            hanging: None,
            turn: 0,
            abandoned: Abandoned::default(),
            opened: Instant::now(),
            patience: FIRST_PATIENCE,
        }
    }

    /// After the ids are taken over, looks for transactions of theirs that hang within `scope`, and
    /// aborts them.
    #[must_use]
    pub fn ending_hanging_transactions(
        mut self,
        settings: &KafkaSettings,
        scope: TransactionScope,
    ) -> Self {
        self.scope = Some((settings.clone(), scope));
        self
    }

    /// Builds new clients; whatever the old ones had under way is given up. Does not wait.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses a configuration; 1 when too many earlier clients are
    /// stuck in a call.
    pub fn open(&mut self) -> Result<(), Failure> {
        self.close();
        let abandoned = self.abandoned.count();
        if abandoned >= MAX_ABANDONED {
            return Err(Failure::failed(format!(
                "{abandoned} calls of Kafka's client library have not come back; the log names \
                 them. Restart this process"
            )));
        }
        self.opened = Instant::now();
        for config in &self.configs {
            let producer = Producer::counted(config, self.abandoned.clone())?;
            self.all.push(producer);
        }
        if let Some((settings, scope)) = &self.scope {
            self.hanging = Some(HangingTransactions::new(settings, scope.clone())?);
        }
        Ok(())
    }

    /// Drops the clients. Does not wait.
    pub fn close(&mut self) {
        self.all.clear();
        self.taken_over = 0;
        self.turn = 0;
        self.drop_search();
    }

    /// On a thread of its own: the end of a client can block.
    fn drop_search(&mut self) {
        if let Some(hanging) = self.hanging.take() {
            // Without a thread the closure is dropped here.
            let _ = std::thread::Builder::new().spawn(move || drop(hanging));
        }
    }

    /// Takes over every transactional id: fences whoever had them, and ends what they left open.
    ///
    /// # Errors
    /// See [`TransactionError`]; when retriable, call it again: it goes on where it was.
    pub fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        match self.take_over(timeout) {
            Ok(()) => self.patience = FIRST_PATIENCE,
            Err(TransactionError::Retriable(why)) if self.opened.elapsed() >= self.patience => {
                self.patience = (self.patience * 2).min(MAX_PATIENCE);
                self.open()
                    .map_err(|failure| TransactionError::Fatal(failure.to_string()))?;
                return Err(TransactionError::Retriable(why));
            }
            Err(error) => return Err(error),
        }
        if let Some(hanging) = &mut self.hanging {
            hanging.end(&self.all, timeout)?;
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

    /// Opens a transaction of the next one.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        self.turn = (self.turn + 1) % self.configs.len();
        self.current()?.begin()
    }

    /// The one whose turn it is, until the next [`begin`](Self::begin).
    ///
    /// # Errors
    /// [`TransactionError::Fatal`] while there is none.
    pub fn current(&self) -> Result<&Producer, TransactionError> {
        self.all
            .get(self.turn)
            .ok_or_else(|| TransactionError::Fatal("there is no producer".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_is_built_beside_many_that_are_stuck() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "localhost:1");
        let mut producers = Producers::new(vec![config]);
        for _ in 0..MAX_ABANDONED {
            producers.open().unwrap();
            producers.abandoned.add();
        }
        let failure = producers.open().unwrap_err();
        assert!(failure.to_string().contains("Restart"), "{failure}");
        assert!(producers.begin().is_err());
    }
}
