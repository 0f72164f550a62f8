//! The database that the vouchers are written to. The rest of this crate uses only the names below, so a
//! second target would be a folder beside `postgres`, and would be chosen here.

pub mod postgres;
mod probe;

use runtime::lifecycle::Failure;
use runtime::postgres::MigrateSettings;
use runtime::preflight::{Check, DatabaseSchema};

use crate::settings::DatabaseSettings;

pub use postgres::{Database, PostgresTable as VouchersTable, WriteTest, migrate};
pub use probe::DatabaseProbe;

/// Checks the database, and migrates it with `--fix`.
pub(crate) async fn check(check: &mut Check, database: &Database) {
    let schema = DatabaseSchema {
        service: "sink",
        migrations: postgres::MIGRATIONS,
        writes: postgres::WRITES,
    };
    check.database(database.inner(), &schema).await;
}

/// Applies the missing migrations and prints which, for a job that runs before the services.
///
/// # Errors
/// Exit code 2 for settings; see [`run_command`](runtime::postgres::Migrations::run_command).
pub(crate) async fn run_migrate(
    settings: MigrateSettings<DatabaseSettings>,
) -> Result<(), Failure> {
    let database = Database::new(&settings.database.database_url)?;
    postgres::MIGRATIONS
        .run_command(database.inner(), settings.timeout)
        .await
}
