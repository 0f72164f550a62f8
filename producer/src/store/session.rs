//! The settings of the writers' sessions and transactions.

use runtime::postgres::Database;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};

use crate::limits::{
    CAREFUL_LOCK_TIMEOUT, CAREFUL_STATEMENT_TIMEOUT, WRITER_LOCK_TIMEOUT, WRITER_STATEMENT_TIMEOUT,
};

/// A writer finds every row by its key. A plan that was cached while the tables were small or not
/// analyzed yet would continue to scan them. Disabling such plans raises their estimated cost, which
/// must not trigger the JIT compiler.
const WRITER: [(&str, &str); 6] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("lock_timeout", WRITER_LOCK_TIMEOUT),
    ("statement_timeout", WRITER_STATEMENT_TIMEOUT),
];

/// Returns the same database with the settings of a writer in its sessions.
pub(crate) fn for_writers(database: Database) -> Database {
    database.with(WRITER)
}

/// Begins a transaction in which neither a lock nor a slow row takes long.
pub(crate) async fn begin_careful(
    connection: &mut PgConnection,
) -> sqlx::Result<Transaction<'_, Postgres>> {
    // Safe: the only variable parts are constants.
    let begin = AssertSqlSafe(format!(
        "BEGIN; SET LOCAL lock_timeout = '{CAREFUL_LOCK_TIMEOUT}'; \
         SET LOCAL statement_timeout = '{CAREFUL_STATEMENT_TIMEOUT}'"
    ));
    connection.begin_with(begin).await
}

/// Locks the tables as a writer does; fails when another session has locked one against writers.
pub(crate) async fn lock_tables(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("LOCK TABLE orders, outbox, idempotency_keys IN ROW EXCLUSIVE MODE")
        .execute(connection)
        .await
        .map(|_| ())
}
