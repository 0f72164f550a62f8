//! The database that the vouchers are written to. Everything else in this crate names it by these names,
//! so a second target is chosen here.

use runtime::preflight::{Check, DatabaseSchema};

use crate::postgres;

pub(crate) use crate::postgres::run_migrate;
pub use crate::postgres::{Database, DatabaseProbe, PostgresTable as VouchersTable, migrate};

/// Checks the database, and migrates it when the check is to repair what it finds.
pub(crate) async fn check(check: &mut Check, database: &Database) {
    let schema = DatabaseSchema {
        service: "sink",
        migrator: &postgres::migrator(),
        table: postgres::MIGRATIONS_TABLE,
        writes: postgres::WRITES,
    };
    let migrate = postgres::migrate_once(database);
    check.database(database.inner(), &schema, migrate).await;
}
