//! The one way to reach Postgres. TLS as the URL's `sslmode` says.

use std::str::FromStr;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::lifecycle::Failure;
use crate::settings::Secret;

/// A connection that vanished within a transaction keeps its locks this long.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";

/// The server notices a vanished client within about half a minute instead of two hours.
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What the server gives up by itself; with units, as Postgres reads them.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A statement that takes longer.
    pub statement: &'static str,
    /// Waiting longer for a row's or a table's lock.
    pub lock: &'static str,
}

/// The options of all connections of a service, which Postgres lists as `application`.
///
/// # Errors
/// Exit code 2 for a URL that is none. The URL itself is not shown: it holds a password.
pub fn connect_options(
    url: &Secret,
    application: &str,
    timeouts: Timeouts,
) -> Result<PgConnectOptions, Failure> {
    let wrong = || {
        Failure::bad_setting(
            "DATABASE_URL: write postgres://user:password@host:5432/database \
             (special characters percent-encoded)",
        )
    };
    let scheme_fits = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.reveal().starts_with(scheme));
    if !scheme_fits {
        return Err(wrong());
    }
    Ok(PgConnectOptions::from_str(url.reveal())
        .map_err(|_| wrong())?
        .application_name(application)
        .options([
            ("statement_timeout", timeouts.statement),
            ("lock_timeout", timeouts.lock),
            (
                "idle_in_transaction_session_timeout",
                IDLE_IN_TRANSACTION_TIMEOUT,
            ),
        ])
        .options(KEEPALIVES))
}

/// Brings the schema up to date, whose migrations are told in `table`.
///
/// Where it is that already, the right to read `table` is enough: the migrator itself begins with a
/// `CREATE TABLE IF NOT EXISTS`, which asks for the right to create although it exists.
///
/// # Errors
/// The database's, or a migration that was changed after it ran.
pub async fn migrate(pool: &PgPool, migrator: &Migrator, table: &str) -> Result<(), MigrateError> {
    if is_up_to_date(pool, migrator, table).await? {
        return Ok(());
    }
    migrator.run(pool).await
}

async fn is_up_to_date(pool: &PgPool, migrator: &Migrator, table: &str) -> sqlx::Result<bool> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(pool)
        .await?;
    if !exists {
        return Ok(false);
    }
    let question = format!("SELECT version, checksum FROM {table} WHERE success ORDER BY version");
    let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(question))
        .fetch_all(pool)
        .await?;
    let known = migrator
        .iter()
        .map(|migration| (migration.version, migration.checksum.to_vec()));
    Ok(known.eq(applied))
}

/// Where a database that was set to lose the last moments in a crash is told to keep ours: answers
/// are given, and offsets committed, on the strength of these rows. A stricter setting stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// From now on what this connection commits is durable once it says so.
///
/// # Errors
/// The database's.
pub async fn make_durable(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(DURABLE).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_a_bad_setting_that_does_not_show_it() {
        let timeouts = Timeouts {
            statement: "5s",
            lock: "4s",
        };
        let connect = |url| connect_options(&Secret::new(url), "test", timeouts);
        for url in [
            "",
            "localhost",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:x/d",
        ] {
            let failure = connect(url).unwrap_err().to_string();
            assert!(failure.contains("DATABASE_URL: write"), "{failure}");
            assert!(!failure.contains("hunter2"), "{failure}");
        }
        assert!(connect("postgres://u:p@localhost:1/d").is_ok());
    }
}
