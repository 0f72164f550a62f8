//! The schema of the vouchers, brought up to date at the start.

use runtime::backoff::Backoff;
use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::postgres;
use sqlx::migrate::{MigrateError, Migrator};

use super::connect::Database;

/// What this service calls its migrations table, so that the producer's may live beside it.
pub(crate) const MIGRATIONS_TABLE: &str = "sink_migrations";

/// Brings the schema up to date; waits for a database that is away, or whose rights have to be
/// mended, and tells `part`. Ends early, without an error, when shutdown is asked for.
///
/// # Errors
/// Exit code 1 when a migration was changed after it ran, or the database is ahead of this version.
pub async fn migrate(database: &Database, part: &Part, shutdown: &Shutdown) -> Result<(), Failure> {
    let mut backoff = Backoff::outside();
    loop {
        match migrate_once(database).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                part.not_ready(format!(
                    "the vouchers' schema can't be brought up to date: {error}"
                ));
            }
            Err(error) => {
                return Err(Failure::failed(format!(
                    "the vouchers' schema can't be brought up to date: {error}; run the version of \
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
pub(crate) async fn migrate_once(database: &Database) -> Result<(), MigrateError> {
    let pool = database.patient_pool();
    let migrated = postgres::migrate(&pool, &migrator(), MIGRATIONS_TABLE).await;
    pool.close().await;
    migrated
}

/// What this version knows of the schema.
pub(crate) fn migrator() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}
