//! The exactly-once loop: an explicit state machine over narrow [`ports`](crate::ports).
//!
//! ```text
//!                           ┌───────────────── nothing to write ──▶ CommittingOffsets ─┐
//!                           │           ┌── Finishing: one job of the producer's thread ───┤
//! Opening ▶ Initializing ▶ Rewinding ▶ Reading ▶ Producing ▶ SendingOffsets ▶ Draining ▶ Committing
//!    ▲                        ▲          │  ▲         ▲          │            │            │  │
//!    │ fatal, fenced,         │ read     │  └─────────│──────────│────────────│── done ────│──┘
//!    │ outcome unknown        │ again    │            │ again    │            │            │
//!    │                        └──────────│────────────┴─ Aborting ◀────────────┴────────────┘
//!    └───────────────────────────────────┴ WaitingForSchema, CircuitOpen: no record is taken, still polling
//!
//! Aborting, CommittingOffsets ──▶ WaitingToRepeat ──▶ the same batch, without what was revoked
//! before Rewinding or Opening: WaitingToRewind or WaitingToOpen, the pause after a failure
//! Reading ── fenced several times ──▶ LookingForAnother ──▶ WaitingToOpen, or the process ends
//! ```
//!
//! One transaction holds the vouchers, the dead letters and the offsets of one batch. Exactly once
//! rests on these rules:
//!
//! - **No poll happens while a transaction is open**, unless the transaction waits for the broker.
//!   Rebalances happen inside `poll` and `keep_alive`. A partition that is revoked before its records
//!   are written is forgotten; one that is revoked during such a wait aborts the transaction. The
//!   prefetch under a backlog takes only records that the client has already fetched, and does not
//!   poll the group.
//! - **Offsets carry the member's generation** of that moment, so the broker refuses a zombie's
//!   transaction.
//! - **After an abort that the broker has confirmed, the batch is written again**, without the partitions
//!   that were revoked meanwhile. Most aborts are those of rebalances, and a member that has asked to
//!   join gets no offsets before the rebalance has ended.
//! - **Whenever an outcome is unknown, nothing is kept in memory**: every partition is read again from
//!   the group's committed offsets, which are the only truth. The same is done when a batch cannot be
//!   written again as it is, or has failed several times.
//! - **After an interrupted call the producer is replaced** before the next transaction: a late end of
//!   the old transaction would otherwise end the new one (librdkafka's protocol versions have no epoch
//!   for each transaction).
//!
//! Each step makes at most one call that can wait or fail.
//!
//! | module | states |
//! |---|---|
//! | `read`, `fill` | Reading: records are evaluated into the batch |
//! | `write` | Producing to Committing, CommittingOffsets, Aborting |
//! | `prefetch` | Finishing, with the next batch prefetched under a backlog |
//! | `start` | Opening, Initializing, Rewinding |
//! | `waits`, `rejoin` | all states that wait |
//! | `recover` | which state follows an error |
//! | `lag` | after every step: reports the age of the oldest unsettled record |

mod failures;
mod fences;
mod fill;
mod lag;
mod prefetch;
mod read;
mod recover;
mod rejoin;
mod start;
#[cfg(test)]
mod tests;
mod unstable_offsets;
mod waits;
mod write;

use std::time::Duration;

use runtime::assignment::Assignment;
use runtime::backoff::Backoff;
use runtime::circuit_breaker::{CircuitBreaker, CircuitBreakerSettings};
use runtime::clock::Clock;
use runtime::deferred_offsets::DeferredOffsets;
use runtime::lifecycle::Failure;
use runtime::record::OwnedRecord;
use runtime::registry::SchemaSource;
use runtime::stepping::StateMachine;
use schemas::{OrderStatusPlan, SchemaId};

use crate::batch::Batch;
use crate::evaluate::SharedEvaluator;
use crate::limits::BatchLimits;
use crate::ports::{Log, Observer};
use failures::TaskFailures;
use fences::Fences;
use prefetch::NextBatch;
use unstable_offsets::UnstableOffsets;

/// Whether a voucher record may be written twice after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Guarantee {
    /// Vouchers, dead letters and offsets in one transaction.
    ExactlyOnce,
    /// Vouchers acknowledged, then offsets: quicker, and consumers must ignore echoes (the sink does).
    AtLeastOnce,
}

