//! How Postgres is reached, and what its errors ask for.

mod fault;
mod timestamp;

use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::postgres::{self, Database, MigrationError, Timeouts, WriteProbe};
use runtime::settings::Secret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgPool, PgPoolOptions};

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

/// What writers and relay write, on an order whose id no client can send: it begins with a control
/// character.
pub(crate) const WRITES: WriteProbe = WriteProbe(&[
    "INSERT INTO orders (order_id, status, total, currency, products, version, created_at, updated_at)
     VALUES (E'\\x01probe', 'PENDING', 0, 'EUR', '[]', 1, now(), now())
     ON CONFLICT (order_id) DO NOTHING",
    "UPDATE orders SET version = version WHERE order_id = E'\\x01probe'",
    "INSERT INTO outbox (order_id, version, status, total, currency, occurred_at)
     VALUES (E'\\x01probe', 1, 'PENDING', 0, 'EUR', now())",
    "DELETE FROM outbox WHERE id < 0",
    "INSERT INTO idempotency_keys (api_key_id, key, request_hash, status, body, created_at)
     VALUES (E'\\x01probe', '', '', 0, '', now())
     ON CONFLICT (api_key_id, key) DO NOTHING",
]);

/// The database of all our connections.
///
/// # Errors
/// As [`Database::new`].
pub fn database(url: &Secret) -> Result<Database, Failure> {
    Database::new(url, "producer", TIMEOUTS)
}

/// The pool of the reading routes. Connects when first asked.
pub fn pool(database: &Database, connections: u32) -> PgPool {
    database.pool(
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT),
    )
}

/// Brings the schema up to date.
///
/// # Errors
/// See [`MigrationError`].
pub async fn migrate(database: &Database) -> Result<(), MigrationError> {
    postgres::migrate(database, migrator(), MIGRATIONS_TABLE).await
}

/// What this version knows of the schema.
pub(crate) fn migrator() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}
