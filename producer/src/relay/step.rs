//! The steps, in the order in which a batch goes through them.

use std::time::Duration;

use runtime::kafka::{Outgoing, TransactionError};

use super::ports::{Log, Observer, Outbox, OutboxError, Timer};
use super::rival::Rival;
use super::{
    COLLECTED_ROW, DEADLINE, HEARTBEAT, MAX_COLLECTION, PATIENCE, POLL, Relay, SLICE, STANDBY,
    Source, State, Step,
};

/// A call to the broker that takes longer is worth telling.
const NOTABLE: Duration = Duration::from_secs(2);

impl<O: Outbox, L: Log, C: Timer, W: Observer> Relay<O, L, C, W> {
    /// Does the next thing: at most one call that can wait.
    /// The data's way is `read`, `publish`, `drain`, `commit`, `delete`.
    pub fn step(&mut self) -> Step {
        let now = self.clock.now();
        let holds_lock = self.state != State::StandingBy;
        if holds_lock && now.saturating_sub(self.heard_at) >= HEARTBEAT {
            self.heartbeat();
        } else if now < self.resume_at {
            self.clock.wait((self.resume_at - now).min(SLICE));
        } else {
            match self.state {
                State::StandingBy => self.stand_by(),
                State::Opening => self.open(),
                State::Fencing => self.fence(),
                State::Confirming => self.confirm(),
                State::Reading => self.read(),
                State::OpeningBacklog => self.open_backlog(),
                State::Idle => self.idle(),
                State::Publishing => self.publish(),
                State::Draining => self.drain(),
                State::Committing => self.commit(),
                State::Aborting => self.abort(),
                State::Deleting => self.delete(),
                State::Fenced => self.fenced(),
            }
        }
        if self.is_resting() {
            Step::Resting
        } else {
            Step::Busy
        }
    }

    fn stand_by(&mut self) {
        match self.outbox.try_lock() {
            Ok(true) => {
                self.heard();
                self.progress_at = self.clock.now();
                self.state = State::Opening;
            }
            Ok(false) => {
                self.backoff.reset();
                self.observer.standing_by();
                self.resume_at = self.clock.now() + STANDBY;
            }
            Err(error) => self.wait_for_outbox(&error),
        }
    }

    fn open(&mut self) {
        match self.log.open() {
            Ok(()) => {
                self.interrupted = false;
                self.deadline = self.clock.now() + DEADLINE;
                self.state = State::Fencing;
            }
            Err(why) => self.try_later(State::Opening, &format!("no Kafka producer: {why}")),
        }
    }

    fn fence(&mut self) {
        match self.log.init(SLICE) {
            Ok(()) => self.state = State::Confirming,
            Err(TransactionError::Retriable(why)) => {
                let state = if self.clock.now() < self.deadline {
                    State::Fencing
                } else {
                    State::Opening
                };
                self.try_later(
                    state,
                    &format!("the transaction coordinator does not answer: {why}"),
                );
            }
            Err(error) => self.recover(error),
        }
    }

    /// An answer that comes after the fence proves that nobody took the lock before it.
    fn confirm(&mut self) {
        match self.outbox.confirm() {
            Ok(()) => {
                self.heard();
                self.observer.active();
                self.state = if self.batch.is_empty() {
                    State::Reading
                } else {
                    State::Publishing
                };
            }
            Err(error) => self.wait_for_outbox(&error),
        }
    }

    fn read(&mut self) {
        let begun = self.clock.now();
        if self.source == Source::Backlog {
            return self.read_backlog();
        }
        if self.low_water.wants_writers(begun, self.limits.stride) {
            return self.list_writers();
        }
        let from = self.low_water.from(begun);
        let read = self
            .outbox
            .read(from, self.limits.rows, self.batch.rows_mut())
            .inspect_err(|_| self.batch.clear());
        if let Err(error) = read {
            return self.wait_for_outbox(&error);
        }
        self.heard();
        self.saw_rows(from, begun);
        let all = self.batch.len() < self.limits.rows;
        if self.source == Source::TakenOver && !all {
            self.batch.clear();
            self.state = State::OpeningBacklog;
            return;
        }
        self.source = Source::Fresh;
        self.collect_until = if all {
            begun + collection(self.batch.len())
        } else {
            begun
        };
        self.take_up();
    }

    /// What was read may move the low-water mark.
    fn saw_rows(&mut self, from: i64, begun: Duration) {
        let span = (begun, self.clock.now());
        let before = self.low_water.mark();
        if let Some(id) = self.low_water.saw_rows(from, self.batch.rows(), span) {
            tracing::warn!(
                row = id,
                low_water = before,
                "outbox row {id} turned up below the low-water mark: its id was not taken in order \
                 (was it inserted by hand, or the sequence of outbox.id set back?); it is published \
                 now, perhaps after later versions of its order"
            );
        }
        if self.low_water.mark() != before {
            self.observer.low_water(self.low_water.mark());
        }
    }

