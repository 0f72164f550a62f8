//! What was sent and has not come yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use end_to_end::shop::Shop;
use sqlx::{Connection, PgConnection};

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

    /// Looks for voucher rows, every millisecond, until `total` have come; milliseconds of each.
    ///
    /// # Errors
    /// When none comes for a minute.
    pub async fn rows(&self, shop: &Shop, total: usize) -> Result<Vec<f64>> {
        let mut connection = PgConnection::connect(&shop.vouchers_url).await?;
        let mut millis = Vec::with_capacity(total);
        let mut last = Instant::now();
        while millis.len() < total {
            let ids: Vec<String> = self.lock().keys().cloned().collect();
            if !ids.is_empty() {
                let seen: Vec<String> = sqlx::query_scalar(
                    "SELECT order_id FROM vouchers
                     WHERE campaign = 'order-reward' AND order_id = ANY($1)",
                )
                .bind(&ids)
                .fetch_all(&mut connection)
                .await?;
                for id in seen {
                    millis.extend(self.came(&id));
                    last = Instant::now();
                }
            }
            ensure!(last.elapsed() < PATIENCE, "a voucher did not come");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        connection.close().await?;
        Ok(millis)
    }
}
