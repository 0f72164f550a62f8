//! Reads the vouchers table, which the sink owns.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::duration::human_duration;
use runtime::lifecycle::Failure;
use runtime::postgres::{Database, Timeouts, message_of};
use runtime::settings::Secret;
use rust_decimal::Decimal;
use schemas::{Timestamp, decimal};
use sqlx::Error;

use super::trace::{VoucherFields, VoucherRow};

/// How long to wait for the database.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Selects by the whole primary key: by the order id alone it would scan the table. There are few
/// campaigns; each is found after the previous one by a probe of the primary key.
///
/// The position is read through JSON, so that it is also null before the sink has added its columns to
/// the table.
const ROWS: &str = "\
WITH RECURSIVE campaigns (campaign) AS (
    (SELECT campaign FROM vouchers ORDER BY campaign LIMIT 1)
    UNION ALL
    SELECT (SELECT there.campaign FROM vouchers AS there
            WHERE there.campaign > campaigns.campaign ORDER BY there.campaign LIMIT 1)
    FROM campaigns WHERE campaigns.campaign IS NOT NULL
)
SELECT voucher.campaign, voucher.code, voucher.amount, voucher.currency, voucher.issued_at,
       voucher.expires_at, voucher.created_at,
       (to_jsonb(voucher) ->> 'record_partition')::integer,
       (to_jsonb(voucher) ->> 'record_offset')::bigint
FROM campaigns
JOIN vouchers AS voucher ON voucher.campaign = campaigns.campaign AND voucher.order_id = $1
ORDER BY voucher.campaign";

/// The time limits that the server enforces. They are short, because a person waits.
pub(super) const TIMEOUTS: Timeouts = Timeouts {
    statement: "5s",
    lock: "5s",
};

/// Refers to the database. Does not connect.
///
/// # Errors
/// Exit code 2 for an invalid URL.
pub(super) fn database(url: &Secret) -> Result<Database, Failure> {
    let database = Database::new(url, "processor explain", TIMEOUTS)?;
    // Every row is found by its key, whatever the planner knows of the table.
    Ok(database.for_reading().with([("enable_seqscan", "off")]))
}

/// Returns the order's rows, of all campaigns.
///
/// # Errors
/// Says why the table could not be read.
pub(super) async fn rows(database: &Database, order_id: &str) -> Result<Vec<VoucherRow>, String> {
    match tokio::time::timeout(TIMEOUT, select(database, order_id)).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(message_of(&error)),
        Err(_) => Err(format!(
            "the database did not answer within {}",
            human_duration(TIMEOUT)
        )),
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
    Option<i32>,
    Option<i64>,
);

async fn select(database: &Database, order_id: &str) -> Result<Vec<VoucherRow>, Error> {
    let mut connection = database.connect(TIMEOUT).await?;
    let rows: Vec<Row> = sqlx::query_as(ROWS)
        .bind(order_id)
        .fetch_all(&mut connection)
        .await?;
    Ok(rows.into_iter().map(row_of).collect())
}

fn row_of(row: Row) -> VoucherRow {
    let (campaign, code, amount, currency, issued_at, expires_at, created_at, partition, offset) =
        row;
    let time = |at| Timestamp::from(at).to_string();
    VoucherRow {
        voucher: VoucherFields {
            campaign,
            code,
            amount: format!("{} {currency}", decimal::as_money(amount)),
            issued_at: time(issued_at),
            expires_at: expires_at.map(time),
        },
        created_at: time(created_at),
        record: partition.zip(offset),
    }
}
