//! Which state follows an error.

use runtime::duration::human_duration;
use runtime::kafka::TransactionError;
use runtime::metrics::{Count, RELAY_TRANSACTIONS, RetryClass};
use runtime::stepping::StateMachine as _;

use super::{Relay, State};
use crate::relay::limits::{MAX_TRANSACTION, MAX_WITHOUT_PROGRESS, SLOW_BROKER_CALL, STANDBY_POLL};
use crate::relay::ports::{Observer, Outbox, OutboxError, Timer, Topic};

impl<B: Outbox, T: Topic, C: Timer, O: Observer> Relay<B, T, C, O> {
    /// Returns the state that follows while the broker does not answer: the same until the
    /// transaction's deadline, then the same batch with a new producer.
    pub(super) fn wait_for_broker(&mut self, state: State, what: &str) -> State {
        let now = self.now();
        if now >= self.deadline {
            let why = format!(
                "the broker did not {what} within {}",
                human_duration(MAX_TRANSACTION)
            );
            return self.recover(state, TransactionError::Fatal(why));
        }
        if now + MAX_TRANSACTION >= self.deadline + SLOW_BROKER_CALL {
            let why = format!("waiting for the broker to {what}");
            self.ports.observer.blocked(&why);
        }
        state
    }

    /// Returns the state that follows an error of the transaction in `state`.
    pub(super) fn recover(&mut self, state: State, error: TransactionError) -> State {
        let (first, last) = self.batch.id_range();
        let rows = self.batch.len();
        tracing::warn!(
            %error, ?state, rows, first, last,
            "the outbox's rows were not published; they will be tried again"
        );
        // Counts transactions that were aborted or refused, or whose outcome is unknown.
        let failed = Count::one_of(RELAY_TRANSACTIONS, "outcome", "failed");
        self.ports.observer.count(failed);
        match error {
            TransactionError::Retriable(_) | TransactionError::Abortable(_)
                if state.has_transaction() =>
            {
                let why = format!("rows {first} to {last} were refused: {error}");
                self.ports.observer.blocked(&why);
                self.deadline = self.now() + MAX_TRANSACTION;
                State::Aborting
            }
            TransactionError::Fenced(_) => State::Fenced,
            error => self.try_later(State::Opening, &error.to_string()),
        }
    }

    /// Returns the state that follows an error of the outbox in `state`: the same, unless the lock is
    /// lost with the session.
    pub(super) fn wait_for_outbox(&mut self, state: State, error: &OutboxError) -> State {
        let why = format!("Postgres: {error}");
        match error {
            OutboxError::Refused(_) if state != State::StandingBy => {
                self.ports.observer.blocked(&why);
                self.pause(RetryClass::Postgres);
                state
            }
            OutboxError::Refused(_) | OutboxError::Lost(_) => {
                self.stand_aside(RetryClass::Postgres, &why)
            }
        }
    }

    /// Returns `next` after a pause for the broker, unless it is time to let another instance try.
    pub(super) fn try_later(&mut self, next: State, why: &str) -> State {
        if self.now().saturating_sub(self.progress_at) >= MAX_WITHOUT_PROGRESS {
            return self.stand_aside(RetryClass::Kafka, why);
        }
        self.ports.observer.blocked(why);
        self.pause(RetryClass::Kafka);
        next
    }

    /// Lets another instance take the lock.
    pub(super) fn stand_aside(&mut self, class: RetryClass, why: &str) -> State {
        self.release();
        self.ports.observer.blocked(why);
        self.pause(class);
        // Waits longer than the other instances do between two attempts to take the lock.
        self.resume_at = self.resume_at.max(self.now() + STANDBY_POLL * 2);
        State::StandingBy
    }

    pub(super) fn pause(&mut self, class: RetryClass) {
        self.ports.observer.count(Count::retry(class));
        self.resume_at = self.now() + self.backoff.next_pause();
    }
}
