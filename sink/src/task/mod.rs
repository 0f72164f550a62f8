//! The sink's loop: an explicit state machine over narrow [`ports`](crate::ports).
//!
//! ```text
//!                 ┌──────────── nothing dead: offsets wait for those of later batches ────────┐
//! Reading ─────────▶ Writing ──┴──────────────▶ DeadLettering ───────────▶ CommittingOffsets
//!  ▲ │ ▲ ▲               │ ▲  │ refused: halves, │ ▲                        │ ▲        │
//!  │ │ │ │               ▼ │  └─▶ a row alone    ▼ │                        ▼ │        │
//!  │ │ │ │     WaitingForDatabase              WaitingForBroker      WaitingToCommit   │
//!  │ │ │ └─────────────────────────────────── done ──────────────────────────────────────┘
//!  │ │ └─ WaitingForSchema: the record in hand is kept
//!  │ └──▶ CircuitOpen ──▶ Rewinding ─┐
//!  └─────────────────────────────────┘
//! ```
//!
//! While a statement is under way the next batch is read and decoded, and no more than that: there
//! are two batches, one in hand (from Writing to its offsets) and one ahead, which Reading completes.
//!
//! What it rests on, in the order in which it would be doubted:
//!
//! - **Offsets come last**: a batch's are committed after its rows are durable and its dead letters
//!   acknowledged, and never those of what was only read. Whatever is interrupted before is done
//!   again, and changes nothing then: the rows are known by (campaign, order).
//! - **The table is what the records give one after the other**: of an identity the first record is
//!   the row, of two identities with one code the earlier has it. A statement does many at once only
//!   because one that goes through has done the same as that, and one that doesn't is halved, the
//!   earlier half first. The batch ahead has its turn when the one in hand is settled.
//! - **Only the data is ever dead**: a row that fails alone is dead when the table takes others
//!   ([`crate::doubt`]); a fault outside is waited out in the state that it met, with
//!   the group polled and no record taken.
//! - **A rebalance takes offsets and letters away, never rows**: what another member does again
//!   gives the same rows.
//! - **The circuit breaker takes back whole batches**: nothing dead-lettered, nothing committed, all
//!   read again. It judges the batch in hand; what is ahead is taken back with it.
//!
//! Each step makes at most one call that can wait; what is read beside a statement is what is there.

mod dead_letters;
mod step;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::BTreeSet;
use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::Clock;
use runtime::deferred_offsets::DeferredOffsets;
use runtime::kafka::AssignmentChange;
use runtime::record::{OwnedRecord, Partition, Positions};
use runtime::registry::SchemaSource;
use schemas::{SchemaId, VoucherPlan};

use crate::batch::Batch;
use crate::bisection::Bisection;
use crate::columns::Columns;
use crate::doubt::Doubt;
use crate::ports::{DeadLetters, Observer, Source, Table};

/// How long a poll of an empty topic waits; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(250);

/// So many records are read between two looks at the statement under way: it waits no longer for
/// its next bytes, or with its answer, than these take.
const TURN: usize = 64;

/// How long one question to the database or the broker may wait.
const SLICE: Duration = Duration::from_millis(50);

/// During a statement that takes longer nothing is read any more, and the group is polled: pausing
/// drops what the client has fetched ahead, which a quick statement isn't worth.
const QUICK: Duration = Duration::from_secs(1);

/// A statement that takes longer is told: the service is not ready.
const SLOW: Duration = Duration::from_secs(3);

/// How long the circuit stays open before the same records are tried again.
const CIRCUIT_PAUSE: Duration = Duration::from_secs(10);

/// Where the task is.
#[derive(Debug)]
enum State {
    /// Records are read and decoded into the batch ahead; no other is in hand.
    Reading,
    /// The batch's rows go to the database, part by part, while the batch ahead is read; the current
    /// part's statement was started at `since`, or is not yet.
    Writing {
        halves: Bisection,
        since: Option<Duration>,
    },
    /// The database is away, or two transactions met; the same part again at `until`.
    WaitingForDatabase { halves: Bisection, until: Duration },
    /// The batch's dead letters go out; those that were sent are to be acknowledged.
    DeadLettering { sent: Option<Vec<usize>> },
    /// They were not acknowledged; all of them again at `until`.
    WaitingForBroker { until: Duration },
    /// All is durable; the batch's offsets are committed.
    CommittingOffsets,
    /// The broker did not take them; the same again at `until`.
    WaitingToCommit { until: Duration },
    /// A held record waits for its schema.
    WaitingForSchema { schema_id: SchemaId },
    /// Too many records are dead; the same are tried again at `until`.
    CircuitOpen { until: Duration },
    /// Partitions go back to the group's committed offsets.
    Rewinding { not_before: Duration },
    /// The consumer is dead; the group is joined anew at `until`.
    Rejoining { until: Duration },
}

