//! How Postgres is reached.

use std::sync::Arc;
use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::postgres::{self, Timeouts};
use runtime::settings::Secret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Error, PgConnection};

/// A batch is one statement; a full disk or a lock may make it wait.
const TIMEOUTS: Timeouts = Timeouts {
    statement: "30s",
    lock: "10s",
};
/// A server that does not even answer a connect is asked again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connect options of all our connections.
///
/// # Errors
/// As [`postgres::connect_options`].
pub fn connect_options(url: &Secret) -> Result<PgConnectOptions, Failure> {
    Ok(postgres::connect_options(url, "sink", TIMEOUTS)?.options([
        // Compiling a statement costs more than running it for a batch.
        ("jit", "off"),
        // Every row is found by its key. A plan that was made and kept while the table was empty
        // would scan the whole of it for each row.
        ("enable_seqscan", "off"),
    ]))
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
            postgres::make_durable(&mut connection).await?;
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
