//! The orders that the demo places over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::http;
use crate::services::Service;

/// The number of requests in flight.
const CONCURRENCY: usize = 32;

/// An order to place.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) total: Decimal,
    pub(super) currency: &'static str,
    /// The statuses after `PENDING`.
    pub(super) statuses: &'static [&'static str],
}

impl Order {
    pub(super) fn is_sent(&self) -> bool {
        self.statuses.contains(&"SENT")
    }

    /// Returns whether the order must have a voucher: sent, EUR, 100.00 or more.
    pub(super) fn is_eligible(&self) -> bool {
        self.is_sent() && self.currency == "EUR" && self.total >= Decimal::ONE_HUNDRED
    }
}

/// Returns `count` orders in which every case occurs; about half of them must have a voucher.
pub(super) fn mix(count: u32) -> Vec<Order> {
    (0..count).map(order).collect()
}

fn order(index: u32) -> Order {
    const SENT: &[&str] = &["SENT"];
    // Different amounts, so that orders can be told apart.
    let cents = i64::from(index % 37_000);
    let above = Decimal::new(10_001 + cents, 2);
    let below = Decimal::new(1_000 + cents % 8_999, 2);
    let at_the_threshold = Decimal::new(10_000, 2);
    let just_below = Decimal::new(9_999, 2);
    let (total, currency, statuses): (_, _, &[&str]) = match index % 20 {
        0..8 => (above, "EUR", SENT),
        8 => (at_the_threshold, "EUR", SENT),
        9 => (just_below, "EUR", SENT),
        10..13 => (below, "EUR", SENT),
        13 => (above, "USD", SENT),
        14 => (above, "EUR", &["SENT", "DELIVERED"]),
        15 => (above, "EUR", &["SENT", "CANCELLED"]),
        16 | 17 => (above, "EUR", &[]),
        18 => (above, "EUR", &["CANCELLED"]),
        _ => (below, "EUR", &["SENT", "DELIVERED"]),
    };
    Order {
        total,
        currency,
        statuses,
    }
}

/// An order that the ingress has accepted.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) id: String,
    pub(super) order: Order,
}

/// The order ingress, over HTTP.
#[derive(Clone, Debug)]
pub(super) struct Ingress {
    client: reqwest::Client,
    orders: String,
    placed: Arc<AtomicU64>,
}

impl Ingress {
    pub(super) fn new(producer: &Service) -> Result<Self> {
        Ok(Self {
            client: http::client(Duration::from_secs(30))?,
            orders: producer.url("/orders"),
            placed: Arc::default(),
        })
    }

    /// Returns how many orders were placed so far.
    pub(super) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// Creates the orders.
    pub(super) async fn create_all(&self, orders: Vec<Order>) -> Result<Vec<Placed>> {
        stream::iter(orders)
            .map(|order| self.create(order))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Sets each order's statuses, one after the other.
    pub(super) async fn set_statuses(&self, placed: &[Placed]) -> Result<()> {
        stream::iter(placed)
            .map(|placed| async {
                for status in placed.order.statuses {
                    self.set_status(&placed.id, status).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    async fn create(&self, order: Order) -> Result<Placed> {
        let total = order.total.to_string();
        let body = json!({
            "total": total,
            "currency": order.currency,
            "products": [{ "name": "shirt", "price": total }],
        });
        let answer = answer(self.client.post(&self.orders).json(&body), "POST /orders").await?;
        self.placed.fetch_add(1, Ordering::Relaxed);
        let id = answer["order_id"]
            .as_str()
            .with_context(|| format!("POST /orders gave no order_id: {answer}"))?
            .to_owned();
        Ok(Placed { id, order })
    }

    /// Changes an order's status.
    pub(super) async fn set_status(&self, id: &str, status: &str) -> Result<()> {
        let request = self
            .client
            .patch(format!("{}/{id}", self.orders))
            .json(&json!({ "status": status }));
        answer(request, "PATCH /orders/{id}").await?;
        Ok(())
    }
}

async fn answer(request: reqwest::RequestBuilder, what: &str) -> Result<Value> {
    let answer = request.send().await.with_context(|| what.to_owned())?;
    let status = answer.status();
    let text = answer.text().await.with_context(|| what.to_owned())?;
    if !status.is_success() {
        bail!("{what} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{what} answered {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_occurs_and_about_half_must_have_a_voucher() {
        let orders = mix(1000);
        let eligible = orders.iter().filter(|order| order.is_eligible()).count();
        assert_eq!(eligible, 550);
        assert!(
            orders
                .iter()
                .any(|order| order.total == Decimal::ONE_HUNDRED && order.is_eligible())
        );
        assert!(
            orders
                .iter()
                .any(|order| order.total == Decimal::new(9_999, 2) && order.is_sent())
        );
        assert!(orders.iter().all(|order| order.total.scale() == 2));
        assert!(mix(1)[0].is_eligible());
    }
}
