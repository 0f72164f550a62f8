//! The schema of the vouchers, brought up to date at the start.

use runtime::backoff::Backoff;
use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::postgres::{self, MigrationError, WriteProbe, message_of};
use sqlx::migrate::Migrator;

use super::connect::Database;

/// What this service calls its migrations table, so that the producer's may live beside it.
pub(crate) const MIGRATIONS_TABLE: &str = "sink_migrations";

/// What the sink writes, for an order whose id no client can send: it begins with a control character.
pub(crate) const WRITES: WriteProbe = WriteProbe(&[
    "INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at)
     VALUES (E'\\x01probe', E'\\x01probe', E'\\x01probe', 1, 'EUR', now())
     ON CONFLICT DO NOTHING",
]);

/// Brings the schema up to date; waits for a database that is away, or whose rights have to be
/// mended, and tells `part`. Ends early, without an error, when shutdown is asked for.
///
/// # Errors
/// Exit code 1 when a migration was changed after it ran, or the schema's floor is above this version.
pub async fn migrate(database: &Database, part: &Part, shutdown: &Shutdown) -> Result<(), Failure> {
    let mut backoff = Backoff::outside();
    loop {
        match migrate_once(database).await {
            Ok(()) => return Ok(()),
            Err(MigrationError::Database(error)) => {
                part.not_ready(format!(
                    "the vouchers' schema can't be brought up to date: {}",
                    message_of(&error)
                ));
            }
            Err(MigrationError::Incompatible(why)) => {
                return Err(Failure::failed(format!(
                    "this version can't work with the vouchers' schema: {why}; run the version of \
                     the sink that made it, or a newer one"
                )));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_pause()) => {}
            () = shutdown.requested() => return Ok(()),
        }
    }
}

/// As [`migrate`], without waiting for anything.
pub(crate) async fn migrate_once(database: &Database) -> Result<(), MigrationError> {
    postgres::migrate(database.inner(), migrator(), MIGRATIONS_TABLE).await
}

/// What this version knows of the schema.
pub(crate) fn migrator() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}
