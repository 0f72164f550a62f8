//! Reading: records are polled and decoded into the next batch until no record is waiting or the batch
//! is full.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{GroupConsumer, Polled};
use runtime::record::OwnedRecord;
use runtime::registry::SchemaSource;
use schemas::{SchemaId, VoucherPlan};

use super::{State, Task};
use crate::bisection::Bisection;
use crate::decide::{Decision, decide};
use crate::limits::{IDLE_POLL, MAX_BATCH_RECORDS};
use crate::ports::{DeadLetters, Observer, Table};

/// What a poll brought.
enum Received {
    /// A record, which is in the next batch.
    Added,
    /// A record that is held until its schema is known.
    AwaitsSchema { schema_id: SchemaId },
    /// No record is waiting, an event of the group was handled, or the consumer cannot go on.
    Nothing,
}

/// Why filling the next batch ended.
pub(super) enum Filled {
    /// The requested number of records was polled. More may be waiting.
    Partly,
    /// No record is waiting, the batch is full, or the consumer cannot go on.
    Enough,
    /// A record is held until its schema is known.
    AwaitsSchema { schema_id: SchemaId },
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
    pub(super) fn read(&mut self) -> State {
        match self.fill(self.idle_timeout(), MAX_BATCH_RECORDS) {
            Filled::AwaitsSchema { schema_id }
                if self.next.is_empty() && self.deferred.is_empty() =>
            {
                State::WaitingForSchema { schema_id }
            }
            _ => self.end_batch(),
        }
    }

    /// Returns how long the first poll of a batch waits.
    fn idle_timeout(&self) -> Duration {
        if !self.next.is_empty() {
            return Duration::ZERO;
        }
        let left = self.deferred.time_left(self.now());
        left.map_or(IDLE_POLL, |left| left.min(IDLE_POLL))
    }

    /// Polls and decodes up to `max` records into the next batch. Only the first poll waits, and only
    /// when no record is held.
    pub(super) fn fill(&mut self, mut timeout: Duration, max: usize) -> Filled {
        if let Some(held) = self.held.take() {
            if let Some(schema_id) = self.add_held(held) {
                return Filled::AwaitsSchema { schema_id };
            }
            timeout = Duration::ZERO;
        }
        for _ in 0..max {
            if self.next.is_full() || self.consumer_failure.is_some() {
                return Filled::Enough;
            }
            match self.receive(std::mem::take(&mut timeout)) {
                Received::Added => {}
                Received::AwaitsSchema { schema_id } => return Filled::AwaitsSchema { schema_id },
                Received::Nothing => {
                    self.follow_assignment();
                    return Filled::Enough;
                }
            }
        }
        Filled::Partly
    }

    /// Polls for one record and adds it to the next batch.
    fn receive(&mut self, timeout: Duration) -> Received {
        let record = match self.ports.source.poll(timeout) {
            Polled::Record(record) => record,
            Polled::Nothing => return Received::Nothing,
            Polled::Fatal(why) => {
                self.consumer_failure = Some(why);
                return Received::Nothing;
            }
        };
        match decide(&record, &mut self.ports.schemas, &mut self.next) {
            Decision::Wait { schema_id } => {
                self.held = Some(OwnedRecord::of(&record));
                Received::AwaitsSchema { schema_id }
            }
            _ => {
                self.next.stamp_sampled(|| self.ports.clock.now());
                Received::Added
            }
        }
    }

    /// Adds the held record to the next batch. Returns the schema that the record still waits for, if any.
    fn add_held(&mut self, held: OwnedRecord) -> Option<SchemaId> {
        match decide(&held, &mut self.ports.schemas, &mut self.next) {
            Decision::Wait { schema_id } => {
                self.held = Some(held);
                Some(schema_id)
            }
            _ => {
                self.next.stamp_sampled(|| self.ports.clock.now());
                None
            }
        }
    }

    /// Makes the next batch the current one, and returns the state that writes it.
    fn end_batch(&mut self) -> State {
        if let Some(why) = self.consumer_failure.take() {
            return self.give_up_consumer(&why);
        }
        if !self.next.is_empty() {
            std::mem::swap(&mut self.batch, &mut self.next);
            if self.circuit_opens_within_batch() {
                return self.open_circuit();
            }
            return State::Writing {
                bisection: Bisection::whole(self.batch.rows()),
                since: None,
            };
        }
        if !self.deferred.is_empty() {
            return self.after_batch();
        }
        self.report_health();
        self.commit_what_is_read();
        State::Reading
    }

    /// Commits the offsets past the control records at the end of the last transactions, so that the
    /// group shows no lag when it is idle. Every record that was read is durable, and its offset is
    /// committed already unless the group was rebalancing at that time.
    fn commit_what_is_read(&mut self) {
        if self.assignment.is_read_to_the_end(&self.ports.source) {
            self.forgotten = None;
        }
        let uncommitted = self.assignment.uncommitted(self.ports.source.positions());
        if uncommitted.is_empty() {
            return;
        }
        let since = self.sampled_commit_begins();
        if self.ports.source.commit_offsets(&uncommitted).is_ok() {
            self.assignment.note_committed(&uncommitted);
            self.report_commit(since);
        }
    }
}
