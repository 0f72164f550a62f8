//! Publishing: the batch in one transaction, then the deletion of its rows.

use runtime::kafka::{Outgoing, TransactionError};
use runtime::metrics::RetryClass;
use runtime::trace_context::TRACEPARENT;
use runtime::traces::MAX_SAMPLED_RECORDS;

use super::{Relay, State};
use crate::relay::limits::{BROKER_CALL, MAX_TRANSACTION};
use crate::relay::ports::{Observer, Outbox, SampledRow, SampledRows, Timer, Topic};

impl<B: Outbox, T: Topic, C: Timer, O: Observer> Relay<B, T, C, O> {
    pub(super) fn publish(&mut self) -> State {
        self.deadline = self.now() + MAX_TRANSACTION;
        if let Err(error) = self.ports.topic.begin() {
            return self.recover(State::Publishing, error);
        }
        match self.send_batch() {
            Ok(()) => State::Draining,
            // The producer's queue is larger than a batch, so a full queue means that the broker
            // accepts nothing.
            Err(TransactionError::Retriable(why)) => {
                self.recover(State::Publishing, TransactionError::Abortable(why))
            }
            Err(error) => self.recover(State::Publishing, error),
        }
    }

    fn send_batch(&mut self) -> Result<(), TransactionError> {
        self.sampled = SampledRows::default();
        let is_tracing = self.ports.observer.is_tracing();
        for row in self.batch.rows() {
            self.value.clear();
            let written = row.write(self.settings.format, &mut self.value);
            written.map_err(|error| {
                tracing::error!(
                    row = error.id,
                    order = row.order_id,
                    "outbox row {} cannot be written: {}; it and all later rows wait until somebody repairs it",
                    error.id,
                    error.why
                );
                TransactionError::Abortable(format!("row {}: {}", error.id, error.why))
            })?;
            let parent = if is_tracing {
                row.sampled_parent()
            } else {
                None
            };
            let created = parent.and_then(|parent| {
                if self.sampled.rows.len() >= MAX_SAMPLED_RECORDS {
                    self.sampled.left_out += 1;
                    return None;
                }
                let (created, at) = (parent.child(), self.ports.timer.now());
                self.sampled.rows.push(SampledRow {
                    parent,
                    created,
                    at,
                });
                Some(created.to_string())
            });
            // Without a span of the relay's own, the header has the request's span.
            let trace = created.as_ref().or(row.traceparent.as_ref());
            let header = trace.map(|trace| (TRACEPARENT, Some(trace.as_bytes())));
            self.ports.topic.send(&Outgoing {
                topic: &self.settings.topic,
                key: Some(row.order_id.as_bytes()),
                value: Some(&self.value),
                headers: header.as_slice(),
            })?;
        }
        Ok(())
    }

    pub(super) fn drain(&mut self) -> State {
        match self.ports.topic.drain(BROKER_CALL) {
            Ok(()) => State::Committing,
            // librdkafka retries the records itself, and neither a commit nor an abort is in flight.
            Err(TransactionError::Retriable(_)) => {
                self.wait_for_broker(State::Draining, "acknowledge the records")
            }
            Err(error) => self.recover(State::Draining, error),
        }
    }

    pub(super) fn commit(&mut self) -> State {
        match self.ports.topic.commit(BROKER_CALL) {
            Ok(()) => {
                self.ports.observer.published(self.batch.len());
                self.progress_at = self.now();
                self.report_sampled();
                State::Deleting
            }
            // The commit is in flight, and only its own answer shows the outcome.
            Err(TransactionError::Retriable(_)) => {
                self.interrupted = true;
                self.wait_for_broker(State::Committing, "commit the transaction")
            }
            Err(error) => self.recover(State::Committing, error),
        }
    }

    /// Reports the sampled rows of the committed batch.
    fn report_sampled(&mut self) {
        let sampled = std::mem::take(&mut self.sampled);
        if sampled.rows.is_empty() {
            return;
        }
        let began = self.deadline.saturating_sub(MAX_TRANSACTION);
        let times = (began, self.progress_at);
        let observer = &mut self.ports.observer;
        observer.published_sampled(&sampled, self.batch.len(), times);
    }

    pub(super) fn delete(&mut self) -> State {
        match self.ports.outbox.delete(self.batch.ids()) {
            Ok(()) => {
                self.note_answer();
                self.batch.clear();
                self.backoff.reset();
                self.report_health();
                self.resume_at = self.collect_until;
                if self.interrupted {
                    State::Opening
                } else {
                    State::Reading
                }
            }
            Err(error) => self.wait_for_outbox(State::Deleting, &error),
        }
    }

    /// Aborts the transaction, after all its records are acknowledged: an abort must not overtake the
    /// registration of the first record with the coordinator (confluentinc/librdkafka#4849).
    pub(super) fn abort(&mut self) -> State {
        let aborted = match self.ports.topic.drain(BROKER_CALL) {
            Err(TransactionError::Retriable(why)) => Err(TransactionError::Retriable(why)),
            _ => self.ports.topic.abort(BROKER_CALL),
        };
        match aborted {
            Ok(()) => {
                self.pause(RetryClass::Kafka);
                if self.interrupted {
                    State::Opening
                } else {
                    State::Publishing
                }
            }
            Err(TransactionError::Retriable(_)) => {
                self.interrupted = true;
                self.wait_for_broker(State::Aborting, "abort the transaction")
            }
            Err(TransactionError::Abortable(why)) => {
                self.recover(State::Aborting, TransactionError::Fatal(why))
            }
            Err(error) => self.recover(State::Aborting, error),
        }
    }
}
