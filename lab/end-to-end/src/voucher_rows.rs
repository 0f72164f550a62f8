//! The rows of the sink's table.

use anyhow::Result;
use rust_decimal::Decimal;
use sqlx::Row;

use crate::system::TestSystem;

/// A row of the sink's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoucherRow {
    /// The campaign; with the order, the key.
    pub campaign: String,
    /// The order.
    pub order_id: String,
    /// The voucher's code.
    pub code: String,
    /// The amount.
    pub amount: Decimal,
    /// Three upper-case letters.
    pub currency: String,
    /// When the order was sent, as Postgres prints it in UTC.
    pub issued_at: String,
    /// The trace of the HTTP request that changed the order.
    pub traceparent: Option<String>,
}

impl TestSystem {
    /// Returns the rows of the sink's table in the order of its key; none while there is no table.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vouchers(&self) -> Result<Vec<VoucherRow>> {
        let rows = sqlx::query(
            "select campaign, order_id, code, amount, currency, traceparent,
                    to_char(issued_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') issued_at
             from vouchers order by campaign, order_id",
        )
        .fetch_all(self.vouchers_database())
        .await;
        let rows = match rows {
            // There is no such table yet.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                return Ok(Vec::new());
            }
            rows => rows?,
        };
        rows.iter()
            .map(|row| {
                Ok(VoucherRow {
                    campaign: row.try_get("campaign")?,
                    order_id: row.try_get("order_id")?,
                    code: row.try_get("code")?,
                    amount: row.try_get("amount")?,
                    currency: row.try_get("currency")?,
                    issued_at: row.try_get("issued_at")?,
                    traceparent: row.try_get("traceparent")?,
                })
            })
            .collect()
    }

    /// Returns the rows of one order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vouchers_of(&self, order_id: &str) -> Result<Vec<VoucherRow>> {
        let mut rows = self.vouchers().await?;
        rows.retain(|row| row.order_id == order_id);
        Ok(rows)
    }
}
