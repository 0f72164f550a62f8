//! The schema of the vouchers, migrated at the start.

use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::postgres::{MigrationError, Migrations, MissingMigrations, WriteProbe};

use super::Database;

/// The migrations of the vouchers' schema.
pub(in crate::target) const MIGRATIONS: Migrations = Migrations {
    table: "sink_migrations",
    known: &[
        (
            1,
            "vouchers",
            include_str!("../../../migrations/0001_vouchers.sql"),
        ),
        (
            2,
            "record positions",
            include_str!("../../../migrations/0002_record_positions.sql"),
        ),
    ],
};

/// A statement like the sink's, for an order whose id no client can send: it begins with a control
/// character.
pub(in crate::target) const WRITES: WriteProbe = WriteProbe(&[
    "INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at)
     VALUES (E'\\x01probe', E'\\x01probe', E'\\x01probe', 1, 'EUR', now())
     ON CONFLICT DO NOTHING",
]);

/// Migrates the schema, or waits until another process has done so, as `missing` says. Waits for a
/// database that is unavailable, or whose rights have to be fixed, and reports that in `part`. Ends early,
/// without an error, when shutdown is requested.
///
/// # Errors
/// Exit code 1 when a migration was changed after it ran, or the schema's minimum version is above
/// this one.
pub async fn migrate(
    database: &Database,
    missing: MissingMigrations,
    part: &Part,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let waiting = |error: &MigrationError| {
        part.not_ready(format!(
            "the vouchers' schema cannot be brought up to date: {error}"
        ));
    };
    MIGRATIONS
        .apply_when_possible(database.inner(), missing, waiting, shutdown)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::migrate::Migrator;

    use super::*;

    /// Databases have recorded what sqlx makes of the files: version, name and checksum.
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

    /// A database that applied a migration refuses every version that has another text for it. Add the
    /// beginning of a new migration's checksum here when it is released.
    #[test]
    fn released_migrations_stay_as_they_are() {
        let released = ["a29f31ead5b2e05b", "a4818658a43a1f29"];
        let checksum = |bytes: &[u8]| {
            let hex = bytes.iter().take(8).map(|byte| format!("{byte:02x}"));
            hex.collect::<String>()
        };
        let known = MIGRATIONS.migrator();
        let known: Vec<_> = known.iter().map(|one| checksum(&one.checksum)).collect();
        assert_eq!(known, released);
    }
}
