//! Writes the current batch's rows in one statement, and in bisected parts if the data is refused.

use std::ops::Range;
use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::GroupConsumer;
use runtime::metrics::{Count, RetryClass, SINK_WRITE_ERRORS};
use runtime::registry::SchemaSource;
use runtime::trace_context::trace_id;
use schemas::{Malformed, VoucherPlan};

use super::read::Filled;
use super::{State, Task};
use crate::bisection::Bisection;
use crate::limits::{PREFETCHED_PER_STEP, QUICK_STATEMENT, SLOW_STATEMENT, WAIT_STEP};
use crate::ports::{DeadLetters, Observer, Table, WriteError, Written};
use crate::rejection::{code_taken, rejected, without_codes};

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: GroupConsumer,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// Writes the current part, and prefetches the next batch meanwhile. `since` is when the part's
    /// statement was started.
    pub(super) fn write(&mut self, bisection: Bisection, since: Option<Duration>) -> State {
        let Some(part) = bisection.current() else {
            let observer = &mut self.ports.observer;
            observer.rows_committed(self.batch.row_times());
            return self.end_writing();
        };
        let (since, timeout) = match since {
            None => {
                let mut columns = std::mem::take(&mut self.columns);
                columns.fill(&self.batch, part.clone());
                self.ports.table.start(columns);
                let now = self.now();
                if !self.batch.sampled().is_empty() {
                    self.writing_since.get_or_insert(now);
                }
                // The first poll only sends the statement, without waiting for it.
                (now, Duration::ZERO)
            }
            Some(since) => (since, self.prefetch(since)),
        };
        let Some((columns, result)) = self.ports.table.poll(timeout) else {
            return self.wait_for_answer(bisection, since);
        };
        self.columns = columns;
        match result {
            Ok(written) => self.note_written(bisection, &written, since),
            Err(error) => self.recover(bisection, part, error),
        }
    }

    /// Prefetches records while a statement is in flight. Returns how long the step may wait for the
    /// statement after that.
    fn prefetch(&mut self, since: Duration) -> Duration {
        let is_quick = self.now().saturating_sub(since) < QUICK_STATEMENT;
        if is_quick
            && matches!(
                self.fill(Duration::ZERO, PREFETCHED_PER_STEP),
                Filled::Partly
            )
        {
            Duration::ZERO
        } else {
            WAIT_STEP
        }
    }

    fn wait_for_answer(&mut self, bisection: Bisection, since: Duration) -> State {
        let waited = self.now().saturating_sub(since);
        if waited >= SLOW_STATEMENT {
            self.report_blocked("the database has not answered a statement for seconds");
        }
        if waited >= QUICK_STATEMENT {
            self.stay_in_group(Duration::ZERO);
        }
        State::Writing {
            bisection,
            since: Some(since),
        }
    }

    fn note_written(
        &mut self,
        mut bisection: Bisection,
        written: &Written,
        since: Duration,
    ) -> State {
        let Written {
            inserted,
            different,
        } = written;
        let outcomes = self.columns.tally(&self.batch, *inserted, different);
        self.batch.add_outcomes(&outcomes);
        self.report_different(different);
        let took = self.now().saturating_sub(since);
        self.ports.observer.written(took);
        self.backoff.reset();
        self.lone_failures.note_written(*inserted);
        bisection.settle();
        State::Writing {
            bisection,
            since: None,
        }
    }

    /// Logs one line for the statement, not for each row, and without the codes.
    fn report_different(&self, different: &[usize]) {
        if let Some(&place) = different.first() {
            tracing::warn!(
                campaign = self.columns.campaigns.get(place),
                order_id = self.columns.order_ids.get(place),
                trace_id = trace_id(self.columns.traceparents.get(place)),
                others = different.len() - 1,
                "the table has a row with another code, amount or currency than its record; the row is kept"
            );
        }
    }

    /// Returns the state that follows an error of the statement for `part`.
    fn recover(
        &mut self,
        mut bisection: Bisection,
        part: Range<usize>,
        error: WriteError,
    ) -> State {
        let row = part.start;
        let rows = part.clone();
        match error.map_sentence(|sentence| without_codes(&self.batch, rows, sentence)) {
            WriteError::Data(_) | WriteError::CodeClash { .. } | WriteError::Ambiguous { .. }
                if part.len() > 1 =>
            {
                self.count_failure("data");
                let flow = self.ports.observer.flow();
                flow.count(Count::retry(RetryClass::Data));
                bisection.bisect();
                State::Writing {
                    bisection,
                    since: None,
                }
            }
            WriteError::Data(sentence) => self.reject(bisection, row, rejected(&sentence)),
            WriteError::CodeClash { holder } => {
                match holder.and_then(|holder| code_taken(&self.batch, row, &holder)) {
                    Some(cause) => self.reject(bisection, row, cause),
                    // Another writer of the same voucher was quicker, or the holder is gone: try again.
                    None => self.write_again(bisection, RetryClass::Conflict),
                }
            }
            WriteError::Ambiguous { why, others_pass } => {
                if self.lone_failures.note_failure(others_pass) {
                    tracing::error!(
                        campaign = self.batch.campaign(row),
                        order_id = self.batch.order_id(row),
                        trace_id = trace_id(self.batch.traceparent(row)),
                        why,
                        "the database does not accept this row and accepts others; it becomes a \
                         dead letter"
                    );
                    return self.reject(bisection, row, rejected(&why));
                }
                self.report_blocked(&format!("waiting for the database: {why}"));
                self.write_again(bisection, RetryClass::Postgres)
            }
            WriteError::Conflict(why) => {
                tracing::debug!(why, "the statement conflicted with another transaction");
                self.write_again(bisection, RetryClass::Conflict)
            }
            WriteError::Unavailable(why) => {
                if self.backoff.attempts() == 0 {
                    tracing::warn!(why, "the database is unavailable; waiting, nothing is lost");
                }
                self.report_blocked(&format!("waiting for the database: {why}"));
                self.write_again(bisection, RetryClass::Postgres)
            }
            WriteError::NeedsPerson(why) => {
                tracing::error!(
                    why,
                    "the database has to be fixed; waiting, nothing is lost"
                );
                self.report_blocked(&format!("the database has to be fixed: {why}"));
                self.write_again(bisection, RetryClass::Postgres)
            }
        }
    }

    fn write_again(&mut self, bisection: Bisection, class: RetryClass) -> State {
        self.count_failure(match class {
            RetryClass::Conflict => "conflict",
            _ => "unavailable",
        });
        State::WaitingForDatabase {
            bisection,
            until: self.pause_ends(class),
        }
    }

    /// Counts a statement that failed for this cause. It is executed again, whole or in parts.
    fn count_failure(&mut self, cause: &'static str) {
        let flow = self.ports.observer.flow();
        flow.count(Count::one_of(SINK_WRITE_ERRORS, "cause", cause));
    }

    /// Makes a row that was refused alone a dead letter, unless that opens the circuit.
    fn reject(&mut self, mut bisection: Bisection, row: usize, cause: Malformed) -> State {
        self.batch.reject(row, cause);
        // The breaker had counted the row as good.
        if self.circuit_opens_within_batch() {
            return self.open_circuit();
        }
        bisection.settle();
        State::Writing {
            bisection,
            since: None,
        }
    }
}
