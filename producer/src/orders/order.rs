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

/// The order's JSON.
pub fn render(order: &Order) -> Vec<u8> {
    // Strings and integers only: there is nothing that could fail to serialise.
    serde_json::to_vec(&OrderView::from(order)).unwrap_or_default()
}
