//! Reads the vouchers table, which the sink owns.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::lifecycle::Failure;
use runtime::postgres::{Database, Timeouts, message_of};
use runtime::settings::Secret;
use rust_decimal::Decimal;
use schemas::{Timestamp, decimal};
use sqlx::Error;

use super::trace::{VoucherFields, VoucherRow};

/// How long to wait for the database.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Selects by the whole primary key: by the order id alone it would scan the table.
const ROWS: &str = "SELECT campaign, code, amount, currency, issued_at, expires_at, created_at \
     FROM vouchers WHERE campaign = ANY($1) AND order_id = $2 ORDER BY campaign";

/// The time limits that the server enforces. They are short, because a person waits.
const TIMEOUTS: Timeouts = Timeouts {
    statement: "5s",
    lock: "5s",
};

/// Refers to the database. Does not connect.
///
/// # Errors
/// Exit code 2 for an invalid URL.
pub(super) fn database(url: &Secret) -> Result<Database, Failure> {
    Ok(Database::new(url, "processor explain", TIMEOUTS)?.for_reading())
}

/// Returns the order's rows of these campaigns.
///
/// # Errors
/// Says why the table could not be read.
pub(super) async fn rows(
    database: &Database,
    order_id: &str,
    campaigns: &[String],
) -> Result<Vec<VoucherRow>, String> {
    match tokio::time::timeout(TIMEOUT, select(database, order_id, campaigns)).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(message_of(&error)),
        Err(_) => Err(format!("the database did not answer within {TIMEOUT:?}")),
    }
}

type Row = (
    String,
    String,
    Decimal,
    String,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    DateTime<Utc>,
);

async fn select(
    database: &Database,
    order_id: &str,
    campaigns: &[String],
) -> Result<Vec<VoucherRow>, Error> {
    let mut connection = database.connect(TIMEOUT).await?;
    let rows: Vec<Row> = sqlx::query_as(ROWS)
        .bind(campaigns)
        .bind(order_id)
        .fetch_all(&mut connection)
        .await?;
    let time = |at| Timestamp::from(at).to_string();
    let rows = rows.into_iter().map(
        |(campaign, code, amount, currency, issued_at, expires_at, created_at)| VoucherRow {
            voucher: VoucherFields {
                campaign,
                code,
                amount: format!("{} {currency}", decimal::as_money(amount)),
                issued_at: time(issued_at),
                expires_at: expires_at.map(time),
            },
            created_at: time(created_at),
        },
    );
    Ok(rows.collect())
}
