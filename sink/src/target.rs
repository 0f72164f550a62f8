//! The database that the vouchers are written to. Everything else in this crate names it by these names,
//! so a second target is chosen here.

use runtime::lifecycle::Failure;
use runtime::postgres::MigrateTimeout;
use runtime::preflight::{Check, DatabaseSchema};

use crate::postgres;

pub use crate::postgres::{Database, DatabaseProbe, PostgresTable as VouchersTable, migrate};

/// Checks the database, and migrates it when the check is to repair what it finds.
pub(crate) async fn check(check: &mut Check, database: &Database) {
    let schema = DatabaseSchema {
        service: "sink",
        migrations: postgres::MIGRATIONS,
        writes: postgres::WRITES,
    };
    check.database(database.inner(), &schema).await;
}

/// Applies the missing migrations and prints which, for the command `migrate`.
///
/// # Errors
/// See [`run_command`](runtime::postgres::Migrations::run_command).
pub(crate) async fn run_migrate(
    database: &Database,
    timeout: MigrateTimeout,
) -> Result<(), Failure> {
    postgres::MIGRATIONS
        .run_command(database.inner(), timeout)
        .await
}
