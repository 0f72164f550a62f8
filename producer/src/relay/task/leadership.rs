//! Which relay publishes: the lock, the fence that follows it, and the heartbeat that keeps it.

use runtime::kafka::TransactionError;
use runtime::metrics::RetryClass;

use super::competing_producer::CompetingProducer;
use super::{Relay, State};
use crate::relay::limits::{BROKER_CALL, MAX_TRANSACTION, STANDBY_POLL};
use crate::relay::ports::{Observer, Outbox, Timer, Topic};

impl<B: Outbox, T: Topic, C: Timer, O: Observer> Relay<B, T, C, O> {
    pub(super) fn stand_by(&mut self) -> State {
        match self.ports.outbox.try_lock() {
            Ok(true) => {
                self.note_answer();
                self.progress_at = self.now();
                State::Opening
            }
            Ok(false) => {
                self.backoff.reset();
                self.ports.observer.standing_by();
                self.resume_at = self.now() + STANDBY_POLL;
                State::StandingBy
            }
            Err(error) => self.wait_for_outbox(State::StandingBy, &error),
        }
    }

    pub(super) fn open(&mut self) -> State {
        match self.ports.topic.open() {
            Ok(()) => {
                self.interrupted = false;
                self.deadline = self.now() + MAX_TRANSACTION;
                State::Fencing
            }
            Err(why) => self.try_later(State::Opening, &format!("no Kafka producer: {why}")),
        }
    }

    pub(super) fn fence(&mut self) -> State {
        match self.ports.topic.init(BROKER_CALL) {
            Ok(()) => State::Confirming,
            Err(TransactionError::Retriable(why)) => {
                let next = if self.now() < self.deadline {
                    State::Fencing
                } else {
                    State::Opening
                };
                let why = format!("the transaction coordinator does not answer: {why}");
                self.try_later(next, &why)
            }
            Err(error) => self.recover(State::Fencing, error),
        }
    }

    /// Makes a round trip on the lock's session after the fence. The answer proves that no other relay
    /// took the lock before the fence.
    pub(super) fn confirm(&mut self) -> State {
        match self.ports.outbox.confirm() {
            Ok(()) => {
                self.note_answer();
                self.ports.observer.active();
                if self.batch.is_empty() {
                    State::Reading
                } else {
                    State::Publishing
                }
            }
            Err(error) => self.wait_for_outbox(State::Confirming, &error),
        }
    }

    /// Keeps the lock's session alive while `state` does not use it.
    pub(super) fn heartbeat(&mut self, state: State) -> State {
        match self.ports.outbox.confirm() {
            Ok(()) => {
                self.note_answer();
                state
            }
            Err(error) => self.stand_aside(RetryClass::Postgres, &format!("Postgres: {error}")),
        }
    }

    /// Finds out who fenced this relay. If the lock is lost, it was another relay of this outbox. If
    /// the lock is still held, a single fence may come from a relay that was paused between its lock
    /// and its fence; a second one comes from a producer that does not use this lock.
    pub(super) fn handle_fence(&mut self) -> State {
        let holds_lock = self.ports.outbox.confirm().is_ok();
        let now = self.now();
        if holds_lock && self.competing_producer.note_fence(now) {
            tracing::error!("{}", CompetingProducer::sentence(&self.settings.topic));
        }
        if self.competing_producer.is_there(now) {
            self.stand_aside(
                RetryClass::Kafka,
                &CompetingProducer::sentence(&self.settings.topic),
            )
        } else {
            self.stand_aside(
                RetryClass::Kafka,
                "another relay took over the transactional id",
            )
        }
    }
}
