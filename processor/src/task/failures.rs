//! Failures that keep batches from being committed, from the first one until there is progress.
//!
//! A transaction that fails is aborted, and its records are written again. For a transient fault this
//! is enough. A record that the broker refuses would be refused again, and each abort would leave
//! the vouchers of its batch behind in a topic that keeps aborted records for ever. So:
//!
//! - a dead letter that is too large is written again with less of its original ([`Extent`]);
//! - any other refused record is blocked: it is written in a transaction of its own, at most every
//!   30 s. Records that were read before it are committed without it, and an attempt leaves nothing
//!   behind, because a refused record is not in the log.
//!
//! Only progress ends this: any commit resets the count of failures, and a commit past the blocked
//! record unblocks it.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::dead_letter::Extent;
use runtime::kafka::Refused;
use runtime::record::{InputRecord, Offset, Partition, Positions};
use runtime::refusals::{Candidate, Remedies};

use crate::batch::{Batch, OutputOrigin};
use crate::limits::MAX_QUIET_FAILURES;

/// The failures of one task.
#[derive(Debug)]
pub(super) struct TaskFailures {
    /// Dead letters that are to carry less than their whole original.
    extents: BTreeMap<(Partition, Offset), Extent>,
    /// The record whose output the broker refuses even at its smallest extent.
    blocked: Option<(Partition, Offset)>,
    /// Transactions and commits of offsets that failed since the last progress.
    failures: u32,
    /// Between attempts at the blocked record.
    backoff: Backoff,
}

impl TaskFailures {
    pub(super) const fn new() -> Self {
        Self {
            extents: BTreeMap::new(),
            blocked: None,
            failures: 0,
            backoff: Backoff::refused(),
        }
    }

    /// Notes that a transaction or a commit of offsets failed.
    pub(super) const fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes which records of `batch` were refused. Returns what is done about them.
    pub(super) fn learn<'r>(
        &mut self,
        batch: &'r Batch,
        refused: &'r [Refused],
    ) -> Remedies<'r, OutputOrigin<'r>> {
        let remedies = Remedies::of(refused, |index| {
            batch.origin(index).map(|origin| Candidate {
                record: origin,
                extent: origin.extent,
                bytes: origin.bytes,
            })
        });
        for (origin, extent, _) in &remedies.reduced {
            self.extents
                .insert((origin.partition, origin.offset), *extent);
        }
        if let Some((origin, _)) = &remedies.blocked {
            self.blocked = Some((origin.partition, origin.offset));
        }
        remedies
    }

    /// Returns how much of this record a dead letter may carry.
    pub(super) fn extent_of(&self, record: &impl InputRecord) -> Extent {
        let place = (record.partition(), record.offset());
        self.extents.get(&place).copied().unwrap_or_default()
    }

    /// Returns whether this record gets a transaction of its own.
    pub(super) fn is_blocked(&self, record: &impl InputRecord) -> bool {
        self.blocked == Some((record.partition(), record.offset()))
    }

    /// Returns whether the batch ends with the blocked record, which no other may follow.
    pub(super) fn end_batch(&self, batch: &Batch) -> bool {
        self.blocked
            .is_some_and(|(partition, offset)| batch.next_offset(partition) == Some(offset + 1))
    }

    /// Returns the pause before the next attempt at the blocked record; `None` when no record is blocked.
    pub(super) fn blocked_pause(&mut self) -> Option<Duration> {
        self.blocked?;
        Some(self.backoff.next_pause())
    }

    /// Returns whether the task is not ready until there is progress, and reads again what it has failed to
    /// write.
    pub(super) const fn are_serious(&self) -> bool {
        self.blocked.is_some() || self.failures > MAX_QUIET_FAILURES
    }

    /// Notes that the outcomes of all records before these positions are durable.
    pub(super) fn note_progress(&mut self, positions: &Positions) {
        self.failures = 0;
        let is_passed = |partition: Partition, offset: Offset| {
            let next = positions.get(&partition);
            next.is_some_and(|next| *next > offset)
        };
        self.extents
            .retain(|(partition, offset), _| !is_passed(*partition, *offset));
        self.unblock_if(|(partition, offset)| is_passed(partition, offset));
    }

    /// Forgets a partition that was revoked.
    pub(super) fn forget(&mut self, revoked: Partition) {
        self.failures = 0;
        self.extents
            .retain(|(partition, _), _| *partition != revoked);
        self.unblock_if(|(partition, _)| partition == revoked);
    }

    fn unblock_if(&mut self, condition: impl FnOnce((Partition, Offset)) -> bool) {
        if self.blocked.take_if(|place| condition(*place)).is_some() {
            self.backoff.reset();
        }
    }
}