/// The ports of one task.
#[derive(Debug)]
pub struct Ports<K, T, D, S, C, O> {
    /// The vouchers.
    pub source: K,
    /// Where they go.
    pub table: T,
    /// Where those go that can't be used.
    pub dead_letters: D,
    /// The writers' schemas.
    pub schemas: S,
    /// Time.
    pub clock: C,
    /// Who watches.
    pub observer: O,
}

/// One task: the only owner of its consumer, its connection and its batches.
pub struct Task<K, T, D, S, C, O> {
    ports: Ports<K, T, D, S, C, O>,
    /// The source's name, for the dead letters.
    topic: String,
    state: State,
    /// In hand: it is written, its letters are sent, its offsets are next.
    batch: Batch,
    /// Read, and no more: nothing of it is anywhere else.
    ahead: Batch,
    /// Kept for its memory while no statement has it.
    columns: Columns,
    /// Read from the client after the batch ahead, but its schema isn't known yet.
    held: Option<OwnedRecord>,
    /// Why the consumer can't go on; the batch in hand is settled first.
    lost: Option<String>,
    /// Has seen the batch in hand, and not the one ahead.
    breaker: CircuitBreaker,
    /// As it was before the batch: an outcome counts only once.
    breaker_before: CircuitBreaker,
    circuit_is_open: bool,
    assigned: BTreeSet<Partition>,
    joined: bool,
    /// The highest offsets known to be committed.
    committed: Positions,
    /// Of batches that are durable.
    deferred: DeferredOffsets,
    backoff: Backoff,
    /// Whether a row that fails alone is at fault.
    doubt: Doubt,
    /// Between attempts at dead letters that the broker refuses.
    refused_letters: Backoff,
}

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: Source,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// A task that has not done anything yet; `topic` is what its source reads.
    pub fn new(ports: Ports<K, T, D, S, C, O>, topic: String, breaker: CircuitBreaker) -> Self {
        Self {
            ports,
            topic,
            state: State::Reading,
            batch: Batch::default(),
            ahead: Batch::default(),
            columns: Columns::default(),
            held: None,
            lost: None,
            breaker_before: breaker.clone(),
            breaker,
            circuit_is_open: false,
            assigned: BTreeSet::new(),
            joined: false,
            committed: Positions::new(),
            deferred: DeferredOffsets::default(),
            backoff: Backoff::outside(),
            doubt: Doubt::default(),
            refused_letters: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
        }
    }

    /// Takes note of what rebalances did.
    fn follow_assignment(&mut self) {
        let changes = self.ports.source.take_changes();
        if changes.is_empty() {
            return;
        }
        for change in changes {
            match change {
                AssignmentChange::Assigned(partitions) => {
                    self.assigned.extend(partitions);
                }
                AssignmentChange::Revoked(partitions) => {
                    for partition in partitions {
                        self.batch.forget(partition);
                        self.ahead.forget(partition);
                        self.committed.remove(&partition);
                        self.deferred.forget(partition);
                        self.assigned.remove(&partition);
                        self.held.take_if(|held| held.partition == partition);
                    }
                }
            }
        }
        self.joined = true;
        tracing::info!(partitions = ?self.assigned, "assignment");
        self.ports.observer.assigned(self.assigned.len());
    }

    /// Polls the group without taking records.
    fn stay_in_group(&mut self, time: Duration) {
        self.ports.source.keep_alive(time);
        self.follow_assignment();
    }

    /// Forgets all that was read and not settled.
    fn forget_batches(&mut self) {
        self.batch.clear();
        self.ahead.clear();
        self.held = None;
        self.doubt.forget_row();
        self.breaker = self.breaker_before.clone();
    }

    /// The batch is durable, and its offsets are to be committed.
    fn settle_batch(&mut self) {
        let now = self.now();
        self.deferred.add(self.batch.positions(), now);
        self.ports.observer.settled(self.batch.tally());
        self.batch.clear();
        self.breaker_before = self.breaker.clone();
        self.backoff.reset();
        self.flows();
    }

    fn flows(&mut self) {
        self.note_circuit(false);
        if !self.joined {
            return;
        }
        let blocked = self.ports.source.blocked();
        if blocked.is_empty() {
            self.ports.observer.flowing();
        } else {
            self.ports.observer.blocked(&blocked);
        }
    }

    fn note_circuit(&mut self, open: bool) {
        if self.circuit_is_open != open {
            self.circuit_is_open = open;
            self.ports.observer.circuit(open);
        }
    }

    fn now(&self) -> Duration {
        self.ports.clock.now()
    }
}
