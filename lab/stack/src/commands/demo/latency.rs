//! The time to a voucher: from the start of the PATCH to `SENT` until a SELECT on another connection
//! sees the row, at a steady rate well below the machine's limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;

use super::orders::{Ingress, Placed};

/// The rate of status changes.
pub(super) const PER_SECOND: u32 = 100;

const DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The times from status change to visible row, shortest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    sorted: Vec<Duration>,
}

impl Latency {
    /// Returns the number of orders that were measured.
    pub(super) const fn samples(&self) -> usize {
        self.sorted.len()
    }

    /// Returns the shortest time within which at least `percent` of the orders stayed.
    pub(super) fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// Sends the orders, which exist already, and measures those that must have a voucher. The second
/// result says what is missing when no more vouchers come.
pub(super) async fn measure(
    ingress: &Ingress,
    vouchers: &PgPool,
    orders: &[Placed],
) -> Result<(Latency, Option<String>)> {
    let awaited: Mutex<HashMap<String, Instant>> = Mutex::default();
    let lock = || awaited.lock().unwrap_or_else(PoisonError::into_inner);
    let send_all = async {
        let pace = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        stream::unfold((pace, orders.iter()), |(mut pace, mut orders)| async {
            let order = orders.next()?;
            pace.tick().await;
            Some((order, (pace, orders)))
        })
        .map(|placed| async move {
            for status in placed.order.statuses {
                if *status == "SENT" && placed.order.is_eligible() {
                    lock().insert(placed.id.clone(), Instant::now());
                }
                ingress.set_status(&placed.id, status).await?;
            }
            anyhow::Ok(())
        })
        .buffer_unordered(1_000)
        .try_collect::<()>()
        .await
    };
    let eligible = orders
        .iter()
        .filter(|placed| placed.order.is_eligible())
        .count();
    let measure = async {
        let mut times = Vec::with_capacity(eligible);
        let mut last = Instant::now();
        let mut missing = None;
        while times.len() < eligible {
            let ids: Vec<String> = lock().keys().cloned().collect();
            if !ids.is_empty() {
                let seen: Vec<String> =
                    sqlx::query_scalar("SELECT order_id FROM vouchers WHERE order_id = ANY($1)")
                        .bind(&ids)
                        .fetch_all(vouchers)
                        .await?;
                let now = Instant::now();
                let mut awaited = lock();
                for id in seen {
                    if let Some(begun) = awaited.remove(&id) {
                        times.push(now.duration_since(begun));
                        last = now;
                    }
                }
            }
            if last.elapsed() > DEADLINE {
                missing = Some(format!(
                    "no voucher came for {} s; {} orders have none yet",
                    DEADLINE.as_secs(),
                    eligible - times.len()
                ));
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        times.sort();
        anyhow::Ok((Latency { sorted: times }, missing))
    };
    let ((), measured) = tokio::try_join!(send_all, measure)?;
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_measured_time() {
        let latency = Latency {
            sorted: (1..=200).map(Duration::from_millis).collect(),
        };
        assert_eq!(latency.percentile(50), Some(Duration::from_millis(100)));
        assert_eq!(latency.percentile(99), Some(Duration::from_millis(198)));
        assert_eq!(Latency::default().percentile(50), None);
    }
}
