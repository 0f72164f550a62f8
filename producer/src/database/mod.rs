//! Connections to Postgres, its schema, and what to do after its errors.

mod fault;
mod timestamp;

use runtime::lifecycle::Failure;
use runtime::postgres::{Database, MigrateSettings, Migrations, Timeouts};
use runtime::settings::Secret;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::limits::{LOCK_TIMEOUT, POOL_TIMEOUT, STATEMENT_TIMEOUT};
use crate::settings::DatabaseSettings;

pub use fault::{Fault, fault_of};
pub use timestamp::timestamp;

/// The migrations of the orders' schema.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    table: "producer_migrations",
    known: &[(
        1,
        "orders",
        include_str!("../../migrations/0001_orders.sql"),
    )],
};

/// Returns the database for all connections of the service.
///
/// # Errors
/// As [`Database::new`].
pub fn database(url: &Secret) -> Result<Database, Failure> {
    let timeouts = Timeouts {
        statement: STATEMENT_TIMEOUT,
        lock: LOCK_TIMEOUT,
    };
    Database::new(url, "producer", timeouts)
}

/// Applies the missing migrations and prints their names, for a job that runs before the services.
///
/// # Errors
/// Exit code 2 for settings; see [`run_command`](Migrations::run_command).
pub(crate) async fn migrate(settings: MigrateSettings<DatabaseSettings>) -> Result<(), Failure> {
    let database = database(&settings.database.database_url)?;
    MIGRATIONS.run_command(&database, settings.timeout).await
}

/// Returns the pool of the routes that read. It connects when it is first used.
pub fn pool(database: &Database, connections: u32) -> PgPool {
    database.pool(
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(POOL_TIMEOUT),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::migrate::Migrator;

    use super::*;

    /// Databases record the version, the name and the checksum that sqlx derives from the files.
    #[tokio::test]
    async fn the_listed_migrations_are_those_that_sqlx_finds_in_the_files() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = Migrator::new(Path::new(directory)).await.unwrap();
        let known = |migrator: &Migrator| -> Vec<_> {
            let one = migrator.iter();
            one.map(|one| (one.version, one.description.clone(), one.checksum.clone()))
                .collect()
        };
        assert_eq!(known(&MIGRATIONS.migrator()), known(&files));
    }

    /// A database that has applied a migration refuses every release in which the migration has another
    /// text. When a migration is released, add the beginning of its checksum here.
    #[test]
    fn released_migrations_stay_as_they_are() {
        let released = ["cffbf1881c44cb74"];
        let checksum = |bytes: &[u8]| {
            let hex = bytes.iter().take(8).map(|byte| format!("{byte:02x}"));
            hex.collect::<String>()
        };
        let known = MIGRATIONS.migrator();
        let known: Vec<_> = known.iter().map(|one| checksum(&one.checksum)).collect();
        assert_eq!(known, released);
    }
}
