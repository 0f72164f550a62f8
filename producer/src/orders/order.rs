//! An order as it stands, and how clients see it.

use rust_decimal::Decimal;
use schemas::{Currency, Status, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub order_id: String,
    /// What became of it.
    pub status: Status,
    /// What it costs, two decimals.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// What was ordered.
    pub products: Vec<Product>,
    /// 1 at first, one more per change.
    pub version: i64,
    /// When it was sent, once it was.
    pub sent_at: Option<Timestamp>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// One product, as it is stored (jsonb) and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// Its number; only products that came through the old routes have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// What it is.
    #[schema(example = "shirt")]
    pub name: String,
    /// What it costs: exact, with two decimals.
    #[schema(example = "150.00")]
    pub price: String,
}

/// An amount with two decimals, as it is answered.
pub fn money_text(amount: Decimal) -> String {
    let mut amount = amount;
    // Only adds zeros: amounts have at most two decimals.
    amount.rescale(2);
    amount.to_string()
}

/// An order as clients of the API see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView<'a> {
    /// Unique; the key of the order's events.
    #[schema(example = "019a8f4e-7c1b-7000-8000-000000000001")]
    order_id: &'a str,
    /// What became of it.
    #[schema(example = "PENDING", pattern = "^(PENDING|SENT|DELIVERED|CANCELLED)$")]
    status: &'static str,
    /// What it costs: exact, with two decimals.
    #[schema(example = "100.00")]
    total: String,
    /// The total's currency.
    #[schema(example = "EUR")]
    currency: &'a str,
    /// What was ordered.
    products: &'a [Product],
    /// 1 at first, one more per change; also the ETag.
    #[schema(example = 1)]
    version: i64,
    /// When it was sent; null until then.
    #[schema(example = "2026-11-23T09:30:00.123456Z", format = DateTime)]
    sent_at: Option<String>,
    /// When it was placed.
    #[schema(example = "2026-11-23T09:30:00.123456Z", format = DateTime)]
    created_at: String,
    /// When it changed last.
    #[schema(example = "2026-11-23T09:30:00.123456Z", format = DateTime)]
    updated_at: String,
}

impl<'a> From<&'a Order> for OrderView<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            order_id: &order.order_id,
            status: order.status.as_str(),
            total: money_text(order.total),
            currency: order.currency.as_str(),
            products: &order.products,
            version: order.version,
            sent_at: order.sent_at.map(|time| time.to_string()),
            created_at: order.created_at.to_string(),
            updated_at: order.updated_at.to_string(),
        }
    }
}

/// The order that [`render`] wrote; `None` for anything else.
pub fn rendered(json: &[u8]) -> Option<Order> {
    #[derive(Deserialize)]
    struct Rendered {
        order_id: String,
        status: String,
        total: String,
        currency: String,
        products: Vec<Product>,
        version: i64,
        sent_at: Option<String>,
        created_at: String,
        updated_at: String,
    }
    let order: Rendered = serde_json::from_slice(json).ok()?;
    Some(Order {
        order_id: order.order_id,
        status: order.status.parse().ok()?,
        total: order.total.parse().ok()?,
        currency: order.currency.parse().ok()?,
        products: order.products,
        version: order.version,
        sent_at: match order.sent_at {
            None => None,
            Some(time) => Some(time.parse().ok()?),
        },
        created_at: order.created_at.parse().ok()?,
        updated_at: order.updated_at.parse().ok()?,
    })
}

/// The order's JSON.
pub fn render(order: &Order) -> Vec<u8> {
    // Strings and integers only: there is nothing that could fail to serialise.
    serde_json::to_vec(&OrderView::from(order)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rendered_is_read_again() {
        let product = Product {
            id: Some(7),
            name: "shirt \"é\"".to_owned(),
            price: "150.00".to_owned(),
        };
        let order = Order {
            order_id: "17".to_owned(),
            status: Status::Sent,
            total: Decimal::new(15000, 2),
            currency: Currency::EUR,
            products: vec![product],
            version: 2,
            sent_at: Some(Timestamp::from_micros(1_700_000_000_123_456)),
            created_at: Timestamp::from_micros(1_700_000_000_000_000),
            updated_at: Timestamp::from_micros(1_700_000_000_123_456),
        };
        assert_eq!(rendered(&render(&order)), Some(order.clone()));
        let pending = Order {
            sent_at: None,
            ..order
        };
        assert_eq!(rendered(&render(&pending)), Some(pending));
        assert_eq!(rendered(b"{}"), None);
    }
}
