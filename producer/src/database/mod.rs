//! How Postgres is reached, and what its errors ask for.

mod fault;
mod timestamp;

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use runtime::lifecycle::Failure;
use runtime::postgres::{self, Timeouts};
use runtime::settings::Secret;

pub use fault::{Fault, fault_of};
pub use timestamp::timestamp;

/// An answer of 503 is better than a client that hangs.
const TIMEOUTS: Timeouts = Timeouts {
    statement: "5s",
    lock: "4s",
};
/// As long as a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// What this service calls its migrations table, so that the sink's may live beside it.
pub(crate) const MIGRATIONS_TABLE: &str = "producer_migrations";

/// The connect options of all our connections.
///
/// # Errors
/// As [`postgres::connect_options`].
pub fn connect_options(url: &Secret) -> Result<PgConnectOptions, Failure> {
    postgres::connect_options(url, "producer", TIMEOUTS)
}

/// The pool of the reading routes and of the small periodic work. Connects when first asked.
pub fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}

/// Brings the schema up to date.
///
/// # Errors
/// The database's, or a migration that was changed after it ran.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), MigrateError> {
    // A migration may take longer than a request: waiting for another instance's, or an index.
    let patient = options
        .clone()
        .options([("statement_timeout", "0"), ("lock_timeout", "60s")]);
    let pool = pool(patient, 1);
    let done = postgres::migrate(&pool, &migrator(), MIGRATIONS_TABLE).await;
    pool.close().await;
    done
}

/// What this version knows of the schema.
pub(crate) fn migrator() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}
