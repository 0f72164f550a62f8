//! The exactly-once loop: an explicit state machine over narrow [`ports`](crate::ports).
//!
//! ```text
//!                           ┌───────────────── nothing to write ──▶ CommittingOffsets ─┐
//!                           │           ┌── Finishing: one job of the producer's thread ───┤
//! Opening ▶ Initializing ▶ Rewinding ▶ Reading ▶ Producing ▶ SendingOffsets ▶ Draining ▶ Committing
//!    ▲                        ▲          │  ▲                    │            │            │  │
//!    │ fatal, fenced,         │ aborted  │  └────────────────────│────────────│── done ────│──┘
//!    │ outcome unknown        └──────────│───────────────────── Aborting ◀────┴────────────┘
//!    └───────────────────────────────────┴ WaitingForSchema, CircuitOpen: no record is taken, still polling
//! ```
//!
//! One transaction holds the vouchers, the dead letters and the offsets of one batch. What it rests
//! on, in the order in which it would be doubted:
//!
//! - **A poll never meets an open transaction.** Rebalances happen inside `poll` and `keep_alive`;
//!   what they take away is forgotten before anything of it is written, and when they come while a
//!   transaction waits for the broker, that transaction is aborted if they touch it. What is read
//!   ahead under a backlog is what the client has at hand already: the group is not polled for it.
//! - **Offsets carry the member's generation** at that moment, so a zombie's transaction is refused.
//! - **After an abort, and whenever an outcome is unknown, nothing is kept in memory**: every
//!   partition is read again from the group's committed offsets, which are the only truth.
//! - **After a call that was interrupted the producer is replaced** before the next transaction: a
//!   straggling end of the old one would otherwise hit the new one (no epoch bump per transaction
//!   in librdkafka's protocol versions).
//!
//! Each step makes at most one call that can wait or fail.

mod fences;
mod fill;
mod held_back;
mod prefetch;
mod recover;
mod setbacks;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::Clock;
use runtime::deferred_offsets::DeferredOffsets;
use runtime::kafka::{AssignmentChange, TRANSACTION_TIMEOUT};
use runtime::record::{OwnedRecord, Partition, Positions};
use runtime::registry::SchemaSource;
use schemas::{OrderStatusPlan, SchemaId};

use crate::batch::{Batch, Topics, VoucherFormat};
use crate::evaluate::SharedEvaluator;
use crate::ports::{Log, Observer};
use fences::Fences;
use held_back::HeldBack;
use prefetch::Ahead;
use setbacks::Setbacks;

/// Whether a voucher record may be written twice after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Guarantee {
    /// Vouchers, dead letters and offsets in one transaction.
    ExactlyOnce,
    /// Vouchers acknowledged, then offsets: quicker, and consumers must ignore echoes (the sink does).
    AtLeastOnce,
}

/// What one task needs to know.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// See [`Guarantee`].
    pub guarantee: Guarantee,
    /// The flow's topics.
    pub topics: Topics,
    /// How vouchers are written.
    pub format: VoucherFormat,
    /// The name that fences: told when another process has it too.
    pub transactional_id: String,
    /// See [`BatchBounds`].
    pub bounds: BatchBounds,
}

/// A batch ends when the queue is empty, or at one of these bounds: they keep a transaction far
/// below its timeout, and a rebalance from waiting long.
#[derive(Debug, Clone, Copy)]
pub struct BatchBounds {
    /// Records that are read.
    pub records: usize,
    /// Records that are to be written.
    pub outputs: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Default for BatchBounds {
    fn default() -> Self {
        Self {
            records: 20_000,
            outputs: 5_000,
            bytes: 8 * 1024 * 1024,
        }
    }
}

impl BatchBounds {
    fn are_reached(&self, batch: &Batch) -> bool {
        batch.records() >= self.records
            || batch.outputs() >= self.outputs
            || batch.bytes() >= self.bytes
    }
}

/// How long offsets wait for a voucher, whose transaction then takes them along, before they are
/// committed alone: a crash meanwhile means that these records are skipped again.
const OFFSETS_ALONE: Duration = Duration::from_millis(200);

/// How long a poll of an empty topic waits; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(250);

/// How long one call may wait for the broker before the group is polled again.
const SLICE: Duration = Duration::from_millis(500);

/// A transaction that is not ended after this long is given up with its producer: it has timed out
/// at the coordinator by then, whatever became of it. (A single call that does not come back is
/// given up sooner, by the producer itself.)
const DEADLINE: Duration = TRANSACTION_TIMEOUT;

/// How long the circuit stays open before the same records are tried again.
const CIRCUIT_PAUSE: Duration = Duration::from_secs(10);

/// One look whether another process has this task's name.
const LOOK: Duration = Duration::from_millis(500);

/// How much longer than a session timeout is looked: a member that joined an empty group has a
/// session from the end of `group.initial.rebalance.delay.ms` (3 s) on.
const LOOK_MARGIN: Duration = Duration::from_secs(5);

/// Where the task is.
#[derive(Debug)]
enum State {
    /// A new producer is to be built.
    Opening,
    /// The transactional id is being taken over.
    Initializing,
    /// Partitions go back to the group's committed offsets.
    Rewinding,
    /// Records are read and evaluated.
    Reading,
    /// The batch's records are handed to the producer.
    Producing,
    /// What the next three states do is done on the producer's thread; under a backlog the next
    /// batch is read meanwhile. The three states are for what has to be done again.
    Finishing,
    /// The offsets are added to the transaction.
    SendingOffsets,
    /// All records must be acknowledged.
    Draining,
    /// The transaction is committed.
    Committing,
    /// Offsets alone are committed.
    CommittingOffsets,
    /// The transaction is aborted.
    Aborting,
    /// A held record waits for its schema.
    WaitingForSchema { schema_id: SchemaId },
    /// Too many records are dead; the same are tried again at `until`.
    CircuitOpen { until: Duration },
    /// Fenced again and again: whether another process has this task's name is looked at until then.
    LookingForAnother { until: Duration },
    /// A pause after a failure: two processes with one name don't fence in a frenzy, and what was
    /// refused is not tried again at once.
    Pausing { until: Duration, then: Then },
}

/// What follows a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// [`State::Opening`]: the producer is of no use any more.
    Open,
    /// [`State::Rewinding`]
    Rewind,
}

