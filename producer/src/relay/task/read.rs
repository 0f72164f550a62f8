//! Reading: the next batch, in the order of ids; after a takeover, the backlog, order by order.

use std::time::Duration;

use runtime::metrics::RetryClass;

use super::{ReadMode, Relay, State};
use crate::relay::limits::{COLLECTION_PER_ROW, IDLE_POLL, MAX_COLLECTION};
use crate::relay::ports::{Observer, Outbox, OutboxError, Timer, Topic};

impl<B: Outbox, T: Topic, C: Timer, O: Observer> Relay<B, T, C, O> {
    pub(super) fn read(&mut self) -> State {
        let begun = self.now();
        let limits = self.settings.limits;
        if self.mode == ReadMode::Backlog {
            return self.read_backlog();
        }
        if self.low_water.wants_writers(begun, limits.stride) {
            return self.list_writers();
        }
        let from = self.low_water.read_from(begun);
        let rows = self.batch.rows_mut();
        if let Err(error) = self.ports.outbox.read(from, limits.rows, rows) {
            self.batch.clear();
            return self.wait_for_outbox(State::Reading, &error);
        }
        self.note_answer();
        self.note_read(from, begun);
        let are_all = self.batch.len() < limits.rows;
        if self.mode == ReadMode::TakenOver && !are_all {
            self.batch.clear();
            return State::OpeningBacklog;
        }
        self.mode = ReadMode::Fresh;
        self.collect_until = if are_all {
            begun + collection_of(self.batch.len())
        } else {
            begun
        };
        self.begin_batch()
    }

    /// Moves the low-water mark as far as the rows of a read allow.
    fn note_read(&mut self, from: i64, begun: Duration) {
        let span = (begun, self.now());
        let before = self.low_water.mark();
        let stray = self.low_water.note_rows(from, self.batch.rows(), span);
        if let Some(id) = stray {
            tracing::warn!(
                row = id,
                low_water = before,
                "outbox row {id} turned up below the low-water mark: its id was not taken in order \
                 (was it inserted by hand, or the sequence of outbox.id set back?); it is published \
                 now, perhaps after later versions of its order"
            );
        }
        let mark = self.low_water.mark();
        if mark != before {
            self.ports.observer.low_water(mark);
        }
    }

    /// Lists the transactions that may have taken ids, before the next read.
    fn list_writers(&mut self) -> State {
        match self.ports.outbox.writers() {
            Ok(writers) => {
                self.note_answer();
                let now = self.now();
                self.low_water.note_writers(now, writers);
            }
            Err(OutboxError::Refused(why)) => {
                tracing::warn!(
                    why,
                    "the outbox's writers cannot be listed: reads scan more deleted rows than needed"
                );
                let now = self.now();
                self.low_water.note_writers_refused(now);
            }
            Err(error @ OutboxError::Lost(_)) => {
                return self.wait_for_outbox(State::Reading, &error);
            }
        }
        State::Reading
    }

    pub(super) fn open_backlog(&mut self) -> State {
        match self.ports.outbox.open_backlog() {
            Ok(()) => {
                self.note_answer();
                self.mode = ReadMode::Backlog;
                State::Reading
            }
            Err(error) => self.wait_for_outbox(State::OpeningBacklog, &error),
        }
    }

    fn read_backlog(&mut self) -> State {
        let max = self.settings.limits.backlog;
        let rows = self.batch.incomplete_mut();
        let before = rows.len();
        if let Err(error) = self.ports.outbox.read_backlog(max, rows) {
            // It is unknown how far the cursor has moved: start again with a new snapshot.
            return self.stand_aside(RetryClass::Postgres, &format!("Postgres: {error}"));
        }
        let has_ended = rows.len() - before < max;
        self.low_water.note_backlog(&rows[before..]);
        self.note_answer();
        self.batch.take_whole_orders(has_ended);
        if has_ended {
            self.mode = ReadMode::Fresh;
        } else if self.batch.is_empty() {
            // All rows of this read belong to one order, which may have more rows in the next read.
            return State::Reading;
        }
        self.begin_batch()
    }

    /// Returns the state that publishes the batch, or waits for rows when it is empty.
    fn begin_batch(&mut self) -> State {
        if !self.batch.is_empty() {
            return State::Publishing;
        }
        self.backoff.reset();
        self.progress_at = self.now();
        self.report_health();
        State::Idle
    }

    /// Waits for rows. The read that follows is the lock's heartbeat too.
    pub(super) fn idle(&mut self) -> State {
        self.ports.timer.wait(IDLE_POLL);
        State::Reading
    }
}

/// Returns the minimum time from a read that returned `rows` rows to the next read.
fn collection_of(rows: usize) -> Duration {
    u32::try_from(rows).map_or(MAX_COLLECTION, |rows| {
        COLLECTION_PER_ROW.saturating_mul(rows).min(MAX_COLLECTION)
    })
}
