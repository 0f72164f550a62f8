//! Records that were sent and have not arrived yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::system::TestSystem;
use sqlx::postgres::PgListener;

const TIMEOUT: Duration = Duration::from_secs(60);

/// When each order was sent; shared by the sender and the receiver.
#[derive(Clone, Default)]
pub struct Awaited(Arc<Mutex<HashMap<String, Instant>>>);

impl Awaited {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that an order is sent now.
    pub fn sent(&self, id: String) {
        self.lock().insert(id, Instant::now());
    }

    /// Returns the milliseconds since an order was sent, if it was, and forgets the order.
    pub fn arrived(&self, id: &str) -> Option<f64> {
        let begun = self.lock().remove(id)?;
        Some(begun.elapsed().as_secs_f64() * 1e3)
    }
}

/// Voucher rows, which a trigger reports once they are visible. The cost of that is part of the
/// figure; polling the table would add more.
pub struct RowWatch(PgListener);

impl RowWatch {
    /// Starts to report new rows.
    ///
    /// # Errors
    /// When Postgres refuses the trigger.
    pub async fn watch(system: &TestSystem) -> Result<Self> {
        let mut listener = PgListener::connect(&system.vouchers_url).await?;
        listener.listen("voucher_row").await?;
        for statement in NOTIFY_ROWS {
            system.execute_on_vouchers(statement).await?;
        }
        Ok(Self(listener))
    }

    /// Waits until `total` awaited rows have arrived; returns the milliseconds of each.
    ///
    /// # Errors
    /// When none arrives for a minute.
    pub async fn read(&mut self, awaited: &Awaited, total: usize) -> Result<Vec<f64>> {
        let mut millis = Vec::with_capacity(total);
        while millis.len() < total {
            let row = tokio::time::timeout(TIMEOUT, self.0.recv()).await;
            let row = row.context("a voucher's row did not arrive")??;
            millis.extend(awaited.arrived(row.payload()));
        }
        Ok(millis)
    }
}

const NOTIFY_ROWS: [&str; 2] = [
    "CREATE OR REPLACE FUNCTION notify_row() RETURNS trigger LANGUAGE plpgsql
     AS 'BEGIN PERFORM pg_notify(''voucher_row'', NEW.order_id); RETURN NULL; END'",
    "CREATE OR REPLACE TRIGGER notify_row AFTER INSERT ON vouchers
     FOR EACH ROW EXECUTE FUNCTION notify_row()",
];
