//! The transaction coordinator: epochs, fencing, timeouts. Protocol version 1, librdkafka's: one
//! epoch for many transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runtime::kafka::TRANSACTION_TIMEOUT;
use runtime::record::Partition;

use super::log::ProducerId;

/// Who a producer is to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// Stays with the transactional id.
    pub producer: ProducerId,
    /// Grows with every takeover.
    pub epoch: i16,
}

/// Why the coordinator refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A newer epoch is there.
    Fenced,
    /// There is no such transaction.
    InvalidState,
}

#[derive(Debug)]
struct Transactional {
    identity: ProducerIdentity,
    open_since: Option<Duration>,
    partitions: BTreeSet<(usize, Partition)>,
    last_end: Option<bool>,
}

/// A transaction that is to be ended in its partitions and in the groups.
#[derive(Debug)]
pub struct Ending {
    /// Whose.
    pub producer: ProducerId,
    /// How.
    pub commit: bool,
    /// Where markers go: topic and partition.
    pub partitions: BTreeSet<(usize, Partition)>,
}

/// All transactional ids.
#[derive(Debug, Default)]
pub struct Coordinator {
    ids: BTreeMap<String, Transactional>,
}

impl Coordinator {
    /// Takes over the id. What a predecessor left open is aborted, unless `fences` is false (a
    /// planted bug: then the old epoch stays good).
    pub fn init(&mut self, id: &str, fences: bool) -> (ProducerIdentity, Option<Ending>) {
        let producer = self.ids.len() as ProducerId + 1;
        let one = self.ids.entry(id.to_owned()).or_insert(Transactional {
            identity: ProducerIdentity {
                producer,
                epoch: -1,
            },
            open_since: None,
            partitions: BTreeSet::new(),
            last_end: None,
        });
        if !fences && one.identity.epoch >= 0 {
            return (one.identity, None);
        }
        one.identity.epoch += 1;
        one.last_end = None;
        let ending = one.close(false);
        (one.identity, ending)
    }

    /// A write, or offsets, of a transaction; opens it. `to` is the partition that is written.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn add(
        &mut self,
        identity: ProducerIdentity,
        to: Option<(usize, Partition)>,
        now: Duration,
    ) -> Result<(), Refused> {
        let one = self.get(identity)?;
        one.open_since.get_or_insert(now);
        one.last_end = None;
        one.partitions.extend(to);
        Ok(())
    }

    /// Ends the transaction that is open now, whichever that is.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn end(
        &mut self,
        identity: ProducerIdentity,
        commit: bool,
    ) -> Result<Option<Ending>, Refused> {
        let one = self.get(identity)?;
        if one.open_since.is_none() {
            // A repeated request has the same answer again; an empty transaction has no end.
            return match one.last_end {
                Some(last) if last != commit => Err(Refused::InvalidState),
                _ => Ok(None),
            };
        }
        one.last_end = Some(commit);
        Ok(one.close(commit))
    }

    /// Aborts what is open for too long, and fences its producer.
    pub fn expire(&mut self, now: Duration) -> Vec<Ending> {
        let mut endings = Vec::new();
        for one in self.ids.values_mut() {
            let late = one
                .open_since
                .is_some_and(|since| now.saturating_sub(since) > TRANSACTION_TIMEOUT);
            if late {
                one.identity.epoch += 1;
                endings.extend(one.close(false));
            }
        }
        endings
    }

    /// Whether a transaction of an id that begins so is open.
    pub fn is_open(&self, prefix: &str) -> bool {
        self.ids
            .iter()
            .any(|(id, one)| id.starts_with(prefix) && one.open_since.is_some())
    }

    fn get(&mut self, identity: ProducerIdentity) -> Result<&mut Transactional, Refused> {
        self.ids
            .values_mut()
            .find(|one| one.identity == identity)
            .ok_or(Refused::Fenced)
    }
}

impl Transactional {
    fn close(&mut self, commit: bool) -> Option<Ending> {
        self.open_since.take()?;
        Some(Ending {
            producer: self.identity.producer,
            commit,
            partitions: std::mem::take(&mut self.partitions),
        })
    }
}
