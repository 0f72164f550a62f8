//! The steps, in the order in which a batch goes through them.

use std::ops::Range;
use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{CommitError, Polled};
use runtime::record::{OwnedRecord, Positions};
use runtime::registry::SchemaSource;
use runtime::stepping::{Step, Stepping};
use schemas::{Malformed, SchemaId, VoucherPlan};

use super::{IDLE, QUICK, SLICE, SLOW, State, TURN, Task};
use crate::batch::MAX_RECORDS;
use crate::bisection::Bisection;
use crate::decide::{Decision, code_taken, decide, rejected};
use crate::ports::{
    Cause, DeadLetters, Observer, Source, Table, VoucherIdentity, WriteError, Written,
};

impl<K, T, D, S, C, O> Stepping for Task<K, T, D, S, C, O>
where
    K: Source,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// The data's way is `fill` (receive, decode, decide; in `read`, and in `write` meanwhile),
    /// `write`, `write_dead_letters` (acknowledged dead letters), `commit_offsets`; all others are waits.
    fn step(&mut self) -> Step {
        let next = match std::mem::replace(&mut self.state, State::Reading) {
            State::Reading => Ok(self.read()),
            State::Writing { halves, since } => Ok(self.write(halves, since)),
            State::DeadLettering { sent } => self.write_dead_letters(sent),
            State::CommittingOffsets => Ok(self.commit_offsets()),

            State::WaitingForDatabase { halves, until } => {
                Ok(self.wait_for_database(halves, until))
            }
            State::WaitingForBroker { until } => Ok(self.wait_for_broker(until)),
            State::WaitingToCommit { until } => Ok(self.wait_to_commit(until)),
            State::WaitingForSchema { schema_id } => Ok(self.wait_for_schema(schema_id)),
            State::CircuitOpen { until } => Ok(self.wait_for_circuit(until)),
            State::Rewinding { not_before } => Ok(self.rewind(not_before)),
            State::Rejoining { until } => self.rejoin(until),
        };
        match next {
            Ok(state) => {
                self.state = state;
                Step::Continue
            }
            Err(failure) => Step::Stop(failure),
        }
    }

    fn is_idle(&self) -> bool {
        match self.state {
            State::Writing { .. } | State::DeadLettering { .. } | State::CommittingOffsets => false,
            // What is only read is read again.
            State::Reading => self.deferred.is_empty(),
            _ => true,
        }
    }
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
    /// Reads until the queue is empty or the batch is full; nothing is being written.
    fn read(&mut self) -> State {
        match self.fill(self.idle(), MAX_RECORDS) {
            Filled::Held { schema_id } if self.ahead.is_empty() && self.deferred.is_empty() => {
                State::WaitingForSchema { schema_id }
            }
            _ => self.end_batch(),
        }
    }

    /// How long the first poll of a batch waits.
    fn idle(&self) -> Duration {
        if !self.ahead.is_empty() {
            return Duration::ZERO;
        }
        self.deferred
            .left(self.now())
            .map_or(IDLE, |left| left.min(IDLE))
    }

    /// Reads and decodes up to `most` records into the batch ahead; only the first poll waits, and
    /// not for more than is in hand.
    fn fill(&mut self, mut patience: Duration, most: usize) -> Filled {
        if let Some(held) = self.held.take() {
            if let Some(schema_id) = self.take_held(held) {
                return Filled::Held { schema_id };
            }
            patience = Duration::ZERO;
        }
        for _ in 0..most {
            if self.ahead.is_full() || self.lost.is_some() {
                return Filled::Enough;
            }
            match self.receive(std::mem::take(&mut patience)) {
                Received::Taken => {}
                Received::Held { schema_id } => return Filled::Held { schema_id },
                Received::Nothing => {
                    self.follow_assignment();
                    return Filled::Enough;
                }
            }
        }
        Filled::Partly
    }

    /// Polls for one record and takes it into the batch ahead.
    fn receive(&mut self, timeout: Duration) -> Received {
        let record = match self.ports.source.poll(timeout) {
            Polled::Record(record) => record,
            Polled::Nothing => return Received::Nothing,
            Polled::Fatal(why) => {
                self.lost = Some(why);
                return Received::Nothing;
            }
        };
        match decide(&record, &mut self.ports.schemas, &mut self.ahead) {
            Decision::Wait { schema_id } => {
                self.held = Some(OwnedRecord::of(&record));
                Received::Held { schema_id }
            }
            _ => Received::Taken,
        }
    }

    /// Gives the schema that the record still waits for.
    fn take_held(&mut self, held: OwnedRecord) -> Option<SchemaId> {
        match decide(&held, &mut self.ports.schemas, &mut self.ahead) {
            Decision::Wait { schema_id } => {
                self.held = Some(held);
                Some(schema_id)
            }
            _ => None,
        }
    }

    /// Nothing more is read into the batch ahead: it is the one in hand now.
    fn end_batch(&mut self) -> State {
        if let Some(why) = self.lost.take() {
            return self.give_up_consumer(&why);
        }
        if !self.ahead.is_empty() {
            std::mem::swap(&mut self.batch, &mut self.ahead);
            if self.circuit_opens_within_batch() {
                return self.open_circuit();
            }
            return State::Writing {
                halves: Bisection::whole(self.batch.rows()),
                since: None,
            };
        }
        if !self.deferred.is_empty() {
            return self.after_batch();
        }
        // Idle: step over the control records at the end of the last transactions, so that a
        // consumer group without lag shows none.
        self.flows();
        let past = self.positions_past_the_committed();
        if !past.is_empty() && self.ports.source.commit_offsets(&past).is_ok() {
            self.committed.extend(past);
        }
        State::Reading
    }

    fn positions_past_the_committed(&mut self) -> Positions {
        let mut positions = self.ports.source.positions();
        positions.retain(|partition, position| {
            self.committed
                .get(partition)
                .is_none_or(|committed| *position > *committed)
        });
        positions
    }

    /// Writes the current part, or what a refusal left of it, and reads on meanwhile.
    fn write(&mut self, halves: Bisection, since: Option<Duration>) -> State {
        let Some(part) = halves.current() else {
            return self.end_writing();
        };
        let (since, patience) = match since {
            None => {
                let mut columns = std::mem::take(&mut self.columns);
                columns.fill(&self.batch, part.clone());
                self.ports.table.start(columns);
                // What is on its way to the database is none of its time.
                (self.now(), Duration::ZERO)
            }
            Some(since) => (since, self.read_meanwhile(since)),
        };
        let Some((columns, result)) = self.ports.table.poll(patience) else {
            return self.wait_for_answer(halves, since);
        };
        self.columns = columns;
        match result {
            Ok(written) => self.note_written(halves, &written, since),
            Err(error) => self.recover(halves, part, error),
        }
    }

    /// Reads a turn into the batch ahead while a statement is under way; gives how long that may be
    /// waited for then.
    fn read_meanwhile(&mut self, since: Duration) -> Duration {
        let is_quick = self.now().saturating_sub(since) < QUICK;
        if is_quick && matches!(self.fill(Duration::ZERO, TURN), Filled::Partly) {
            Duration::ZERO
        } else {
            SLICE
        }
    }

    fn wait_for_answer(&mut self, halves: Bisection, since: Duration) -> State {
        let waited = self.now().saturating_sub(since);
        if waited >= SLOW {
            self.ports
                .observer
                .standing("the database has not answered a statement for seconds");
        }
        if waited >= QUICK {
            self.stay_in_group(Duration::ZERO);
        }
        State::Writing {
            halves,
            since: Some(since),
        }
    }

    fn note_written(&mut self, mut halves: Bisection, written: &Written, since: Duration) -> State {
        self.batch.note_written(&self.columns, written);
        let took = self.now().saturating_sub(since);
        self.ports.observer.written(took);
        self.backoff.reset();
        self.doubt.note_written(written.inserted);
        halves.settle();
        State::Writing {
            halves,
            since: None,
        }
    }

    /// What an error says to do next.
    fn recover(&mut self, mut halves: Bisection, part: Range<usize>, error: WriteError) -> State {
        match error {
            WriteError::Data(_) | WriteError::CodeClash { .. } | WriteError::Doubtful { .. }
                if part.len() > 1 =>
            {
                self.ports.observer.write_failed(Cause::Data);
                halves.halve();
                State::Writing {
                    halves,
                    since: None,
                }
            }
            WriteError::Data(sentence) => {
                let sentence = without(self.batch.code(part.start), &sentence);
                self.refuse(halves, part.start, rejected(&sentence))
            }
            WriteError::CodeClash {
                holder: Some(holder),
            } if !self.is_of(part.start, &holder) => {
                let VoucherIdentity { campaign, order_id } = holder;
                let cause = code_taken(format_args!("order {order_id} of campaign {campaign}"));
                self.refuse(halves, part.start, cause)
            }
            WriteError::Doubtful { why, others_pass } => {
                let why = without(self.batch.code(part.start), &why);
                if self.doubt.convicts(others_pass) {
                    return self.set_aside(halves, part.start, &why);
                }
                self.stand(&format!("waiting for the database: {why}"));
                self.write_again(halves)
            }
            // Another writer of this very voucher was quicker, or the holder is gone: once more.
            WriteError::CodeClash { .. } => self.write_again(halves),
            WriteError::Conflict(why) => {
                tracing::debug!(why, "two transactions met");
                self.write_again(halves)
            }
            WriteError::Unavailable(why) => {
                if self.backoff.tries() == 0 {
                    tracing::warn!(why, "the database is away; waiting, nothing is lost");
                }
                self.stand(&format!("waiting for the database: {why}"));
                self.write_again(halves)
            }
            WriteError::NeedsPerson(why) => {
                tracing::error!(
                    why,
                    "the database has to be mended; waiting, nothing is lost"
                );
                self.stand(&format!("the database has to be mended: {why}"));
                self.write_again(halves)
            }
        }
    }

    fn is_of(&self, row: usize, identity: &VoucherIdentity) -> bool {
        self.batch.campaign(row) == identity.campaign
            && self.batch.order_id(row) == identity.order_id
    }

    fn write_again(&mut self, halves: Bisection) -> State {
        self.ports.observer.write_failed(Cause::Unavailable);
        State::WaitingForDatabase {
            halves,
            until: self.pause_ends(),
        }
    }

    /// A row fails alone again and again, while the table takes others.
    fn set_aside(&mut self, halves: Bisection, row: usize, why: &str) -> State {
        tracing::error!(
            campaign = self.batch.campaign(row),
            order_id = self.batch.order_id(row),
            why,
            "the database does not take this row and takes others; it becomes a dead letter"
        );
        self.refuse(halves, row, rejected(why))
    }

    /// A row stands alone and is refused: it is dead, unless there are too many of them.
    fn refuse(&mut self, mut halves: Bisection, row: usize, cause: Malformed) -> State {
        self.batch.refuse(row, cause);
        if self.circuit_opens_within_batch() {
            return self.open_circuit();
        }
        halves.settle();
        State::Writing {
            halves,
            since: None,
        }
    }

    /// Counts the batch's outcomes anew, from the window as it was at its start: the rows that the
    /// database refused had counted as good.
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

    pub(super) fn end_writing(&mut self) -> State {
        if self.batch.dead().next().is_some() {
            return State::DeadLettering { sent: None };
        }
        self.settle_batch();
        self.after_batch()
    }

    /// Commits what is due in time, and at once when it would be long before the next occasion.
    fn after_batch(&self) -> State {
        if self.held.is_some() || self.deferred.are_due(self.now()) {
            self.commit_at_once()
        } else {
            State::Reading
        }
    }

    /// Unless the consumer is lost: what is durable is done again then, to no effect.
    pub(super) const fn commit_at_once(&self) -> State {
        match self.lost {
            None => State::CommittingOffsets,
            Some(_) => State::Reading,
        }
    }

    /// All that was asked for up to these offsets is durable.
    fn commit_offsets(&mut self) -> State {
        match self.ports.source.commit_offsets(self.deferred.positions()) {
            Ok(()) => self.committed.extend(self.deferred.take()),
            // Whoever has the partitions now does the same again, to no effect.
            Err(CommitError::NotOwner(error)) => {
                tracing::debug!(%error, "offsets not committed: the group moved on");
                self.deferred.clear();
            }
            Err(CommitError::Unavailable(error)) => {
                self.stand(&format!("can't commit offsets: {error}"));
                return State::WaitingToCommit {
                    until: self.pause_ends(),
                };
            }
        }
        self.backoff.reset();
        self.flows();
        State::Reading
    }
}

/// What one poll brought.
enum Received {
    /// A record, and it is in the batch ahead.
    Taken,
    /// A record that is kept aside until its schema is known.
    Held { schema_id: SchemaId },
    /// The queue is empty, the group had something to say, or the consumer is lost.
    Nothing,
}

/// How reading ended.
enum Filled {
    /// There may be more.
    Partly,
    /// The queue is empty, the batch is full, or the consumer is lost.
    Enough,
    /// A record is kept aside until its schema is known.
    Held { schema_id: SchemaId },
}

/// A sentence of the database's that holds the code (one of a trigger could) must not be told.
fn without(code: &str, sentence: &str) -> String {
    sentence.replace(code, "****")
}