/// One task: the only owner of its consumer, its producer and its batch.
pub struct Task<L, S, C, O> {
    log: L,
    schemas: S,
    clock: C,
    observer: O,
    evaluator: SharedEvaluator,
    settings: TaskSettings,
    state: State,
    batch: Batch,
    /// When the first record was read that needs the transaction; without any, the batch's first.
    batch_began: Duration,
    /// When what the open transaction waits for is given up.
    deadline: Duration,
    /// Whether a call of this transaction had to be repeated.
    interrupted: bool,
    /// The next batch, as far as it was read while this one's transaction is finished.
    ahead: Ahead,
    /// Read from the client, but its schema isn't known yet.
    held: Option<OwnedRecord>,
    breaker: CircuitBreaker,
    /// As it was before the batch: an outcome counts only once.
    breaker_before: CircuitBreaker,
    assigned: BTreeSet<Partition>,
    joined: bool,
    /// The highest offsets known to be committed.
    committed: Positions,
    /// At least once: of batches that are acknowledged.
    deferred: DeferredOffsets,
    fences: Fences,
    /// The offsets to rewind to.
    rewind_held_back: HeldBack,
    /// The offsets where new partitions begin.
    placing_held_back: HeldBack,
    setbacks: Setbacks,
    backoff: Backoff,
}

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// A task that has not done anything yet.
    pub fn new(
        log: L,
        schemas: S,
        clock: C,
        observer: O,
        evaluator: SharedEvaluator,
        breaker: CircuitBreaker,
        settings: TaskSettings,
    ) -> Self {
        let batch = Batch::new(settings.topics.clone(), settings.format);
        let ahead = Ahead::new(batch.successor(), breaker.clone());
        Self {
            log,
            schemas,
            clock,
            observer,
            evaluator,
            settings,
            state: State::Opening,
            batch,
            batch_began: Duration::ZERO,
            deadline: Duration::ZERO,
            interrupted: false,
            ahead,
            held: None,
            breaker_before: breaker.clone(),
            breaker,
            assigned: BTreeSet::new(),
            joined: false,
            committed: Positions::new(),
            deferred: DeferredOffsets::default(),
            fences: Fences::default(),
            rewind_held_back: HeldBack::default(),
            placing_held_back: HeldBack::default(),
            setbacks: Setbacks::new(),
            backoff: Backoff::outside(),
        }
    }

    /// Fills this batch instead: a backfill's names its run.
    #[must_use]
    pub fn with_batch(mut self, batch: Batch) -> Self {
        self.ahead.batch = batch.successor();
        self.batch = batch;
        self
    }

    /// Takes note of what rebalances did. Says whether they took something of the batch away.
    fn follow_assignment(&mut self) -> bool {
        let mut lost = false;
        let changes = self.log.take_changes();
        if changes.is_empty() {
            return false;
        }
        for change in changes {
            match change {
                AssignmentChange::Assigned(partitions) => {
                    self.assigned.extend(partitions);
                }
                AssignmentChange::Revoked(partitions) => {
                    for partition in partitions {
                        lost |= self.batch.positions().contains_key(&partition);
                        self.batch.forget(partition);
                        self.ahead.batch.forget(partition);
                        self.committed.remove(&partition);
                        self.deferred.forget(partition);
                        self.setbacks.forget(partition);
                        self.assigned.remove(&partition);
                        self.held.take_if(|held| held.partition == partition);
                    }
                }
            }
        }
        self.joined = true;
        tracing::info!(partitions = ?self.assigned, "assignment");
        self.observer.assigned(self.assigned.len());
        lost
    }

    /// Forgets all that was read and not committed.
    fn forget_batch(&mut self) {
        self.batch.clear();
        self.ahead.clear();
        self.held = None;
        self.breaker = self.breaker_before.clone();
    }

    /// The batch and its offsets are durable.
    fn settle_batch(&mut self) {
        self.committed.extend(self.batch.positions());
        self.count_batch();
    }

    /// Unless something keeps coming back.
    fn tell_that_it_flows(&mut self) {
        if !self.joined || self.setbacks.keep_from_flowing() {
            return;
        }
        let blocked = self.log.blocked();
        if blocked.is_empty() {
            self.observer.flowing();
        } else {
            self.observer.blocked(&blocked);
        }
    }

    /// All that the batch asked for is done.
    fn count_batch(&mut self) {
        self.setbacks.progress(&self.batch.positions());
        self.tell_that_it_flows();
        let took = self.clock.now().saturating_sub(self.batch_began);
        self.observer.committed(self.batch.tallies(), took);
        self.batch.clear();
        self.breaker_before = self.breaker.clone();
        self.backoff.reset();
    }
}
