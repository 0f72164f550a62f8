//! How Postgres is reached.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::settings::Secret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Error, PgConnection};

/// A statement that takes longer is given up by the server.
const STATEMENT_TIMEOUT: &str = "30s";
/// A row or a table that stays locked longer is given up.
const LOCK_TIMEOUT: &str = "10s";
/// A connection that vanished within a transaction keeps its locks this long.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// A server that does not even answer a connect is asked again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The server notices a vanished client within about half a minute instead of two hours.
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Where a database that was set to lose the last moments in a crash is told to keep ours: offsets
/// are committed on the strength of these rows. A stricter setting stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// The connect options of all our connections. TLS as the URL's `sslmode` says.
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
        .application_name("sink")
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            (
                "idle_in_transaction_session_timeout",
                IDLE_IN_TRANSACTION_TIMEOUT,
            ),
            // Compiling a statement costs more than running it for a batch.
            ("jit", "off"),
        ])
        .options(KEEPALIVES))
}

/// A database that connections can be made to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    options: Arc<PgConnectOptions>,
}

impl Database {
    /// Does not connect yet.
    pub fn new(options: PgConnectOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }

    /// A connection whose commits are durable.
    ///
    /// # Errors
    /// The database's, or [`Error::Io`] when it does not answer in time.
    pub async fn connect(&self) -> Result<PgConnection, Error> {
        within(CONNECT_TIMEOUT, async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            sqlx::query(DURABLE).execute(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// One connection without limits of time, for what is not done for a batch.
    pub(super) fn patient_pool(&self) -> PgPool {
        let options = (*self.options)
            .clone()
            .options([("statement_timeout", "0"), ("lock_timeout", "60s")]);
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options)
    }
}

/// What a client waits for, bounded: a network that swallows everything tells nobody.
pub(super) async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(time, answer)
        .await
        .unwrap_or_else(|_| {
            Err(Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {time:?}"),
            )))
        })
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
