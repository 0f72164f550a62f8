//! What keeps batches from being committed, from the first failure until there is progress.
//!
//! A transaction that fails is aborted, and its records are read again. For a fault that passes this
//! is enough. A record that the broker refuses would be refused again, and each abort would leave
//! the vouchers of its batch behind in a topic that keeps aborted records for ever. So:
//!
//! - a dead letter that is too large is written again with less of its original ([`Extent`]);
//! - any other refused record is [blocked](Blocked): it is written in a transaction of its own, at
//!   most every 30 s. Records that were read before it are committed without it, and an attempt
//!   leaves nothing behind, because a refused record is not in the log.
//!
//! Only progress ends it: a commit for failures, a commit past the record for a blocked record.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::dead_letter::{Extent, largest_of};
use runtime::kafka::Refused;
use runtime::record::{InputRecord, Offset, Partition, Positions};

use crate::batch::{Batch, Origin};

/// So many failures in a row without a commit make the task not ready.
const MAX_QUIET_FAILURES: u32 = 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Setbacks {
    /// Dead letters that are to carry less than their whole original.
    extents: BTreeMap<(Partition, Offset), Extent>,
    blocked: Option<Blocked>,
    /// Transactions that failed since the last progress.
    failures: u32,
    /// Between attempts at a blocked record.
    backoff: Backoff,
}

/// A record whose output the broker refuses, whatever is left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocked {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    /// The topic that does not take its output.
    pub(super) topic: String,
    pub(super) why: String,
}

/// What came of the refusals of one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Dead letters that will be written with less of their original, and why.
    pub(super) reduced: Vec<((Partition, Offset), String)>,
    /// The record that is blocked from now on, or still is.
    pub(super) blocked: Option<Blocked>,
}

impl Setbacks {
    pub(super) const fn new() -> Self {
        Self {
            extents: BTreeMap::new(),
            blocked: None,
            failures: 0,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
        }
    }

    /// A transaction failed.
    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// These records of `batch` were refused.
    pub(super) fn learn(&mut self, batch: &Batch, refused: &[Refused]) -> Learned {
        let mut learned = Learned::default();
        let mut too_large = Vec::new();
        for refused in refused {
            let Some(origin) = batch.origin(refused.index) else {
                continue;
            };
            match reducible(&origin, refused) {
                Some(extent) => too_large.push(((origin, extent, &refused.why), origin.bytes)),
                None if learned.blocked.is_none() => {
                    learned.blocked = Some(Blocked {
                        partition: origin.partition,
                        offset: origin.offset,
                        topic: origin.topic.to_owned(),
                        why: refused.why.clone(),
                    });
                }
                None => {}
            }
        }
        for (origin, extent, why) in largest_of(too_large) {
            let place = (origin.partition, origin.offset);
            self.extents.insert(place, extent);
            learned.reduced.push((place, why.clone()));
        }
        if learned.blocked.is_some() {
            self.blocked.clone_from(&learned.blocked);
        }
        learned
    }

    /// How much of this record a dead letter may carry.
    pub(super) fn extent_of(&self, record: &impl InputRecord) -> Extent {
        let place = (record.partition(), record.offset());
        self.extents.get(&place).copied().unwrap_or_default()
    }

    /// Whether this record is to be alone in its transaction.
    pub(super) fn is_blocked(&self, record: &impl InputRecord) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| {
            (blocked.partition, blocked.offset) == (record.partition(), record.offset())
        })
    }

    /// Whether the batch ends with the blocked record, which nothing may follow.
    pub(super) fn ends(&self, batch: &Batch) -> bool {
        self.blocked
            .as_ref()
            .is_some_and(|blocked| batch.next_of(blocked.partition) == Some(blocked.offset + 1))
    }

    /// How long to wait before the blocked record is tried again; `None` when none is.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        self.blocked.as_ref()?;
        Some(self.backoff.next_pause())
    }

    /// Whether the task is not ready until there is progress.
    pub(super) const fn keep_from_flowing(&self) -> bool {
        self.blocked.is_some() || self.failures > MAX_QUIET_FAILURES
    }

    /// Offsets up to these are committed.
    pub(super) fn progress(&mut self, positions: &Positions) {
        self.failures = 0;
        let is_passed = |partition: &Partition, offset: Offset| {
            positions.get(partition).is_some_and(|next| *next > offset)
        };
        self.extents
            .retain(|(partition, offset), _| !is_passed(partition, *offset));
        let passed = |blocked: &mut Blocked| is_passed(&blocked.partition, blocked.offset);
        if self.blocked.take_if(passed).is_some() {
            self.backoff.reset();
        }
    }

    /// Everything that is assigned was read to its end: nothing is left that could fail.
    pub(super) fn all_is_read(&mut self) {
        self.failures = 0;
        if self.blocked.take().is_some() {
            self.backoff.reset();
        }
    }

    /// The partition is another member's now.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.failures = 0;
        self.extents.retain(|(of, _), _| *of != partition);
        let is_of = |blocked: &mut Blocked| blocked.partition == partition;
        if self.blocked.take_if(is_of).is_some() {
            self.backoff.reset();
        }
    }
}

/// How much a refused record may carry next, when there is something to leave out.
fn reducible(origin: &Origin<'_>, refused: &Refused) -> Option<Extent> {
    origin
        .dead
        .filter(|_| refused.too_large)
        .and_then(Extent::smaller)
}