/// The ports of one task.
#[derive(Debug)]
pub struct Ports<L, S, C, O> {
    /// The consumer and the producer.
    pub log: L,
    /// The schemas of the order statuses.
    pub schemas: S,
    /// Time.
    pub clock: C,
    /// Metrics and readiness.
    pub observer: O,
}

/// The settings of one task.
#[derive(Debug)]
pub struct Settings {
    /// The delivery guarantee of voucher records.
    pub guarantee: Guarantee,
    /// The rule, the keys and the defaults.
    pub evaluator: SharedEvaluator,
    /// An empty batch with the settings of all batches of the task.
    pub batch: Batch,
    /// When a batch is full.
    pub limits: BatchLimits,
    /// When too many dead letters pause the task.
    pub breaker: CircuitBreakerSettings,
    /// The transactional id. The error names it when another process uses it too.
    pub transactional_id: String,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, Default)]
pub enum State {
    /// Records are read and evaluated into the batch.
    Reading,
    /// The batch's records are handed to the producer.
    Producing,
    /// The producer's thread does the work of the next three states. Under a backlog the next batch is
    /// prefetched meanwhile. The three states themselves are entered only when a call has to be repeated,
    /// or when the log cannot finish a transaction on another thread.
    Finishing,
    /// The offsets are added to the transaction.
    SendingOffsets,
    /// The task waits until the broker has acknowledged all records of the batch.
    Draining,
    /// The transaction is committed.
    Committing,
    /// Offsets are committed without a transaction.
    CommittingOffsets,

    /// The transaction is aborted.
    Aborting,
    /// A new producer is built.
    #[default]
    Opening,
    /// The transactional id is taken over.
    Initializing,
    /// Partitions go back to the group's committed offsets.
    Rewinding,

    /// The held record waits for its schema.
    WaitingForSchema {
        /// The schema.
        schema_id: SchemaId,
    },
    /// Too many records are dead letters. The same records are tried again at `until`.
    CircuitOpen {
        /// When the pause ends.
        until: Duration,
    },
    /// A pause after a failure that made the producer useless. It keeps two processes with one name from
    /// fencing each other in a tight loop, and delays the next attempt at a refused record.
    WaitingToOpen {
        /// When the pause ends.
        until: Duration,
    },
    /// A pause after an abort, in which a rebalance may end. The batch is then written again.
    WaitingToRepeat {
        /// When the pause ends.
        until: Duration,
    },
    /// A pause after a failure that left the producer usable.
    WaitingToRewind {
        /// When the pause ends.
        until: Duration,
    },
    /// The task was fenced several times, and looks for another process with its name.
    LookingForAnother {
        /// When a member of this name can no longer be this task's own earlier one.
        until: Duration,
    },
}

/// One task: the only owner of its consumer, its producer and its batches.
pub struct Task<L, S, C, O> {
    ports: Ports<L, S, C, O>,
    guarantee: Guarantee,
    evaluator: SharedEvaluator,
    limits: BatchLimits,
    transactional_id: String,

    /// The current batch.
    batch: Batch,
    /// When the first record with an output was read; without outputs, when the batch's first record was.
    batch_began: Duration,
    /// The next batch, as far as it was prefetched while the current one's transaction is finished.
    next: NextBatch,
    /// A record that was read and is in no batch: its schema isn't known yet, or it gets a batch of its
    /// own.
    held: Option<OwnedRecord>,
    /// The timestamp of the oldest record that was forgotten after a failure and has to be read again.
    /// `None` again once a batch is committed or every partition is read to its end.
    forgotten: Option<i64>,
    /// When the open transaction is given up.
    deadline: Duration,
    /// When the commit of the batch's offsets began. Only noted for a batch with sampled records.
    settling: Option<Duration>,
    /// Whether a call of the open transaction had to be repeated.
    interrupted: bool,
    /// Whether the batch cannot be written again as it is: outputs are missing, or have to be made anew.
    must_read_again: bool,

