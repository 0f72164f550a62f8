//! The limit of the sink: the same rows with the best idempotent statement, without Kafka.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rust_decimal::Decimal;
use sqlx::{Connection, PgConnection};

use crate::orders;
use crate::usage::own_cpu;
use crate::vouchers::VoucherIssuer;

/// Rows per statement; above 500 it hardly matters.
const ROWS: usize = 2_000;

/// The columns of one statement.
#[derive(Default, Clone)]
struct Columns {
    campaigns: Vec<String>,
    order_ids: Vec<String>,
    codes: Vec<String>,
    amounts: Vec<Decimal>,
    currencies: Vec<&'static str>,
    issued_at: Vec<DateTime<Utc>>,
    record_partitions: Vec<i32>,
    record_offsets: Vec<i64>,
}

/// The rows of the vouchers of a topic, prepared in advance.
pub struct Rows(Vec<Columns>);

/// The time that writing them took.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The time from the first statement to the last answer.
    pub wall: Duration,
    /// CPU time of this process.
    pub cpu: Duration,
}

impl Rows {
    /// Prepares the rows of the first `count` orders.
    ///
    /// # Errors
    /// When the signing key is invalid.
    pub fn new(count: u32) -> Result<Self> {
        let issuer = VoucherIssuer::new()?;
        let mut all = vec![Columns::default()];
        for number in 0..count {
            if all.last().is_some_and(|last| last.codes.len() >= ROWS) {
                all.push(Columns::default());
            }
            let order_id = orders::id(number);
            let voucher = issuer.voucher(number, &order_id);
            if let Some(columns) = all.last_mut() {
                columns.campaigns.push(voucher.campaign.into_owned());
                columns.codes.push(voucher.code.into_owned());
                columns.amounts.push(voucher.amount);
                columns.currencies.push("EUR");
                columns.issued_at.push(voucher.issued_at.into());
                columns.record_partitions.push(0);
                columns.record_offsets.push(i64::from(number));
                columns.order_ids.push(order_id);
            }
        }
        Ok(Self(all))
    }

    /// Writes the rows over this number of connections.
    ///
    /// # Errors
    /// When Postgres refuses a statement.
    pub async fn write(&self, url: &str, connections: usize) -> Result<Written> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(PgConnection::connect(url).await?);
        }
        let (begun, cpu) = (Instant::now(), own_cpu());
        let writers = open
            .into_iter()
            .enumerate()
            .map(|(number, mut connection)| async move {
                for columns in self.0.iter().skip(number).step_by(connections) {
                    insert(&mut connection, columns).await?;
                }
                connection.close().await?;
                anyhow::Ok(())
            });
        try_join_all(writers).await?;
        Ok(Written {
            wall: begun.elapsed(),
            cpu: own_cpu() - cpu,
        })
    }
}

async fn insert(connection: &mut PgConnection, columns: &Columns) -> Result<()> {
    sqlx::query(
        "INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at, record_partition, record_offset)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::numeric[], $5::text[], $6::timestamptz[],
                              $7::integer[], $8::bigint[])
         ON CONFLICT (campaign, order_id) DO NOTHING",
    )
    .bind(&columns.campaigns)
    .bind(&columns.order_ids)
    .bind(&columns.codes)
    .bind(&columns.amounts)
    .bind(&columns.currencies)
    .bind(&columns.issued_at)
    .bind(&columns.record_partitions)
    .bind(&columns.record_offsets)
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts and commits rows one by one into a table of their own; returns the milliseconds of each.
///
/// # Errors
/// When Postgres refuses a statement.
pub async fn single_rows(url: &str, count: u32) -> Result<Vec<f64>> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS single (LIKE vouchers INCLUDING ALL); TRUNCATE single",
    )
    .execute(&mut connection)
    .await?;
    let issuer = VoucherIssuer::new()?;
    let mut millis = Vec::new();
    for number in 0..count {
        let order_id = orders::id(number);
        let voucher = issuer.voucher(number, &order_id);
        let begun = Instant::now();
        sqlx::query(
            "INSERT INTO single (campaign, order_id, code, amount, currency, issued_at)
             VALUES ($1, $2, $3, $4, 'EUR', $5)",
        )
        .bind(&*voucher.campaign)
        .bind(&order_id)
        .bind(&*voucher.code)
        .bind(voucher.amount)
        .bind(DateTime::<Utc>::from(voucher.issued_at))
        .execute(&mut connection)
        .await?;
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    connection.close().await?;
    Ok(millis)
}