    /// Lists who may have taken ids, before the next read.
    fn list_writers(&mut self) {
        match self.outbox.writers() {
            Ok(writers) => {
                self.heard();
                self.low_water.saw_writers(self.clock.now(), writers);
            }
            Err(OutboxError::Refused(why)) => {
                tracing::warn!(
                    why,
                    "the outbox's writers can't be listed: reads walk more deleted rows than needed"
                );
                self.low_water.cannot_see_writers(self.clock.now());
            }
            Err(error @ OutboxError::Lost(_)) => self.wait_for_outbox(&error),
        }
    }

    fn open_backlog(&mut self) {
        match self.outbox.open_backlog() {
            Ok(()) => {
                self.heard();
                self.source = Source::Backlog;
                self.state = State::Reading;
            }
            Err(error) => self.wait_for_outbox(&error),
        }
    }

    fn read_backlog(&mut self) {
        let rows = self.batch.held_back_mut();
        let before = rows.len();
        if let Err(error) = self.outbox.read_backlog(self.limits.backlog, rows) {
            // How far it was read is not known: begin again, with a new snapshot.
            return self.stand_aside(&format!("Postgres: {error}"));
        }
        let ended = rows.len() - before < self.limits.backlog;
        self.low_water.saw_backlog(&rows[before..]);
        self.heard();
        self.batch.take_whole_orders(ended);
        if ended {
            self.source = Source::Fresh;
        } else if self.batch.is_empty() {
            // One order fills all that was read: its other rows come with the next read.
            return;
        }
        self.take_up();
    }

    /// What was read is the next batch.
    fn take_up(&mut self) {
        self.state = if self.batch.is_empty() {
            self.backoff.reset();
            self.progress_at = self.clock.now();
            self.tell_flowing();
            State::Idle
        } else {
            State::Publishing
        };
    }

    /// The poll that follows is the lock's heartbeat too.
    fn idle(&mut self) {
        self.clock.wait(POLL);
        self.state = State::Reading;
    }

    fn publish(&mut self) {
        self.deadline = self.clock.now() + DEADLINE;
        if let Err(error) = self.log.begin() {
            return self.recover(error);
        }
        match self.send_batch() {
            Ok(()) => self.state = State::Draining,
            // The client's queue is larger than a batch: no room means that nothing moves.
            Err(TransactionError::Retriable(why)) => self.recover(TransactionError::Abortable(why)),
            Err(error) => self.recover(error),
        }
    }

    fn send_batch(&mut self) -> Result<(), TransactionError> {
        for row in self.batch.rows() {
            self.value.clear();
            row.write(self.format, &mut self.value).map_err(|error| {
                tracing::error!(
                    row = error.id,
                    order = row.order_id,
                    "outbox row {} can't be written: {}; it and all later rows wait for a person",
                    error.id,
                    error.why
                );
                TransactionError::Abortable(format!("row {}: {}", error.id, error.why))
            })?;
            self.log.send(&Outgoing {
                topic: &self.topic,
                key: Some(row.order_id.as_bytes()),
                value: Some(&self.value),
                headers: row.trace_header().as_slice(),
            })?;
        }
        Ok(())
    }

    fn drain(&mut self) {
        match self.log.drain(SLICE) {
            Ok(()) => self.state = State::Committing,
            // The client repeats by itself what it must; nothing that ends a transaction is on its way.
            Err(TransactionError::Retriable(_)) => self.wait_for_log("acknowledge the records"),
            Err(error) => self.recover(error),
        }
    }

    fn commit(&mut self) {
        match self.log.commit(SLICE) {
            Ok(()) => {
                self.observer.published(self.batch.len());
                self.progress_at = self.clock.now();
                self.state = State::Deleting;
            }
            // The end is under way; only its own answer says which it is.
            Err(TransactionError::Retriable(_)) => {
                self.interrupted = true;
                self.wait_for_log("commit the transaction");
            }
            Err(error) => self.recover(error),
        }
    }

    /// Waits for the acknowledgements first: an abort must not overtake the first record's
    /// registration with the coordinator (confluentinc/librdkafka#4849).
    fn abort(&mut self) {
        let aborted = match self.log.drain(SLICE) {
            Err(TransactionError::Retriable(why)) => Err(TransactionError::Retriable(why)),
            _ => self.log.abort(SLICE),
        };
        match aborted {
            Ok(()) if self.interrupted => self.try_again(State::Opening),
            Ok(()) => self.try_again(State::Publishing),
            Err(TransactionError::Retriable(_)) => {
                self.interrupted = true;
                self.wait_for_log("abort the transaction");
            }
            Err(TransactionError::Abortable(why)) => self.recover(TransactionError::Fatal(why)),
            Err(error) => self.recover(error),
        }
    }

