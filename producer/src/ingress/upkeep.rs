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
use super::gate::Gate;

/// Between two measurements. At 20,000 events a second the bound is overshot by half of that.
const PERIOD: Duration = Duration::from_millis(500);

/// Up to here the backlog is counted; beyond it is estimated by the span of its ids.
const COUNTED: i64 = 10_000;

/// Idempotency keys are kept this long, and looked at this often.
const DELETE_KEYS: &str = "DELETE FROM idempotency_keys WHERE (api_key_id, key) IN (
         SELECT api_key_id, key FROM idempotency_keys
         WHERE created_at < now() - interval '24 hours' LIMIT 5000)";
const DELETE_EVERY: Duration = Duration::from_secs(60);

/// Measures, deletes, and reports.
#[derive(Debug)]
pub struct Upkeep {
    /// The database.
    pub pool: PgPool,
    /// What is closed when the backlog is too long or the database away.
    pub gate: Arc<Gate>,
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
        loop {
            match self.measure().await {
                Ok(rows) => {
                    last_answer = Instant::now();
                    self.gate.set_database_away(false);
                    self.postgres.ready();
                    self.judge(rows);
                    if last_delete.is_none_or(|at: Instant| at.elapsed() >= DELETE_EVERY) {
                        last_delete = Some(Instant::now());
                        self.delete_old_keys().await;
                    }
                }
                Err(error) => {
                    self.postgres
                        .not_ready(format!("Postgres does not answer: {error}"));
                    // A short absence is waited out by the writers; a longer one is told at once.
                    if last_answer.elapsed() >= PATIENCE {
                        self.gate.set_database_away(true);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
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

    /// How many events wait: counted when few, an upper bound when many (ids have gaps), counted
    /// again when the upper bound reaches the limit. So no measurement reads a long backlog
    /// unless the answer hangs on it.
    async fn measure(&self) -> sqlx::Result<i64> {
        let most = COUNTED.min(self.outbox_limit);
        let counted = self.count(most).await?;
        if counted < most || most == self.outbox_limit {
            return Ok(counted);
        }
        let span: i64 = sqlx::query_scalar("SELECT coalesce(max(id) - min(id) + 1, 0) FROM outbox")
            .fetch_one(&self.pool)
            .await?;
        if span < self.outbox_limit {
            return Ok(span);
        }
        self.count(self.outbox_limit).await
    }

    async fn count(&self, most: i64) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS bounded")
            .bind(most)
            .fetch_one(&self.pool)
            .await
    }

    /// Some at a time, so that the statement stays short.
    async fn delete_old_keys(&self) {
        loop {
            match sqlx::query(DELETE_KEYS).execute(&self.pool).await {
                Ok(done) if done.rows_affected() == 5000 => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "old idempotency keys were not deleted; trying later");
                    return;
                }
            }
        }
    }
}
