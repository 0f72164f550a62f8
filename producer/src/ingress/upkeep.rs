//! The small periodic work: the backlog is measured, old idempotency keys are deleted, and with
//! both it shows whether the database is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::OUTBOX_ROWS;
use sqlx::PgPool;

use super::PATIENCE;
use super::backlog::backlog;
use super::gate::Gate;
use super::old_keys::OldKeys;
use crate::database::{Fault, fault_of};
use crate::relay::SharedLowWater;

/// Between two measurements. At 20,000 events a second the bound is overshot by half of that.
const PERIOD: Duration = Duration::from_millis(500);

/// The time between two measurements is at least this many times what the last one took.
const COST: u32 = 10;

/// Between two looks for idempotency keys that are to be deleted.
const DELETE_EVERY: Duration = Duration::from_secs(60);

/// Measures, deletes, and reports.
#[derive(Debug)]
pub struct Upkeep {
    /// The database.
    pub pool: PgPool,
    /// What is closed when the backlog is too long or the database away.
    pub gate: Arc<Gate>,
    /// From where on the outbox has rows.
    pub low_water: SharedLowWater,
    /// The most events that may wait to be published.
    pub outbox_limit: i64,
    /// Postgres, as `/readyz` has it.
    pub postgres: Part,
    /// The backlog, as `/readyz` has it.
    pub backlog: Part,
}

impl Upkeep {
    /// Works until shutdown. The tables must exist.
    ///
    /// # Errors
    /// None; the type is that of a part.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        let mut last_answer = Instant::now();
        let mut last_delete = None;
        let mut old_keys = OldKeys::default();
        loop {
            let begun = Instant::now();
            match self.measure().await {
                Ok(rows) => {
                    last_answer = Instant::now();
                    self.gate.set_database_away(false);
                    self.postgres.ready();
                    self.judge(rows);
                    if last_delete.is_none_or(|at: Instant| at.elapsed() >= DELETE_EVERY) {
                        last_delete = Some(Instant::now());
                        if let Err(error) = self.delete_old_keys(&mut old_keys).await {
                            tracing::warn!(%error, "old idempotency keys were not deleted; trying later");
                        }
                    }
                }
                // The statement was too slow; the database is there.
                Err(error) if fault_of(&error) == Fault::Statement => {
                    last_answer = Instant::now();
                    self.gate.set_database_away(false);
                    self.postgres.ready();
                    self.backlog
                        .degraded(format!("the events that wait can't be counted: {error}"));
                }
                Err(error) => {
                    // A crash may bring deleted rows back.
                    self.low_water.forget();
                    self.postgres
                        .not_ready(format!("Postgres does not answer: {error}"));
                    // A short absence is waited out by the writers; a longer one is told at once.
                    if last_answer.elapsed() >= PATIENCE {
                        self.gate.set_database_away(true);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD.max(begun.elapsed() * COST)) => {}
                () = shutdown.requested() => return Ok(()),
            }
        }
    }

    fn judge(&self, rows: i64) {
        // Exact to 2^52 rows.
        gauge!(OUTBOX_ROWS).set(rows as f64);
        let full = rows >= self.outbox_limit;
        self.gate.set_backlog_full(full);
        if full {
            self.backlog.not_ready(format!(
                "{rows} events wait to be published, the bound (OUTBOX_LIMIT) is {}; \
                 new orders are taken when the relay has caught up",
                self.outbox_limit
            ));
        } else {
            self.backlog.ready();
        }
    }

    async fn delete_old_keys(&self, old_keys: &mut OldKeys) -> sqlx::Result<()> {
        let mut connection = self.pool.acquire().await?;
        old_keys.delete(&mut connection).await
    }

    async fn measure(&self) -> sqlx::Result<i64> {
        let mut connection = self.pool.acquire().await?;
        backlog(&mut connection, self.low_water.mark(), self.outbox_limit).await
    }
}
