//! Whether a pooler stands between, and gives each transaction another session of the server
//! (PgBouncer's transaction and statement modes).

use std::collections::BTreeSet;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Error, PgConnection, Row};

/// Rounds of questions. Under load one round may happen to look like sessions of our own.
const ROUNDS: usize = 5;

const BACKEND: &str = "SELECT pg_backend_pid()";

/// Returns whether two connections, asked in turn, are not served by one server process each.
/// While one has a transaction open, the pooler must give the other another process.
///
/// Prepared statements don't work there, so only the simple protocol is used; and nothing is left
/// in the sessions.
pub(super) async fn shares_sessions(server: &PgConnectOptions) -> Result<bool, Error> {
    let mut one = server.connect().await?;
    let mut other = server.connect().await?;
    let mut of_one = BTreeSet::new();
    let mut of_other = BTreeSet::new();
    for _ in 0..ROUNDS {
        of_one.insert(backend(&mut one).await?);
        sqlx::raw_sql("BEGIN").execute(&mut other).await?;
        of_other.insert(backend(&mut other).await?);
        of_one.insert(backend(&mut one).await?);
        sqlx::raw_sql("COMMIT").execute(&mut other).await?;
    }
    let _ = tokio::join!(one.close(), other.close());
    Ok(of_one.len() > 1 || of_other.len() > 1 || of_one == of_other)
}

async fn backend(connection: &mut PgConnection) -> Result<i32, Error> {
    sqlx::raw_sql(BACKEND)
        .fetch_one(connection)
        .await?
        .try_get(0)
}