    fn delete(&mut self) {
        match self.outbox.delete(self.batch.ids()) {
            Ok(()) => {
                self.heard();
                self.batch.clear();
                self.backoff.reset();
                self.tell_flowing();
                self.state = if self.interrupted {
                    State::Opening
                } else {
                    State::Reading
                };
                self.resume_at = self.collect_until;
            }
            Err(error) => self.wait_for_outbox(&error),
        }
    }

    fn heartbeat(&mut self) {
        match self.outbox.confirm() {
            Ok(()) => self.heard(),
            Err(error) => self.stand_aside(&format!("Postgres: {error}")),
        }
    }

    /// Looks whether the lock is still ours. Another relay of this outbox has it by now; one that slept
    /// between its lock and its fence may fence us once; whoever does it again has no such lock.
    fn fenced(&mut self) {
        let holds_lock = self.outbox.confirm().is_ok();
        let now = self.clock.now();
        if holds_lock && self.rival.fenced(now) {
            tracing::error!("{}", Rival::sentence(&self.topic));
        }
        if self.rival.is_there(now) {
            self.stand_aside(&Rival::sentence(&self.topic));
        } else {
            self.stand_aside("another relay took over the transactional id");
        }
    }

    /// The outbox is being published; but that there is a rival stays to be said.
    fn tell_flowing(&mut self) {
        if self.rival.is_there(self.clock.now()) {
            self.observer.waiting(&Rival::sentence(&self.topic));
        } else {
            self.observer.flowing();
        }
    }

    /// The lock's session answered.
    fn heard(&mut self) {
        self.heard_at = self.clock.now();
    }

    /// The same call again; once the deadline is over, the batch again with a new producer.
    fn wait_for_log(&mut self, what: &str) {
        let now = self.clock.now();
        if now >= self.deadline {
            self.recover(TransactionError::Fatal(format!(
                "the broker did not {what} within {DEADLINE:?}"
            )));
        } else if now + DEADLINE >= self.deadline + NOTABLE {
            self.observer
                .waiting(&format!("waiting for the broker to {what}"));
        }
    }

    /// What an error of a transaction says to do next.
    fn recover(&mut self, error: TransactionError) {
        let (first, last) = self.batch.id_range();
        let rows = self.batch.len();
        tracing::warn!(
            %error, state = ?self.state, rows, first, last,
            "the outbox's rows were not published; they will be tried again"
        );
        self.observer.transaction_failed();
        match error {
            TransactionError::Retriable(_) | TransactionError::Abortable(_)
                if !self.is_resting() =>
            {
                self.observer
                    .waiting(&format!("rows {first} to {last} were refused: {error}"));
                self.deadline = self.clock.now() + DEADLINE;
                self.state = State::Aborting;
            }
            TransactionError::Fenced(_) => self.state = State::Fenced,
            error => self.try_later(State::Opening, &error.to_string()),
        }
    }

    /// An error of the outbox: the same again, unless the lock is lost with the session.
    fn wait_for_outbox(&mut self, error: &OutboxError) {
        let why = format!("Postgres: {error}");
        match error {
            OutboxError::Refused(_) if self.state != State::StandingBy => {
                self.observer.waiting(&why);
                self.pause();
            }
            OutboxError::Refused(_) | OutboxError::Lost(_) => self.stand_aside(&why),
        }
    }

    /// The same batch again after a pause, in this state.
    fn try_again(&mut self, state: State) {
        self.state = state;
        self.pause();
    }

    /// Goes on in `state` after a pause, unless it is time to let another instance try.
    fn try_later(&mut self, state: State, why: &str) {
        if self.clock.now().saturating_sub(self.progress_at) >= PATIENCE {
            return self.stand_aside(why);
        }
        self.observer.waiting(why);
        self.try_again(state);
    }

    /// Without the lock nothing in hand is worth keeping: it is in the outbox.
    fn stand_aside(&mut self, why: &str) {
        self.let_go();
        self.observer.waiting(why);
        self.pause();
        // Longer than the others wait between two questions for the lock.
        self.resume_at = self.resume_at.max(self.clock.now() + STANDBY * 2);
    }

    fn pause(&mut self) {
        self.resume_at = self.clock.now() + self.backoff.next_pause();
    }
}

/// How long after a read of so many rows the next one comes, at the earliest.
fn collection(rows: usize) -> Duration {
    u32::try_from(rows).map_or(MAX_COLLECTION, |rows| {
        COLLECTED_ROW.saturating_mul(rows).min(MAX_COLLECTION)
    })
}

const _: () = assert!(SLICE.as_millis() * 2 < HEARTBEAT.as_millis());
