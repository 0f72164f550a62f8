//! The transaction coordinator: epochs, fencing, timeouts. It follows version 1 of the transaction
//! protocol, which librdkafka uses: a producer keeps its epoch over many transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runtime::kafka::TRANSACTION_TIMEOUT;
use runtime::record::Partition;

use super::log::ProducerId;

/// The identity by which the broker knows a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// The producer id, which belongs to the transactional id.
    pub producer: ProducerId,
    /// The epoch, which every takeover raises.
    pub epoch: i16,
}

/// Why the coordinator refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The producer id has a newer epoch.
    Fenced,
    /// The last transaction ended the other way.
    InvalidState,
}

#[derive(Debug)]
struct Transactional {
    identity: ProducerIdentity,
    open_since: Option<Duration>,
    partitions: BTreeSet<(usize, Partition)>,
    last_end: Option<bool>,
}

/// A transaction whose end must be written to its partitions and groups.
#[derive(Debug)]
pub struct Ending {
    /// The id of its producer.
    pub producer: ProducerId,
    /// Whether it is committed, and not aborted.
    pub commit: bool,
    /// The topics and partitions that get a marker.
    pub partitions: BTreeSet<(usize, Partition)>,
}

/// The coordinator of all transactional ids.
#[derive(Debug, Default)]
pub struct Coordinator {
    ids: BTreeMap<String, Transactional>,
}

impl Coordinator {
    /// Takes over the id, and aborts the transaction that a predecessor left open. With `fences` false, a
    /// planted bug, the predecessor's epoch stays valid.
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

    /// Adds a partition (`to`) or offsets to the transaction, and opens it if necessary.
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

    /// Ends the transaction that is open at this moment, which may be a later one than the sender meant.
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
            // A repeated request gets the same answer again; an empty transaction needs no end.
            return match one.last_end {
                Some(last) if last != commit => Err(Refused::InvalidState),
                _ => Ok(None),
            };
        }
        one.last_end = Some(commit);
        Ok(one.close(commit))
    }

    /// Aborts transactions past their timeout, and fences their producers.
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

    /// Returns whether a transactional id that begins with `prefix` has an open transaction.
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
