//! The sink's loop: an explicit state machine over narrow [`ports`](crate::ports).
//!
//! ```text
//!                 ┌──────── no dead letters: the offsets wait for those of later batches ─────┐
//! Reading ─────────▶ Writing ──┴──────────────▶ DeadLettering ───────────▶ CommittingOffsets
//!  ▲ │ ▲ ▲               │ ▲  │ refused:         │ ▲                        │ ▲        │
//!  │ │ │ │               ▼ │  └─▶ bisected       ▼ │                        ▼ │        │
//!  │ │ │ │     WaitingForDatabase              WaitingForBroker      WaitingToCommit   │
//!  │ │ │ └─────────────────────────────────── done ──────────────────────────────────────┘
//!  │ │ └─ WaitingForSchema: the record is held
//!  │ └──▶ CircuitOpen ──▶ Rewinding ─┐
//!  └─────────────────────────────────┘
//!
//! Reading, Rewinding ── the consumer cannot go on ──▶ Rejoining ──▶ Reading
//! ```
//!
//! While a statement is in flight the next batch is prefetched: read and decoded, but not written. There
//! are two batches: the current one, from Writing to its offsets, and the next one, which Reading
//! completes.
//!
//! Exactly one row for each voucher rests on these rules:
//!
//! - **Offsets come last**: a batch's offsets are committed after its rows are durable and its dead
//!   letters acknowledged, and never those of records that were only read. After an interruption the
//!   records are processed again, which is idempotent: a row is identified by (campaign, order).
//! - **The table is as if the records were written one by one**: the first record of an identity is the
//!   row, and of two identities with the same code the earlier one has it. One statement may write many
//!   rows only because a statement that succeeds has the same effect, and one that fails is bisected,
//!   the earlier half first. The next batch is written after the current one is settled.
//! - **Only a fault in the data makes a dead letter**: a row that fails alone becomes a dead letter when
//!   the table accepts other rows ([`crate::lone_failures`]). A fault outside the data is waited out in
//!   the state in which it occurred, while the group is polled and no record is taken.
//! - **A rebalance discards offsets and dead letters of revoked partitions, never rows**: the new owner
//!   processes the same records again and gets the same rows.
//! - **The circuit breaker undoes whole batches**: no dead letter is written, no offset is committed, and
//!   all records are read again. It judges the current batch; the next batch is undone with it.
//!
//! Each step makes at most one call that can wait. Prefetching takes only records that the client has
//! already fetched.
//!
//! | module | states |
//! |---|---|
//! | `read` | Reading: records are decoded into the next batch |
//! | `write` | Writing: the rows, bisected after a refusal |
//! | `dead_letters` | DeadLettering |
//! | `commit` | CommittingOffsets |
//! | `waits` | all states that wait |
//! | `lag` | after every step: reports the age of the oldest unsettled record |

mod commit;
mod dead_letters;
mod lag;
mod read;
#[cfg(test)]
mod tests;
mod waits;
mod write;

use std::time::Duration;

use runtime::assignment::Assignment;
use runtime::backoff::Backoff;
use runtime::circuit_breaker::{CircuitBreaker, CircuitBreakerSettings};
use runtime::clock::Clock;
use runtime::deferred_offsets::DeferredOffsets;
use runtime::kafka::GroupConsumer;
use runtime::lifecycle::Failure;
use runtime::record::OwnedRecord;
use runtime::registry::SchemaSource;
use runtime::stepping::StateMachine;
use schemas::{SchemaId, VoucherPlan};

use crate::batch::Batch;
use crate::bisection::Bisection;
use crate::columns::Columns;
use crate::lone_failures::LoneFailures;
use crate::ports::{DeadLetters, Observer, Table};

/// The ports of one task.
#[derive(Debug)]
pub struct Ports<K, T, D, S, C, O> {
    /// The vouchers.
    pub source: K,
    /// The table that they go to.
    pub table: T,
    /// The topic for vouchers that cannot be used.
    pub dead_letters: D,
    /// The schemas of the vouchers.
    pub schemas: S,
    /// Time.
    pub clock: C,
    /// Metrics and readiness.
    pub observer: O,
}

/// The settings of one task.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topic that the source reads. Dead letters name it.
    pub topic: String,
    /// When too many dead letters pause the task.
    pub breaker: CircuitBreakerSettings,
}

/// Where a task is.
#[derive(Debug, Default)]
pub enum State {
    /// Records are read and decoded into the next batch; there is no current one.
    #[default]
    Reading,
    /// The current batch's rows go to the database, part by part, while the next batch is read.
    Writing {
        /// The parts that are not written yet.
        bisection: Bisection,
        /// When the statement of the current part was started; `None` before that.
        since: Option<Duration>,
    },
    /// The current batch's dead letters are sent, and must be acknowledged.
    DeadLettering {
        /// The numbers of those that were sent, in order; `None` before that.
        sent: Option<Vec<usize>>,
    },
    /// The offsets of durable batches are committed.
    CommittingOffsets,

    /// The database is unavailable, or two transactions conflicted. The same part is written again at
    /// `until`.
    WaitingForDatabase {
        /// The parts that are not written yet.
        bisection: Bisection,
        /// When the pause ends.
        until: Duration,
    },
    /// Dead letters were not acknowledged. They are sent again at `until`.
    WaitingForBroker {
        /// When the pause ends.
        until: Duration,
    },
    /// The broker did not accept the offsets. They are committed again at `until`.
    WaitingToCommit {
        /// When the pause ends.
        until: Duration,
    },
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
    /// Partitions go back to the group's committed offsets.
    Rewinding {
        /// When the pause before it ends.
        not_before: Duration,
    },
    /// The consumer is dead. The group is joined again at `until`.
    Rejoining {
        /// When the pause ends.
        until: Duration,
    },
}

