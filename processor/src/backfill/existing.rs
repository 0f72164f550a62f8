//! Which of the vouchers to issue are rows already.

use std::collections::HashMap;
use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::postgres::{Database, Timeouts, message_of};
use runtime::settings::Secret;
use rust_decimal::Decimal;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::listing::{State, Wanted};

const TIMEOUTS: Timeouts = Timeouts {
    statement: "60s",
    lock: "10s",
};

/// The sink's table is only looked at.
const LOOK: &str = "SELECT order_id, code, amount, currency FROM vouchers \
     WHERE campaign = $1 AND order_id = ANY($2)";

/// The sink's table.
#[derive(Debug, Clone)]
pub struct Table {
    pool: PgPool,
    campaign: String,
}

impl Table {
    /// Does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for a URL that is none.
    pub fn new(url: &Secret, campaign: &str, connections: u16) -> Result<Self, Failure> {
        let database = Database::new(url, "backfill", TIMEOUTS)?.for_reading();
        let options = PgPoolOptions::new()
            .max_connections(u32::from(connections))
            .acquire_timeout(Duration::from_secs(10));
        Ok(Self {
            pool: database.pool(options),
            campaign: campaign.to_owned(),
        })
    }

    /// Fills in what the table has of these. Codes are compared only when `with_codes`.
    ///
    /// # Errors
    /// Exit code 1 with the database's sentence.
    pub async fn look(&self, wanted: &mut [Wanted], with_codes: bool) -> Result<(), Failure> {
        let ids: Vec<&str> = wanted.iter().map(|one| one.order_id.as_str()).collect();
        let rows: Vec<(String, String, Decimal, String)> = sqlx::query_as(LOOK)
            .bind(&self.campaign)
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| {
                Failure::failed(format!(
                    "DATABASE_URL: the sink's table vouchers can't be read: {}",
                    message_of(&error)
                ))
            })?;
        let rows: HashMap<_, _> = rows
            .into_iter()
            .map(|(order_id, code, amount, currency)| (order_id, (code, amount, currency)))
            .collect();
        for one in wanted {
            one.state = Some(match rows.get(&one.order_id) {
                None => State::New,
                Some((code, amount, currency))
                    if *amount == one.amount
                        && *currency == one.currency
                        && (!with_codes || *code == one.code) =>
                {
                    State::Same
                }
                Some(_) => State::Different,
            });
        }
        Ok(())
    }
}
