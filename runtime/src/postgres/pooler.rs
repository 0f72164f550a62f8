//! Whether a pooler shares the server's sessions between clients (PgBouncer's transaction and statement
//! modes).

use std::collections::BTreeSet;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Error, PgConnection, Row};

/// Rounds of the check. Under load a pooler may happen to give the same processes in one round.
const ROUNDS: usize = 5;

const BACKEND_PID: &str = "SELECT pg_backend_pid()";

/// Returns whether the connections of two clients share server processes. They are asked in turn; while
/// one of them has a transaction open, a pooler has to give the other another process.
///
/// Uses the simple protocol, since prepared statements do not work through such a pooler, and leaves
/// nothing behind in the sessions.
pub(super) async fn shares_sessions(server: &PgConnectOptions) -> Result<bool, Error> {
    let mut first = server.connect().await?;
    let mut second = server.connect().await?;
    let mut first_pids = BTreeSet::new();
    let mut second_pids = BTreeSet::new();
    for _ in 0..ROUNDS {
        first_pids.insert(backend_pid(&mut first).await?);
        sqlx::raw_sql("BEGIN").execute(&mut second).await?;
        second_pids.insert(backend_pid(&mut second).await?);
        first_pids.insert(backend_pid(&mut first).await?);
        sqlx::raw_sql("COMMIT").execute(&mut second).await?;
    }
    let _ = tokio::join!(first.close(), second.close());
    Ok(first_pids.len() > 1 || second_pids.len() > 1 || first_pids == second_pids)
}

async fn backend_pid(connection: &mut PgConnection) -> Result<i32, Error> {
    sqlx::raw_sql(BACKEND_PID)
        .fetch_one(connection)
        .await?
        .try_get(0)
}
