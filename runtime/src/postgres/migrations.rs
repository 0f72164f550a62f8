//! The schema, brought up to date. A schema that is newer than this version is worked with as long
//! as its floor allows it.
//!
//! A migration that only adds (expand) leaves older versions working: they may run beside newer
//! ones, and an update can be rolled back. One that takes something away (contract) must say so in
//! the comment of the migrations table, in the same migration:
//!
//! ```sql
//! COMMENT ON TABLE producer_migrations IS 'minimum_version=3';
//! ```
//!
//! A version whose newest migration is older than that does not start.

use std::fmt;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Error, PgConnection};

use super::database::Database;
use super::unwritable::message_of;

/// A server that does not even answer a connect is asked again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// In the comment of the migrations table.
const FLOOR: &str = "minimum_version=";

/// Why the schema could not be brought up to date.
#[derive(Debug)]
pub enum MigrationError {
    /// The database's, which may pass or be mended.
    Database(Error),
    /// This version can't work with the schema.
    Incompatible(String),
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => f.write_str(&message_of(error)),
            Self::Incompatible(why) => f.write_str(why),
        }
    }
}

impl From<Error> for MigrationError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::Database(error)
            }
            error => Self::Incompatible(error.to_string()),
        }
    }
}

/// The migrations that a database has had, and the oldest version that its schema serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Numbers and checksums, in order.
    migrations: Vec<(i64, Vec<u8>)>,
    /// The newest migration that a version must know.
    floor: i64,
}

