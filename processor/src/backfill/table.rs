//! Compares previewed vouchers with the rows of the sink's table.

use std::collections::HashMap;
use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::postgres::{Database, Timeouts, message_of};
use runtime::replay::RowState;
use runtime::settings::Secret;
use rust_decimal::Decimal;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Error};

use super::previewed_voucher::PreviewedVoucher;

/// How long the first connect may take: a person waits for the preview.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

const TIMEOUTS: Timeouts = Timeouts {
    statement: "60s",
    lock: "10s",
};

const SELECT_ROWS: &str = "SELECT order_id, code, amount, currency FROM vouchers \
     WHERE campaign = $1 AND order_id = ANY($2)";

/// The vouchers table of the sink, which is only read here.
#[derive(Debug, Clone)]
pub struct VouchersTable {
    database: Database,
    pool: PgPool,
    campaign: String,
}

impl VouchersTable {
    /// Refers to the rows of a campaign. Does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for an invalid URL.
    pub fn new(url: &Secret, campaign: &str, connections: u16) -> Result<Self, Failure> {
        let database = Database::new(url, "backfill", TIMEOUTS)?.for_reading();
        let options = PgPoolOptions::new()
            .max_connections(u32::from(connections))
            .acquire_timeout(Duration::from_secs(10));
        Ok(Self {
            pool: database.pool(options),
            database,
            campaign: campaign.to_owned(),
        })
    }

    /// Connects once, so that a database that is away is reported at once. The pool takes a refused
    /// connection for a server that starts, and repeats it until its time is over.
    ///
    /// # Errors
    /// Exit code 1 with the error of the database.
    pub async fn reach(&self) -> Result<(), Failure> {
        let connection = self
            .database
            .connect(CONNECT_TIMEOUT)
            .await
            .map_err(|error| unreadable(&error))?;
        self.database.repoint(&self.pool);
        // An error of the goodbye says nothing about the table.
        let _ = connection.close().await;
        Ok(())
    }

    /// Sets the state of each voucher. Compares the codes only if `with_codes`.
    ///
    /// # Errors
    /// Exit code 1 with the error of the database.
    pub async fn compare(
        &self,
        vouchers: &mut [PreviewedVoucher],
        with_codes: bool,
    ) -> Result<(), Failure> {
        let ids: Vec<&str> = vouchers.iter().map(|one| one.order_id.as_str()).collect();
        let rows: Vec<(String, String, Decimal, String)> = sqlx::query_as(SELECT_ROWS)
            .bind(&self.campaign)
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| unreadable(&error))?;
        let rows: HashMap<_, _> = rows
            .into_iter()
            .map(|(order_id, code, amount, currency)| (order_id, (code, amount, currency)))
            .collect();
        for voucher in vouchers {
            voucher.state = Some(match rows.get(&voucher.order_id) {
                None => RowState::New,
                Some((code, amount, currency))
                    if *amount == voucher.amount
                        && *currency == voucher.currency
                        && (!with_codes || *code == voucher.code) =>
                {
                    RowState::Existing
                }
                Some(_) => RowState::Different,
            });
        }
        Ok(())
    }
}

fn unreadable(error: &Error) -> Failure {
    Failure::failed(format!(
        "DATABASE_URL: cannot read the sink's table vouchers: {}",
        message_of(error)
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_database_that_refuses_connections_is_reported_at_once() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let url = Secret::new(format!("postgres://u:hunter2@{address}/d"));
        let table = VouchersTable::new(&url, "order-reward", 1).unwrap();
        let started = Instant::now();
        let failure = table.reach().await.unwrap_err().to_string();
        assert!(started.elapsed() < CONNECT_TIMEOUT, "{failure}");
        let expected = format!("cannot connect to Postgres at {address}: ");
        assert!(
            failure.contains(&expected) && failure.contains("refused"),
            "{failure}"
        );
    }
}
