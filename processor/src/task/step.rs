//! The steps, in the order in which a batch goes through them.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{CommitError, Polled, TransactionError};
use runtime::record::{OwnedRecord, Positions};
use runtime::registry::{Lookup, SchemaSource};
use runtime::stepping::{Step, Stepping};
use schemas::{OrderStatusPlan, SchemaId};

use super::fill::{BatchSlot, Received};
use super::{CIRCUIT_PAUSE, DEADLINE, Guarantee, IDLE, OFFSETS_ALONE, SLICE, State, Task, Then};
use crate::batch::Batch;
use crate::ports::{Log, Observer, TransactionEnd};

impl<L, S, C, O> Stepping for Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// The data's way is `read`, `produce`, `send_offsets`, `drain`, `commit`.
    fn step(&mut self) -> Step {
        match self.state {
            State::Opening => self.open(),
            State::Initializing => self.initialize(),
            State::Rewinding => self.rewind(),
            State::Reading => self.read(),
            State::Producing => self.produce(),
            State::Finishing => self.finish(),
            State::SendingOffsets => self.send_offsets(),
            State::Draining => self.drain(),
            State::Committing => self.commit(),
            State::CommittingOffsets => self.commit_offsets(),
            State::Aborting => self.abort(),
            State::WaitingForSchema { schema_id } => self.wait_for_schema(schema_id),
            State::CircuitOpen { until } => self.wait_until(until, State::Rewinding),
            State::LookingForAnother { until } => self.look_for_another(until),
            State::Pausing { until, then } => self.wait_until(
                until,
                match then {
                    Then::Open => State::Opening,
                    Then::Rewind => State::Rewinding,
                },
            ),
        }
    }

    fn is_idle(&self) -> bool {
        match self.state {
            State::Reading => self.deferred.is_empty(),
            State::Opening
            | State::Initializing
            | State::Rewinding
            | State::WaitingForSchema { .. }
            | State::CircuitOpen { .. }
            | State::LookingForAnother { .. }
            | State::Pausing { .. } => true,
            _ => false,
        }
    }
}

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    fn open(&mut self) -> Step {
        self.forget_batch();
        self.interrupted = false;
        if let Err(failure) = self.log.open_producer() {
            return Step::Stop(failure);
        }
        self.state = match self.settings.guarantee {
            Guarantee::ExactlyOnce => State::Initializing,
            Guarantee::AtLeastOnce => State::Rewinding,
        };
        Step::Continue
    }

    fn initialize(&mut self) -> Step {
        match self.log.init(SLICE) {
            Ok(()) => {
                self.state = State::Rewinding;
                Step::Continue
            }
            Err(TransactionError::Retriable(why)) => {
                self.observer
                    .standing(&format!("waiting for the transaction coordinator: {why}"));
                self.stay_in_group(Duration::ZERO);
                Step::Continue
            }
            Err(error) => self.recover(error),
        }
    }

    /// Nothing is in hand: every partition is read from the group's committed offset.
    fn rewind(&mut self) -> Step {
        self.forget_batch();
        self.deferred.clear();
        if self.assigned.is_empty() {
            self.state = State::Reading;
            return Step::Continue;
        }
        match self.log.rewind(SLICE) {
            Ok(()) => {
                self.rewind_held_back.over();
                self.committed.clear();
                self.state = State::Reading;
            }
            Err(why) => {
                self.observer
                    .standing(&format!("can't read the group's offsets: {why}"));
                if self.is_transactional() && self.rewind_held_back.note(self.clock.now()) {
                    return self.search_for_hanging_transactions();
                }
                let pause = self.backoff.next_pause();
                self.stay_in_group(pause);
            }
        }
        Step::Continue
    }

    /// Takes over the transactional ids again, and with them ends what they left hanging.
    fn search_for_hanging_transactions(&mut self) -> Step {
        tracing::warn!(
            "offsets of the group have not been told for longer than a transaction may take; \
             looking for hanging transactions"
        );
        self.state = State::Opening;
        Step::Continue
    }

    fn is_transactional(&self) -> bool {
        self.settings.guarantee == Guarantee::ExactlyOnce
    }

    /// Says whether new partitions have waited for their offsets for too long.
    fn placing_hangs(&mut self) -> bool {
        if !self.log.waits_for_offsets() {
            self.placing_held_back.over();
            return false;
        }
        self.is_transactional() && self.placing_held_back.note(self.clock.now())
    }

    /// Reads and evaluates until the queue is empty or the batch is full.
    fn read(&mut self) -> Step {
        if self.batch.is_empty() && self.deferred.is_empty() && self.placing_hangs() {
            return self.search_for_hanging_transactions();
        }
        let mut received = self.begin_to_read();
        let mut has_grown = true;
        loop {
            match received {
                Received::Taken if self.batch_is_full() => return self.finish_batch(None),
                Received::Taken => {
                    has_grown = true;
                    received = self.receive(Duration::ZERO);
                }
                Received::Nothing => {
                    self.follow_assignment();
                    let patience = self.patience();
                    if patience.is_zero() || !has_grown {
                        return self.finish_batch(None);
                    }
                    has_grown = false;
                    received = self.receive(patience);
                }
                Received::SetAside => return self.finish_batch(None),
                Received::Held { schema_id } => return self.finish_batch(Some(schema_id)),
                Received::CircuitOpened => return self.open_circuit(),
                Received::Fatal(why) => return self.rejoin(&why),
            }
        }
    }

    /// How long the first poll of a batch waits.
    fn idle(&self) -> Duration {
        let left = self.deferred.left(self.clock.now());
        left.map_or(IDLE, |left| left.min(IDLE))
    }

    /// How long a batch had better grow: nobody waits for one that only moves offsets.
    fn patience(&self) -> Duration {
        if self.batch.is_empty() || self.batch.has_outputs() {
            return Duration::ZERO;
        }
        (self.batch_began + OFFSETS_ALONE).saturating_sub(self.clock.now())
    }

    /// The first of a batch, or what comes after that which was read ahead.
    fn begin_to_read(&mut self) -> Received {
        if let Some(end) = self.ahead.end.take() {
            return end;
        }
        if !self.batch.is_empty() {
            return self.receive(Duration::ZERO);
        }
        self.breaker_before = self.breaker.clone();
        match self.held.take() {
            Some(held) => self.take_held(held),
            None => self.receive(self.idle()),
        }
    }

    /// Polls for one record and takes it into the batch.
    fn receive(&mut self, timeout: Duration) -> Received {
        let (log, intake) = self.log_and_intake(BatchSlot::Current);
        intake.take(log.poll(timeout))
    }

    fn take_held(&mut self, held: OwnedRecord) -> Received {
        let (_, intake) = self.log_and_intake(BatchSlot::Current);
        intake.take(Polled::Record(held))
    }

    pub(super) fn batch_is_full(&self) -> bool {
        self.is_full(&self.batch)
    }

    pub(super) fn is_full(&self, batch: &Batch) -> bool {
        self.settings.bounds.are_reached(batch) || self.setbacks.ends(batch)
    }

    /// The batch has ended: write it, commit its offsets, or wait for what ended it.
    fn finish_batch(&mut self, waits_for: Option<SchemaId>) -> Step {
        if waits_for.is_none() {
            self.tell_that_it_flows();
        }
        if self.batch.has_outputs() {
            self.state = State::Producing;
            return Step::Continue;
        }
        if !self.batch.is_empty() {
            self.state = State::CommittingOffsets;
            return Step::Continue;
        }
        if !self.deferred.is_empty() {
            // Who waits for a schema may do so for long.
            if waits_for.is_some() || self.deferred.are_due(self.clock.now()) {
                self.state = State::CommittingOffsets;
            }
            return Step::Continue;
        }
        if let Some(schema_id) = waits_for {
            self.state = State::WaitingForSchema { schema_id };
            return Step::Continue;
        }
        if self.held.is_some() {
            // It was read and is in no batch: nothing may be committed past it.
            return Step::Continue;
        }
        // Idle: step over the control records at the end of the last transactions, so that a
        // consumer group without lag shows none.
        self.note_what_is_read();
        let past = self.uncommitted_positions();
        if !past.is_empty() && self.log.commit_offsets(&past).is_ok() {
            self.committed.extend(past);
        }
        Step::Continue
    }

    /// The end of every partition was reached, and nothing is in hand.
    fn note_what_is_read(&mut self) {
        if self.log.positions().len() >= self.assigned.len() {
            self.setbacks.all_is_read();
        }
    }

    fn uncommitted_positions(&mut self) -> Positions {
        let mut positions = self.log.positions();
        positions.retain(|partition, position| {
            self.committed
                .get(partition)
                .is_none_or(|committed| *position > *committed)
        });
        positions
    }

    fn produce(&mut self) -> Step {
        self.deadline = self.clock.now() + DEADLINE;
        self.interrupted = false;
        if self.settings.guarantee == Guarantee::ExactlyOnce
            && let Err(error) = self.log.begin()
        {
            return self.recover(error);
        }
        let log = &mut self.log;
        match self.batch.each_output(|record| log.send(record)) {
            Ok(()) => {
                self.state = if self.settings.guarantee == Guarantee::AtLeastOnce {
                    State::Draining
                } else if self.begin_to_finish_beside() {
                    State::Finishing
                } else {
                    State::SendingOffsets
                };
                Step::Continue
            }
            // The client's queue is larger than a batch: no room means that nothing moves.
            Err(TransactionError::Retriable(why)) => self.recover(TransactionError::Abortable(why)),
            Err(error) => self.recover(error),
        }
    }

    /// While the records are on their way: the transaction holds the offsets whether they arrive or
    /// not, and is aborted when one does not.
    fn send_offsets(&mut self) -> Step {
        match self.log.send_offsets(&self.batch.positions(), SLICE) {
            Ok(()) => {
                self.state = State::Draining;
                Step::Continue
            }
            Err(error) => self.again_or_recover(error),
        }
    }

    fn drain(&mut self) -> Step {
        match self.log.drain(SLICE) {
            Ok(()) => {
                self.state = match self.settings.guarantee {
                    Guarantee::ExactlyOnce => State::Committing,
                    Guarantee::AtLeastOnce => self.settle_without_transaction(),
                };
                Step::Continue
            }
            Err(error) => self.again_or_recover(error),
        }
    }

    /// The batch is acknowledged; its offsets follow in time.
    fn settle_without_transaction(&mut self) -> State {
        let now = self.clock.now();
        self.deferred.add(&self.batch.positions(), now);
        self.count_batch();
        if self.deferred.are_due(now) {
            State::CommittingOffsets
        } else {
            State::Reading
        }
    }

    fn commit(&mut self) -> Step {
        let answer = self.log.commit(SLICE);
        self.take_commits_answer(answer)
    }

    pub(super) fn take_commits_answer(&mut self, answer: Result<(), TransactionError>) -> Step {
        match answer {
            Ok(()) => {
                self.observer.transaction_ended(TransactionEnd::Committed);
                self.settle_batch();
                self.state = if self.interrupted {
                    // What was read ahead will be read, and observed, again.
                    if self.ahead.is_wanted {
                        self.breaker_before = self.ahead.breaker_before.clone();
                    }
                    State::Opening
                } else {
                    State::Reading
                };
                Step::Continue
            }
            // The end is under way; only its own answer says which it is.
            Err(TransactionError::Retriable(why)) => {
                self.interrupted = true;
                if self.clock.now() >= self.deadline {
                    return self.recover(TransactionError::Fatal(why));
                }
                self.observer
                    .standing(&format!("waiting for a commit's answer: {why}"));
                self.stay_in_group(Duration::ZERO);
                Step::Continue
            }
            Err(error) => self.recover(error),
        }
    }

    /// Without a transaction: what was read earns nothing, or is acknowledged already.
    fn commit_offsets(&mut self) -> Step {
        let mut positions = self.deferred.positions().clone();
        positions.extend(self.batch.positions());
        match self.log.commit_offsets(&positions) {
            Ok(()) => {
                self.committed.extend(self.deferred.take());
                if !self.batch.is_empty() {
                    self.settle_batch();
                }
            }
            Err(CommitError::NotOwner(error)) => {
                // Its new owner reads the same again and comes to the same outcomes.
                tracing::debug!(%error, "offsets not committed: the group moved on");
                self.forget_batch();
                self.state = State::Rewinding;
                return Step::Continue;
            }
            Err(CommitError::Unavailable(error)) => {
                // The outcomes stand; a later commit covers these offsets.
                tracing::debug!(%error, "offsets not committed yet");
                self.batch.clear_outputs();
                self.observer
                    .standing(&format!("can't commit offsets: {error}"));
                let pause = self.backoff.next_pause();
                if self.stay_in_group(pause) {
                    self.forget_batch();
                    self.state = State::Rewinding;
                }
                return Step::Continue;
            }
        }
        self.state = State::Reading;
        Step::Continue
    }

    /// Waits for the acknowledgements first: an abort must not overtake the first record's
    /// registration with the coordinator (confluentinc/librdkafka#4849).
    fn abort(&mut self) -> Step {
        let late = self.clock.now() >= self.deadline;
        if let Err(TransactionError::Retriable(_)) = self.log.drain(SLICE)
            && !late
        {
            self.stay_in_group_before_abort();
            return Step::Continue;
        }
        // A delivery report may have come only now.
        self.learn_refusals();
        match self.log.abort(SLICE) {
            Ok(()) => {
                self.observer.transaction_ended(TransactionEnd::Aborted);
                self.pause_then(if self.interrupted {
                    Then::Open
                } else {
                    Then::Rewind
                });
                Step::Continue
            }
            Err(TransactionError::Retriable(why)) if !late => {
                self.interrupted = true;
                self.observer.standing(&format!("waiting to abort: {why}"));
                self.stay_in_group_before_abort();
                Step::Continue
            }
            Err(TransactionError::Retriable(why) | TransactionError::Abortable(why)) => {
                self.recover(TransactionError::Fatal(why))
            }
            Err(error) => self.recover(error),
        }
    }

    fn stay_in_group_before_abort(&mut self) {
        if self.stay_in_group(Duration::ZERO) {
            self.forget_refusals();
        }
    }

    fn wait_for_schema(&mut self, schema_id: SchemaId) -> Step {
        if self.held.is_none() || !matches!(self.schemas.lookup(schema_id), Lookup::Pending) {
            self.state = State::Reading;
            return Step::Continue;
        }
        self.stay_in_group(Duration::from_millis(20));
        Step::Continue
    }

    fn open_circuit(&mut self) -> Step {
        let why = self.breaker.to_string();
        tracing::error!("{why}");
        self.observer.standing(&why);
        self.observer.circuit(true);
        self.forget_batch();
        // Earlier batches, which are done: without it each try would do them again.
        if self.log.commit_offsets(self.deferred.positions()).is_ok() {
            self.committed.extend(self.deferred.take());
        }
        self.state = State::CircuitOpen {
            until: self.clock.now() + CIRCUIT_PAUSE,
        };
        Step::Continue
    }

    fn wait_until(&mut self, until: Duration, then: State) -> Step {
        if self.clock.now() >= until {
            self.observer.circuit(false);
            self.state = then;
        } else {
            let left = until.saturating_sub(self.clock.now());
            self.stay_in_group(left.min(Duration::from_millis(100)));
        }
        Step::Continue
    }

    /// Polls the group without taking records. Says whether something of the batch was lost.
    pub(super) fn stay_in_group(&mut self, time: Duration) -> bool {
        self.log.keep_alive(time);
        self.follow_assignment()
    }
}