impl Applied {
    /// Reads what `table` and its comment tell; the right to read the table is enough.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(connection: &mut PgConnection, table: &str) -> Result<Self, Error> {
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
        if !exists {
            return Ok(Self::default());
        }
        let comment: Option<String> =
            sqlx::query_scalar("SELECT obj_description(to_regclass($1), 'pg_class')")
                .bind(table)
                .fetch_one(&mut *connection)
                .await?;
        let question =
            format!("SELECT version, checksum FROM {table} WHERE success ORDER BY version");
        let migrations = sqlx::query_as(AssertSqlSafe(question))
            .fetch_all(connection)
            .await?;
        Ok(Self {
            migrations,
            floor: comment.as_deref().map_or(0, floor_of),
        })
    }

    /// Returns the numbers that `migrator` knows and the database has not had.
    pub fn missing(&self, migrator: &Migrator) -> Vec<i64> {
        let known = migrator.iter().map(|migration| migration.version);
        known.filter(|known| !self.has(*known)).collect()
    }

    /// Returns the numbers that are newer than all that `migrator` knows.
    pub fn newer(&self, migrator: &Migrator) -> Vec<i64> {
        let newest = newest(migrator);
        let numbers = self.migrations.iter().map(|(number, _)| *number);
        numbers.filter(|number| *number > newest).collect()
    }

    /// Whether a version that knows `migrator` can work with this schema, once what is missing was
    /// applied.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check(&self, migrator: &Migrator) -> Result<(), String> {
        let newest = newest(migrator);
        if newest < self.floor {
            return Err(format!(
                "its schema asks for a version that knows migration {}, this one knows up to \
                 {newest}",
                self.floor
            ));
        }
        for (number, checksum) in &self.migrations {
            match migrator.iter().find(|known| known.version == *number) {
                Some(known) if *known.checksum != **checksum => {
                    return Err(format!(
                        "migration {number} was changed after it was applied"
                    ));
                }
                None if *number < newest => {
                    return Err(format!(
                        "migration {number} is unknown, though newer ones are not"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn has(&self, number: i64) -> bool {
        self.migrations
            .iter()
            .any(|(applied, _)| *applied == number)
    }
}

fn newest(migrator: &Migrator) -> i64 {
    let versions = migrator.iter().map(|migration| migration.version);
    versions.max().unwrap_or_default()
}

/// A floor that can't be read forbids every version: guessing could lose data.
fn floor_of(comment: &str) -> i64 {
    let Some((_, rest)) = comment.split_once(FLOOR) else {
        return 0;
    };
    let digits = rest
        .find(|character: char| !character.is_ascii_digit())
        .map_or(rest, |end| rest.get(..end).unwrap_or_default());
    digits.parse().unwrap_or(i64::MAX)
}

/// Brings the schema up to date, whose migrations are told in `table`, once the sessions are proven
/// to be our own.
///
/// Where it is that already, the right to read `table` is enough: the migrator itself begins with a
/// `CREATE TABLE IF NOT EXISTS`, which asks for the right to create although it exists.
///
/// # Errors
/// See [`MigrationError`].
pub async fn migrate(
    database: &Database,
    mut migrator: Migrator,
    table: &str,
) -> Result<(), MigrationError> {
    // Nothing works in sessions that are not our own, the migrator's lock least of all.
    database.prove_own_sessions(CONNECT_TIMEOUT).await?;
    // A migration may take long: it waits for another instance's, or builds an index.
    let database = database
        .clone()
        .with([("statement_timeout", "0"), ("lock_timeout", "60s")]);
    let mut connection = database.connect(CONNECT_TIMEOUT).await?;
    let applied = Applied::read(&mut connection, table).await?;
    connection.close().await?;
    applied
        .check(&migrator)
        .map_err(MigrationError::Incompatible)?;
    if applied.missing(&migrator).is_empty() {
        return Ok(());
    }
    migrator.set_ignore_missing(true);
    let one = PgPoolOptions::new().max_connections(1);
    let pool = database.pool(one.acquire_timeout(CONNECT_TIMEOUT));
    let done = migrator.run(&pool).await;
    pool.close().await;
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use sqlx::SqlSafeStr;
    use sqlx::migrate::{Migration, MigrationType};

    use super::*;

    fn migrator(numbers: &[i64]) -> Migrator {
        let migration = |number: &i64| {
            Migration::new(
                *number,
                Cow::Borrowed("a"),
                MigrationType::Simple,
                "SELECT 1".into_sql_str(),
                false,
            )
        };
        Migrator::with_migrations(numbers.iter().map(migration).collect())
    }

    fn applied(numbers: &[i64], comment: &str) -> Applied {
        let migrations = migrator(numbers);
        let migrations = migrations.iter();
        Applied {
            migrations: migrations
                .map(|one| (one.version, one.checksum.to_vec()))
                .collect(),
            floor: floor_of(comment),
        }
    }

    #[test]
    fn a_newer_schema_is_fine_down_to_its_floor() {
        let mine = migrator(&[1, 2]);
        assert_eq!(applied(&[1, 2, 3, 4], "").check(&mine), Ok(()));
        assert_eq!(applied(&[1, 2, 3, 4], "").newer(&mine), [3, 4]);
        let floor = |floor: i64| format!("Told by the service. minimum_version={floor}; see ADR");
        assert_eq!(applied(&[1, 2, 3], &floor(2)).check(&mine), Ok(()));
        let refused = applied(&[1, 2, 3], &floor(3)).check(&mine).unwrap_err();
        assert!(refused.contains("knows migration 3"), "{refused}");
        assert!(applied(&[1], "minimum_version=x").check(&mine).is_err());
    }

    #[test]
    fn what_is_missing_is_applied_and_what_is_strange_is_not_guessed_at() {
        let mine = migrator(&[1, 3]);
        assert_eq!(applied(&[1], "").missing(&mine), [3]);
        assert_eq!(applied(&[1], "").check(&mine), Ok(()));
        let strange = applied(&[1, 2, 3], "").check(&mine).unwrap_err();
        assert!(strange.contains("migration 2 is unknown"), "{strange}");
        let mut changed = applied(&[1, 3], "");
        changed.migrations[0].1 = vec![0];
        let changed = changed.check(&mine).unwrap_err();
        assert!(changed.contains("migration 1 was changed"), "{changed}");
    }
}