/// One task: the only owner of its consumer, its connection and its batches.
pub struct Task<K, T, D, S, C, O> {
    ports: Ports<K, T, D, S, C, O>,
    topic: String,

    /// The current batch: its rows are written, then its dead letters, then its offsets.
    batch: Batch,
    /// The next batch: its records are read and decoded, but not written.
    next: Batch,
    /// The memory for the next statement's columns, kept between statements.
    columns: Columns,
    /// A record that was read after those of the next batch and whose schema isn't known yet.
    held: Option<OwnedRecord>,
    /// The timestamp of the oldest record that was forgotten after a failure and has to be read again.
    /// `None` again once a batch is settled or every partition is read to its end.
    forgotten: Option<i64>,
    /// Why the consumer cannot go on. The current batch is settled before the consumer is replaced.
    consumer_failure: Option<String>,

    /// Has counted the records of the current batch, but not those of the next.
    breaker: CircuitBreaker,
    /// The breaker before the current batch. A batch that is read again starts from it, so that each record
    /// counts only once.
    breaker_before: CircuitBreaker,
    assignment: Assignment,
    /// The uncommitted offsets of durable batches.
    deferred: DeferredOffsets,
    /// When the first statement of the current batch was started. Only noted for a batch with sampled
    /// records.
    writing_since: Option<Duration>,
    /// Decides whether a row that fails alone is at fault.
    lone_failures: LoneFailures,
    backoff: Backoff,
    /// Between attempts at dead letters that the broker refuses.
    refused_backoff: Backoff,
}

impl<K, T, D, S, C, O> StateMachine for Task<K, T, D, S, C, O>
where
    K: GroupConsumer,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    type State = State;

    fn step(&mut self, state: State) -> Result<State, Failure> {
        let next = match state {
            // The path of a batch.
            State::Reading => Ok(self.read()),
            State::Writing { bisection, since } => Ok(self.write(bisection, since)),
            State::DeadLettering { sent } => self.write_dead_letters(sent),
            State::CommittingOffsets => Ok(self.commit_offsets()),

            // Waits: no record is taken, and the group is polled.
            State::WaitingForDatabase { bisection, until } => {
                Ok(self.wait_for_database(bisection, until))
            }
            State::WaitingForBroker { until } => Ok(self.wait_for_broker(until)),
            State::WaitingToCommit { until } => Ok(self.wait_to_commit(until)),
            State::WaitingForSchema { schema_id } => Ok(self.wait_for_schema(schema_id)),
            State::CircuitOpen { until } => Ok(self.wait_for_circuit(until)),
            State::Rewinding { not_before } => Ok(self.rewind(not_before)),
            State::Rejoining { until } => self.rejoin(until),
        };
        self.report_lag();
        next
    }

    fn is_idle(&self, state: &State) -> bool {
        match state {
            State::Writing { .. } | State::DeadLettering { .. } | State::CommittingOffsets => false,
            // Records that were only read are read again.
            State::Reading => self.deferred.is_empty(),
            State::WaitingForDatabase { .. }
            | State::WaitingForBroker { .. }
            | State::WaitingToCommit { .. }
            | State::WaitingForSchema { .. }
            | State::CircuitOpen { .. }
            | State::Rewinding { .. }
            | State::Rejoining { .. } => true,
        }
    }
}

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: GroupConsumer,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// Builds a task. It has not called any port yet.
    pub fn new(ports: Ports<K, T, D, S, C, O>, settings: Settings) -> Self {
        let breaker = CircuitBreaker::new(&settings.breaker);
        let is_traced = ports.observer.is_tracing();
        Self {
            ports,
            topic: settings.topic,
            batch: Batch::default().traced(is_traced),
            next: Batch::default().traced(is_traced),
            columns: Columns::default(),
            held: None,
            forgotten: None,
            consumer_failure: None,
            breaker_before: breaker.clone(),
            breaker,
            assignment: Assignment::default(),
            deferred: DeferredOffsets::default(),
            writing_since: None,
            lone_failures: LoneFailures::default(),
            backoff: Backoff::outside(),
            refused_backoff: Backoff::refused(),
        }
    }

    fn now(&self) -> Duration {
        self.ports.clock.now()
    }

    /// Reports that the whole task is blocked, and why.
    fn report_blocked(&mut self, reason: &str) {
        self.ports.observer.flow().blocked(reason);
    }

    /// Reports which partitions are read.
    fn report_health(&mut self) {
        let (consumer, flow) = (&self.ports.source, self.ports.observer.flow());
        self.assignment.report_health(consumer, flow);
    }

    /// Counts the current batch's outcomes from the breaker as it was before the batch. Returns whether
    /// the circuit opens within the batch.
    fn circuit_opens_within_batch(&mut self) -> bool {
        self.breaker = self.breaker_before.clone();
        for outcome in self.batch.outcomes() {
            self.breaker.observe(outcome);
            if self.breaker.is_open() {
                return true;
            }
        }
        false
    }

    /// Forgets all records that were read and not settled.
    fn forget_batches(&mut self) {
        self.forgotten = self.oldest_read();
        self.writing_since = None;
        self.batch.clear();
        self.next.clear();
        self.held = None;
        self.lone_failures.forget_row();
        self.breaker = self.breaker_before.clone();
    }
}
