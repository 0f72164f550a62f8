//! Brings the schema up to date. A version works with a newer schema too, as long as that schema's
//! minimum version allows it.
//!
//! A migration that only adds (expand) leaves older versions working: they may run beside newer ones,
//! and an update can be rolled back. A migration that removes something (contract) writes the oldest
//! version that still works into the comment of the migrations table:
//!
//! ```sql
//! COMMENT ON TABLE producer_migrations IS 'minimum_version=3 release=0.3.0';
//! ```
//!
//! A version does not start when its newest migration is older than that. The release is the one that a
//! person has to install then. Why the minimum is kept so: ADR 0051.

use std::fmt;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Error, PgConnection, SqlSafeStr};

use super::database::Database;
use super::unwritable::message_of;
use crate::backoff::Backoff;
use crate::lifecycle::{Failure, Shutdown};

/// Timeout of a connect. The caller of [`Migrations::apply`] tries again after it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeouts of the session that migrates. A statement may take long: it builds an index.
///
/// A lock is waited for in short tries, because every write of the table waits behind a migration that
/// waits for a long query. A try is shorter than the ingress lets a change wait (5 s), and longer than
/// Postgres takes to end a vacuum that is in the way (`deadlock_timeout`, 1 s).
const MIGRATION_TIMEOUTS: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "2s")];

/// Introduces the minimum version in the comment of the migrations table.
const MINIMUM_VERSION: &str = "minimum_version=";

/// Introduces the first release with that version, for a person.
const RELEASE: &str = "release=";

/// What is done about migrations that are not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingMigrations {
    /// This process applies them.
    Apply,
    /// This process waits until another one has applied them.
    Await,
}

/// The migrations of a service, as far as this version knows them.
///
/// They are listed because `sqlx::migrate!` costs more than it saves: sqlx's macros compile a second
/// Postgres client, for the build alone.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// The table that records which ones were applied. Each service has one of its own, so that several
    /// services may share a database.
    pub table: &'static str,
    /// Each is a version, a name and its SQL.
    pub known: &'static [(i64, &'static str, &'static str)],
}

fn migrator(table: &'static str, migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        let sql = sql.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
    migrator.dangerous_set_table_name(table);
    migrator
}

/// Why the schema could not be brought up to date.
#[derive(Debug)]
pub enum MigrationError {
    /// An error of the database, which may pass or can be repaired.
    Database(Error),
    /// This version cannot work with the schema.
    Incompatible(String),
    /// These migrations are not applied, and are not to be applied by this process.
    NotApplied(Vec<i64>),
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => f.write_str(&message_of(error)),
            Self::Incompatible(why) => f.write_str(why),
            Self::NotApplied(missing) => write!(
                f,
                "migrations that this version needs are not applied: {}; apply them with its migrate \
                 command",
                list(missing)
            ),
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

/// The migrations that were applied to a database, and the oldest version that its schema allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Numbers and checksums, in order.
    migrations: Vec<(i64, Vec<u8>)>,
    /// The number of the newest migration that a version has to know.
    minimum: i64,
    /// The first release that knows it, if the comment says so.
    release: Option<String>,
}

