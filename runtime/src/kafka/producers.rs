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

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::leftovers::Leftovers;
use super::{KafkaSettings, Producer, Reach, TransactionError};
use crate::lifecycle::Failure;

/// Producers of one owner; see the module. One alone is its own successor.
pub struct Producers {
    all: Vec<Arc<Producer>>,
    /// How many have taken over their ids.
    taken_over: usize,
    /// What they may have left open, until it was looked for.
    leftovers: Option<Leftovers>,
    turn: usize,
}

impl Producers {
    /// Builds the clients; does not talk to the broker yet.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses a configuration.
    ///
    /// # Panics
    /// Without any configuration.
    pub fn new(configs: &[ClientConfig]) -> Result<Self, Failure> {
        assert!(!configs.is_empty(), "somebody has to write");
        Ok(Self {
            all: configs
                .iter()
                .map(|config| Producer::new(config).map(Arc::new))
                .collect::<Result<_, _>>()?,
            taken_over: 0,
            leftovers: None,
            turn: 0,
        })
    }

    /// After the ids are taken over, looks for what the broker forgot to end within `reach`, and
    /// aborts it.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the settings.
    pub fn aborting_leftovers(
        mut self,
        settings: &KafkaSettings,
        reach: Reach,
    ) -> Result<Self, Failure> {
        self.leftovers = Some(Leftovers::new(settings, reach)?);
        Ok(self)
    }

    /// Takes over every transactional id: fences whoever had them, and ends what they left open.
    ///
    /// # Errors
    /// See [`TransactionError`]; when retriable, call it again: it goes on where it was.
    pub fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        while let Some(next) = self.all.get(self.taken_over) {
            next.init(timeout)?;
            self.taken_over += 1;
        }
        if let Some(leftovers) = &self.leftovers {
            if let Some(found) = leftovers.find(timeout)? {
                for producer in &self.all {
                    found
                        .abort(producer, timeout)
                        // Half way: whoever comes next begins anew.
                        .map_err(|error| TransactionError::Fatal(error.to_string()))?;
                }
            }
            self.leftovers = None;
        }
        Ok(())
    }

    /// Opens a transaction of the next one.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        self.turn = (self.turn + 1) % self.all.len();
        self.current().begin()
    }

    /// The one whose turn it is, until the next [`begin`](Self::begin).
    pub fn current(&self) -> &Arc<Producer> {
        &self.all[self.turn]
    }
}
