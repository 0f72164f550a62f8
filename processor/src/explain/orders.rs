//! Reads the table of orders, which the ingress owns.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::duration::human_duration;
use runtime::lifecycle::Failure;
use runtime::postgres::{Database, message_of};
use runtime::settings::Secret;
use schemas::Timestamp;
use sqlx::Error;

use super::table::TIMEOUTS;
use super::trace::IngressOrder;

/// How long to wait for the database.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Selects whether the tables of the ingress are in this database. Another program may have a table of
/// orders too, so the table of migrations is required as well.
const IS_INGRESS: &str = "SELECT to_regclass('producer_migrations') IS NOT NULL \
     AND to_regclass('orders') IS NOT NULL";

const ORDER: &str = "SELECT status, version, created_at, sent_at, updated_at FROM orders \
     WHERE order_id = $1";

/// The table of orders, in the database that is set for it, or else in that of the vouchers, if it is
/// there.
pub(super) struct OrdersTable {
    database: Database,
    /// Whether the database is that of the vouchers, which may not have the table.
    is_guess: bool,
}

impl OrdersTable {
    /// Refers to the table in the database of the orders, or else in that of the vouchers; `None` if
    /// neither is set. Does not connect.
    ///
    /// # Errors
    /// Exit code 2 for an invalid URL.
    pub(super) fn of(
        orders: Option<&Secret>,
        vouchers: Option<&Secret>,
    ) -> Result<Option<Self>, Failure> {
        let Some(url) = orders.or(vouchers) else {
            return Ok(None);
        };
        let is_guess = orders.is_none();
        let database = Database::new(url, "processor explain", TIMEOUTS).map_err(|failure| {
            // The message names the variable of the other commands, `DATABASE_URL`.
            let message = failure.to_string();
            Failure::bad_setting(match is_guess {
                true => message,
                false => message.replacen("DATABASE_URL", "ORDERS_DATABASE_URL", 1),
            })
        })?;
        Ok(Some(Self {
            database: database.for_reading(),
            is_guess,
        }))
    }

    /// Returns the order as the ingress has it; `None` if it has no such order, or if the database of the
    /// vouchers has no table of orders that can be read.
    ///
    /// # Errors
    /// Why the table could not be read, if a database is set for it.
    pub(super) async fn order(&self, order_id: &str) -> Result<Option<IngressOrder>, String> {
        let found = match tokio::time::timeout(TIMEOUT, self.select(order_id)).await {
            Ok(Ok(order)) => return Ok(order),
            Ok(Err(error)) => message_of(&error),
            Err(_) => format!(
                "the database did not answer within {}",
                human_duration(TIMEOUT)
            ),
        };
        match self.is_guess {
            true => {
                tracing::debug!(why = found, "the orders were not read");
                Ok(None)
            }
            false => Err(found),
        }
    }

    async fn select(&self, order_id: &str) -> Result<Option<IngressOrder>, Error> {
        let mut connection = self.database.connect(TIMEOUT).await?;
        if self.is_guess {
            let is_ingress: bool = sqlx::query_scalar(IS_INGRESS)
                .fetch_one(&mut connection)
                .await?;
            if !is_ingress {
                return Ok(None);
            }
        }
        let row: Option<Row> = sqlx::query_as(ORDER)
            .bind(order_id)
            .fetch_optional(&mut connection)
            .await?;
        Ok(row.map(
            |(status, version, created_at, sent_at, updated_at)| IngressOrder {
                status,
                version,
                created_at: created_at.into(),
                sent_at: sent_at.map(Timestamp::from),
                updated_at: updated_at.into(),
            },
        ))
    }
}

type Row = (
    String,
    i64,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    DateTime<Utc>,
);
