//! How Postgres is reached, and what its errors ask for.

mod fault;

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use runtime::lifecycle::Failure;
use runtime::settings::Secret;

pub use fault::{Fault, fault_of};

/// A statement that takes longer is given up by the server.
const STATEMENT_TIMEOUT: &str = "5s";
/// A row or a table that stays locked longer is given up.
const LOCK_TIMEOUT: &str = "4s";
/// A connection that vanished within a transaction keeps its locks this long.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// An answer of 503 is better than a client that hangs.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// The server notices a vanished client within about half a minute instead of two hours.
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What this service calls its migrations table, so that the sink's may live beside it.
const MIGRATIONS_TABLE: &str = "producer_migrations";

/// The connect options of all our connections.
///
/// # Errors
/// Exit code 2 for a URL that is none. The URL itself is not shown: it holds a password.
pub fn connect_options(url: &Secret) -> Result<PgConnectOptions, Failure> {
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
        .application_name("producer")
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            (
                "idle_in_transaction_session_timeout",
                IDLE_IN_TRANSACTION_TIMEOUT,
            ),
        ])
        .options(KEEPALIVES))
}

/// The pool of the reading routes and of the small periodic work. Connects when first asked.
pub fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}

/// Brings the schema up to date.
///
/// # Errors
/// The database's, or a migration that was changed after it ran.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), MigrateError> {
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    // A migration may take longer than a request: waiting for another instance's, or an index.
    let patient = options
        .clone()
        .options([("statement_timeout", "0"), ("lock_timeout", "60s")]);
    let pool = pool(patient, 1);
    let done = migrator.run(&pool).await;
    pool.close().await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_a_bad_setting_that_does_not_show_it() {
        for url in [
            "",
            "localhost",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:x/d",
        ] {
            let failure = connect_options(&Secret::new(url)).unwrap_err().to_string();
            assert!(failure.contains("DATABASE_URL: write"), "{failure}");
            assert!(!failure.contains("hunter2"), "{failure}");
        }
        assert!(connect_options(&Secret::new("postgres://u:p@localhost:1/d")).is_ok());
    }
}