    breaker: CircuitBreaker,
    /// The breaker before the current batch. A batch that is read again starts from it, so that each record
    /// counts only once.
    breaker_before: CircuitBreaker,
    assignment: Assignment,
    /// Only with [`Guarantee::AtLeastOnce`]: the uncommitted offsets of acknowledged batches.
    deferred: DeferredOffsets,
    fences: Fences,
    /// Failed attempts to read the offsets to rewind to.
    unstable_rewinds: UnstableOffsets,
    /// Failed attempts to read the offsets at which new partitions begin.
    unstable_starts: UnstableOffsets,
    failures: TaskFailures,
    backoff: Backoff,
}

impl<L, S, C, O> StateMachine for Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    type State = State;

    fn step(&mut self, state: State) -> Result<State, Failure> {
        let next = match state {
            // The path of a batch.
            State::Reading => self.read(),
            State::Producing => Ok(self.produce()),
            State::Finishing => Ok(self.finish()),
            State::SendingOffsets => Ok(self.send_offsets()),
            State::Draining => Ok(self.drain()),
            State::Committing => Ok(self.commit()),
            State::CommittingOffsets => Ok(self.commit_offsets()),

            // At the start, and after a failure.
            State::Aborting => Ok(self.abort()),
            State::Opening => self.open(),
            State::Initializing => Ok(self.initialize()),
            State::Rewinding => Ok(self.rewind()),

            // Waits: no record is taken, and the group is polled.
            State::WaitingForSchema { schema_id } => Ok(self.wait_for_schema(schema_id)),
            State::CircuitOpen { until } => Ok(self.wait(state, until, State::Rewinding)),
            State::WaitingToOpen { until } => Ok(self.wait(state, until, State::Opening)),
            State::WaitingToRepeat { until } => Ok(self.wait_to_repeat(until)),
            State::WaitingToRewind { until } => Ok(self.wait(state, until, State::Rewinding)),
            State::LookingForAnother { until } => self.look_for_another(until),
        };
        self.report_lag();
        next
    }

    fn is_idle(&self, state: &State) -> bool {
        match state {
            State::Reading | State::WaitingToRepeat { .. } => self.deferred.is_empty(),
            State::Producing
            | State::Finishing
            | State::SendingOffsets
            | State::Draining
            | State::Committing
            | State::CommittingOffsets
            | State::Aborting => false,
            State::Opening
            | State::Initializing
            | State::Rewinding
            | State::WaitingForSchema { .. }
            | State::CircuitOpen { .. }
            | State::WaitingToOpen { .. }
            | State::WaitingToRewind { .. }
            | State::LookingForAnother { .. } => true,
        }
    }

    fn release(&mut self) {
        self.ports.log.hand_over();
    }
}

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// Builds a task. It has not called any port yet.
    pub fn new(ports: Ports<L, S, C, O>, settings: Settings) -> Self {
        let breaker = CircuitBreaker::new(&settings.breaker);
        let batch = settings.batch.traced(ports.observer.is_tracing());
        Self {
            ports,
            guarantee: settings.guarantee,
            evaluator: settings.evaluator,
            limits: settings.limits,
            transactional_id: settings.transactional_id,
            next: NextBatch::new(batch.successor(), breaker.clone()),
            batch,
            batch_began: Duration::ZERO,
            held: None,
            forgotten: None,
            deadline: Duration::ZERO,
            settling: None,
            interrupted: false,
            must_read_again: false,
            breaker_before: breaker.clone(),
            breaker,
            assignment: Assignment::default(),
            deferred: DeferredOffsets::default(),
            fences: Fences::default(),
            unstable_rewinds: UnstableOffsets::default(),
            unstable_starts: UnstableOffsets::default(),
            failures: TaskFailures::new(),
            backoff: Backoff::outside(),
        }
    }

    fn now(&self) -> Duration {
        self.ports.clock.now()
    }

    fn is_transactional(&self) -> bool {
        self.guarantee == Guarantee::ExactlyOnce
    }

    /// Reports that the whole task is blocked, and why.
    fn report_blocked(&mut self, reason: &str) {
        self.ports.observer.flow().blocked(reason);
    }

    /// Reports which partitions are read, unless the same failure keeps coming back.
    fn report_health(&mut self) {
        if !self.failures.are_serious() {
            let (consumer, flow) = (self.ports.log.consumer(), self.ports.observer.flow());
            self.assignment.report_health(consumer, flow);
        }
    }
}