impl Applied {
    /// Reads `table` and its comment, for which the right to read the table is enough.
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
        let statement =
            format!("SELECT version, checksum FROM {table} WHERE success ORDER BY version");
        let migrations = sqlx::query_as(AssertSqlSafe(statement))
            .fetch_all(connection)
            .await?;
        Ok(Self {
            migrations,
            minimum: comment.as_deref().map_or(0, minimum_in),
            release: comment.as_deref().and_then(release_in),
        })
    }

    /// Returns the numbers of the migrations in `migrator` that were not applied.
    pub fn missing(&self, migrator: &Migrator) -> Vec<i64> {
        let known = migrator.iter().map(|migration| migration.version);
        known.filter(|known| !self.has(*known)).collect()
    }

    /// Returns the numbers of the applied migrations that are newer than all in `migrator`.
    pub fn newer(&self, migrator: &Migrator) -> Vec<i64> {
        let newest = newest(migrator);
        let numbers = self.migrations.iter().map(|(number, _)| *number);
        numbers.filter(|number| *number > newest).collect()
    }

    /// Checks that a version with the migrations in `migrator` can work with this schema, once the
    /// missing ones are applied.
    ///
    /// # Errors
    /// Why not, as a message.
    pub fn check(&self, migrator: &Migrator) -> Result<(), String> {
        let newest = newest(migrator);
        if newest < self.minimum {
            let release = self.release.as_deref();
            let release = release.map_or_else(String::new, |release| {
                format!(" (release {release} or newer)")
            });
            return Err(format!(
                "its schema needs a version that knows migration {}{release}; this one knows \
                 migrations up to {newest}",
                self.minimum
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
                        "migration {number} was applied, and this version does not have it although it \
                         has newer ones"
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

/// Returns the minimum version in a comment. One that cannot be read forbids every version: a guess
/// could lose data.
fn minimum_in(comment: &str) -> i64 {
    let Some((_, rest)) = comment.split_once(MINIMUM_VERSION) else {
        return 0;
    };
    let digits = rest
        .find(|character: char| !character.is_ascii_digit())
        .map_or(rest, |end| rest.get(..end).unwrap_or_default());
    digits.parse().unwrap_or(i64::MAX)
}

/// Returns the release in a comment.
fn release_in(comment: &str) -> Option<String> {
    let (_, rest) = comment.split_once(RELEASE)?;
    let end = rest
        .find(|character: char| !(character.is_ascii_alphanumeric() || "._-+".contains(character)));
    let release = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches('.');
    (!release.is_empty()).then(|| release.to_owned())
}

/// Returns the numbers of migrations for a sentence: `2, 3`.
pub(crate) fn list(numbers: &[i64]) -> String {
    let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    words.join(", ")
}

impl Migrations {
    /// Returns the migrations as sqlx applies them.
    #[must_use]
    pub fn migrator(self) -> Migrator {
        migrator(self.table, self.known)
    }

    /// Brings the schema up to date, and returns which migrations were missing before.
    ///
    /// Where nothing is missing, the right to read the table is enough. The migrator is not called then:
    /// it begins with a `CREATE TABLE IF NOT EXISTS`, which needs the right to create even if the table
    /// exists.
    ///
    /// # Errors
    /// See [`MigrationError`].
    pub async fn apply(self, database: &Database) -> Result<Vec<i64>, MigrationError> {
        self.bring_up_to_date(database, MissingMigrations::Apply)
            .await
    }

    async fn bring_up_to_date(
        self,
        database: &Database,
        missing_migrations: MissingMigrations,
    ) -> Result<Vec<i64>, MigrationError> {
        // Nothing works in shared sessions, and the migrator's lock would protect nothing.
        database.prove_own_sessions(CONNECT_TIMEOUT).await?;
        let database = database.clone().with(MIGRATION_TIMEOUTS);
        let mut connection = database.connect(CONNECT_TIMEOUT).await?;
        let applied = Applied::read(&mut connection, self.table).await?;
        connection.close().await?;
        let mut migrator = self.migrator();
        applied
            .check(&migrator)
            .map_err(MigrationError::Incompatible)?;
        let missing = applied.missing(&migrator);
        if missing.is_empty() {
            return Ok(missing);
        }
        if missing_migrations == MissingMigrations::Await {
            return Err(MigrationError::NotApplied(missing));
        }
        migrator.set_ignore_missing(true);
        let one = PgPoolOptions::new().max_connections(1);
        let pool = database.pool(one.acquire_timeout(CONNECT_TIMEOUT));
        let done = migrator.run(&pool).await;
        pool.close().await;
        done?;
        Ok(missing)
    }

    /// Brings the schema up to date as [`apply`](Self::apply) does, or waits until somebody else has, as
    /// `missing` says. Tries again while the database is unavailable or refuses it. `waiting` gets each
    /// error. Returns false when a shutdown was requested before.
    ///
    /// # Errors
    /// Exit code 1 for a schema that this version cannot work with.
    pub async fn apply_when_possible(
        self,
        database: &Database,
        missing: MissingMigrations,
        mut waiting: impl FnMut(&MigrationError),
        shutdown: &Shutdown,
    ) -> Result<bool, Failure> {
        let mut backoff = Backoff::outside();
        loop {
            let tried = tokio::select! {
                tried = self.bring_up_to_date(database, missing) => tried,
                () = shutdown.requested() => return Ok(false),
            };
            match tried {
                Ok(_) => return Ok(true),
                Err(MigrationError::Incompatible(why)) => return Err(incompatible(&why)),
                Err(error) => waiting(&error),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_pause()) => {}
                () = shutdown.requested() => return Ok(false),
            }
        }
    }
}

/// Returns the failure of a version that cannot work with the schema.
pub(super) fn incompatible(why: &str) -> Failure {
    Failure::failed(format!(
        "this version cannot work with the database: {why}; run the version that created its tables, \
         or a newer one"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrator(versions: &[i64]) -> Migrator {
        let migrations: Vec<_> = versions.iter().map(|&one| (one, "a", "SELECT 1")).collect();
        super::migrator("migrations", &migrations)
    }

    fn applied(numbers: &[i64], comment: &str) -> Applied {
        let migrations = migrator(numbers);
        let migrations = migrations.iter();
        Applied {
            migrations: migrations
                .map(|one| (one.version, one.checksum.to_vec()))
                .collect(),
            minimum: minimum_in(comment),
            release: release_in(comment),
        }
    }

    #[test]
    fn a_newer_schema_is_accepted_by_versions_from_its_minimum_on() {
        let mine = migrator(&[1, 2]);
        assert_eq!(applied(&[1, 2, 3, 4], "").check(&mine), Ok(()));
        assert_eq!(applied(&[1, 2, 3, 4], "").newer(&mine), [3, 4]);
        let comment = |least: i64| format!("By the service. minimum_version={least}; see ADR");
        assert_eq!(applied(&[1, 2, 3], &comment(2)).check(&mine), Ok(()));
        let refused = applied(&[1, 2, 3], &comment(3)).check(&mine).unwrap_err();
        assert!(refused.contains("knows migration 3"), "{refused}");
        assert!(!refused.contains("release"), "{refused}");
        let with_release = "minimum_version=3 release=0.3.0.";
        let refused = applied(&[1, 2, 3], with_release).check(&mine).unwrap_err();
        let knows = "knows migration 3 (release 0.3.0 or newer)";
        assert!(refused.contains(knows), "{refused}");
        assert!(applied(&[1], "minimum_version=x").check(&mine).is_err());
    }

    #[test]
    fn a_release_in_a_comment_is_a_word_or_none() {
        for (comment, release) in [
            ("minimum_version=3 release=0.3.0", Some("0.3.0")),
            ("release=1.0.0-rc.1; see the changelog", Some("1.0.0-rc.1")),
            ("minimum_version=3", None),
            ("release= ", None),
        ] {
            assert_eq!(release_in(comment).as_deref(), release, "{comment}");
        }
    }

    #[test]
    fn a_migration_that_is_unknown_or_was_changed_is_an_error() {
        let mine = migrator(&[1, 3]);
        assert_eq!(applied(&[1], "").missing(&mine), [3]);
        assert_eq!(applied(&[1], "").check(&mine), Ok(()));
        let unknown = applied(&[1, 2, 3], "").check(&mine).unwrap_err();
        assert!(unknown.contains("migration 2 was applied"), "{unknown}");
        let mut changed = applied(&[1, 3], "");
        changed.migrations[0].1 = vec![0];
        let changed = changed.check(&mine).unwrap_err();
        assert!(changed.contains("migration 1 was changed"), "{changed}");
    }
}
