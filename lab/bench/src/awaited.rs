//! What was sent and has not come yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::system::TestSystem;
use sqlx::postgres::PgListener;

const PATIENCE: Duration = Duration::from_secs(60);

/// When each order was sent; shared by who sends and who looks.
#[derive(Clone, Default)]
pub struct Awaited(Arc<Mutex<HashMap<String, Instant>>>);

impl Awaited {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is sent now.
    pub fn sent(&self, id: String) {
        self.lock().insert(id, Instant::now());
    }

    /// It has come; the milliseconds since it was sent, if it was.
    pub fn came(&self, id: &str) -> Option<f64> {
        let begun = self.lock().remove(id)?;
        Some(begun.elapsed().as_secs_f64() * 1e3)
    }
}

/// Voucher rows, told by a trigger once they are visible: what that costs is in the figure, which
/// waiting between looks at the table would make longer still.
pub struct RowWatch(PgListener);

impl RowWatch {
    /// Tells of the rows that come from now on.
    ///
    /// # Errors
    /// As Postgres says.
    pub async fn watch(system: &TestSystem) -> Result<Self> {
        let mut listener = PgListener::connect(&system.vouchers_url).await?;
        listener.listen("voucher_row").await?;
        for statement in TELL_ROWS {
            system.execute_on_vouchers(statement).await?;
        }
        Ok(Self(listener))
    }

    /// Reads until `total` of those that are awaited have come; milliseconds of each.
    ///
    /// # Errors
    /// When none comes for a minute.
    pub async fn read(&mut self, awaited: &Awaited, total: usize) -> Result<Vec<f64>> {
        let mut millis = Vec::with_capacity(total);
        while millis.len() < total {
            let told = tokio::time::timeout(PATIENCE, self.0.recv()).await;
            let told = told.context("a voucher did not come")??;
            millis.extend(awaited.came(told.payload()));
        }
        Ok(millis)
    }
}

const TELL_ROWS: [&str; 2] = [
    "CREATE OR REPLACE FUNCTION tell_row() RETURNS trigger LANGUAGE plpgsql
     AS 'BEGIN PERFORM pg_notify(''voucher_row'', NEW.order_id); RETURN NULL; END'",
    "CREATE OR REPLACE TRIGGER tell_row AFTER INSERT ON vouchers
     FOR EACH ROW EXECUTE FUNCTION tell_row()",
];
