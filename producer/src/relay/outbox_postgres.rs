//! The outbox in Postgres. Kept thin, because the simulator does not cover this code.

use std::time::Duration;

use futures::TryStreamExt;
use runtime::duration::human_duration;
use runtime::postgres::{Database, message_of};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row as _};
use tokio::runtime::Handle;

use super::limits::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, FULL_READ_TIMEOUT};
use super::low_water::START;
use super::ports::{Outbox, OutboxError, Writers};
use super::row::Row;
use crate::database::timestamp;

/// The settings of the session. The server ends it when it sends nothing: a relay that is stopped
/// (SIGSTOP), or whose host or network is gone, loses its lock after 5 to 11 s. `idle_session_timeout`
/// covers the stopped relay; the next four settings cover the lost host or network, and don't apply
/// over a Unix socket.
const SESSION: [(&str, &str); 10] = [
    ("idle_session_timeout", "6s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
    ("lock_timeout", "4s"),
    // The relay's own timeouts end a statement earlier. Materializing the snapshot of a large backlog
    // takes longer than a statement of the ingress may.
    ("statement_timeout", "10min"),
    ("application_name", "producer-relay"),
    // The outbox is empty in one moment and has a million rows in the next: no plan may be reused.
    ("plan_cache_mode", "force_custom_plan"),
    // And no plan may come from old statistics: a million rows that were not analyzed yet would be
    // scanned for every batch that is deleted. All queries find their rows by id.
    ("enable_seqscan", "off"),
];

/// The first half of the lock's key ("chko"), which distinguishes it from other advisory locks. The
/// second half is the table's oid, so that each outbox has its own lock.
const LOCK_CLASS: i32 = 0x6368_6b6f;
const LOCK: &str =
    "SELECT pg_try_advisory_lock($1, 'outbox'::regclass::oid::integer), pg_backend_pid()";
/// Returns the pid of the backend that answers. Only the backend that took the lock holds it.
const CONFIRM: &str = "SELECT pg_backend_pid()";

/// Selects the columns by name, in the order of [`decode`]. A macro, because statements are literals.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, order_id, version, status, total, currency, occurred_at, sent_at, traceparent \
             FROM outbox ",
            $rest
        )
    };
}
const READ: &str = select!("WHERE id >= $1 ORDER BY id LIMIT $2");
/// Lists the transactions that have written to the outbox, or are about to: each holds this lock until
/// its rows are visible. PREPARE TRANSACTION changes the `virtualtransaction` under which a transaction
/// is listed, so while there is a prepared transaction the list does not show which writers have ended.
const WRITERS: &str = "SELECT coalesce(array_agg(virtualtransaction), '{}'), \
     coalesce(bool_or(virtualtransaction LIKE '-1/%'), false) \
     FROM pg_locks \
     WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted \
     AND relation = 'outbox'::regclass \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
/// Keeps the backlog beyond the cursor's transaction, so that no snapshot holds vacuum back.
const OPEN_BACKLOG: &str = concat!(
    "DECLARE backlog NO SCROLL CURSOR WITH HOLD FOR ",
    select!("ORDER BY order_id, id")
);
const CLOSE_BACKLOG: &str = "CLOSE backlog";
/// Deletes rows in one round trip. A lost delete causes repeated records at worst.
const DELETE: &str = "WITH setting AS (SELECT set_config('synchronous_commit', 'off', true)) \
     DELETE FROM outbox USING setting WHERE id = ANY($1)";

/// The outbox through one session of its own; blocks its thread, which must not be one of the
/// runtime's.
pub(super) struct PostgresOutbox {
    runtime: Handle,
    database: Database,
    session: Option<PgConnection>,
    /// The pid of the backend that holds the lock.
    backend: i32,
}

impl PostgresOutbox {
    /// Builds the port. Does not connect yet.
    pub(super) fn new(runtime: Handle, database: Database) -> Self {
        Self {
            runtime,
            database: database.with(SESSION),
            session: None,
            backend: 0,
        }
    }

    /// Opens the session unless there is one. The lock fences other relays, so it is only taken on a
    /// primary that accepts writes, in a session that no pooler shares.
    fn connect(&mut self) -> Result<(), OutboxError> {
        if self.session.is_some() {
            return Ok(());
        }
        let session = self.runtime.block_on(async {
            self.database.prove_own_sessions(ANSWER_TIMEOUT).await?;
            self.database.connect(ANSWER_TIMEOUT).await
        });
        self.session = Some(session.map_err(|error| OutboxError::Lost(message_of(&error)))?);
        Ok(())
    }

    /// Runs a statement. After any error other than a refusal by the server the session is dropped,
    /// because it is unknown whether it still lives on the server.
    fn call<T>(
        &mut self,
        timeout: Duration,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, OutboxError> {
        let Some(mut session) = self.session.take() else {
            return Err(OutboxError::Lost("there is no session".to_owned()));
        };
        self.runtime.block_on(async {
            match tokio::time::timeout(timeout, statement(&mut session)).await {
                Ok(Ok(answer)) => {
                    self.session = Some(session);
                    Ok(answer)
                }
                Ok(Err(error)) if is_refusal(&error) => {
                    self.session = Some(session);
                    Err(OutboxError::Refused(message_of(&error)))
                }
                Ok(Err(error)) => Err(OutboxError::Lost(message_of(&error))),
                Err(_) => Err(no_answer(timeout)),
            }
        })
    }
}

impl Outbox for PostgresOutbox {
    fn try_lock(&mut self) -> Result<bool, OutboxError> {
        self.connect()?;
        let (locked, backend) = self.call(ANSWER_TIMEOUT, async |session| {
            sqlx::query_as(LOCK)
                .bind(LOCK_CLASS)
                .fetch_one(session)
                .await
        })?;
        self.backend = backend;
        Ok(locked)
    }

    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            // The server ends a session that is not closed in time.
            let _ = self
                .runtime
                .block_on(async { tokio::time::timeout(CLOSE_TIMEOUT, session.close()).await });
        }
    }

    fn confirm(&mut self) -> Result<(), OutboxError> {
        let backend: i32 = self.call(ANSWER_TIMEOUT, async |session| {
            sqlx::query_scalar(CONFIRM).fetch_one(session).await
        })?;
        if backend != self.backend {
            self.close();
            return Err(OutboxError::Lost(
                "a pooler gave this connection another session, which does not have the lock"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn read(&mut self, from: i64, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError> {
        let timeout = if from == START {
            FULL_READ_TIMEOUT
        } else {
            ANSWER_TIMEOUT
        };
        self.call(timeout, async |session| {
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let query = sqlx::query(READ).bind(from).bind(max);
            let mut found = query.fetch(session);
            while let Some(row) = found.try_next().await? {
                rows.push(decode(&row)?);
            }
            Ok(())
        })
    }

    fn writers(&mut self) -> Result<Option<Writers>, OutboxError> {
        self.call(ANSWER_TIMEOUT, async |session| {
            let (writers, any_prepared): (Writers, bool) =
                sqlx::query_as(WRITERS).fetch_one(session).await?;
            Ok((!any_prepared).then_some(writers))
        })
    }

    fn open_backlog(&mut self) -> Result<(), OutboxError> {
        self.call(FULL_READ_TIMEOUT, async |session| {
            // Closes the cursor of an earlier attempt on this session. If there is none, Postgres
            // reports an error.
            let _ = sqlx::raw_sql(CLOSE_BACKLOG).execute(&mut *session).await;
            sqlx::raw_sql(OPEN_BACKLOG)
                .execute(session)
                .await
                .map(|_| ())
        })
    }

    fn read_backlog(&mut self, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError> {
        let fetch = format!("FETCH FORWARD {max} FROM backlog");
        self.call(ANSWER_TIMEOUT, async |session| {
            let before = rows.len();
            {
                // Safe: the only variable part is a number.
                let mut found = sqlx::query(sqlx::AssertSqlSafe(fetch)).fetch(&mut *session);
                while let Some(row) = found.try_next().await? {
                    rows.push(decode(&row)?);
                }
            }
            if rows.len() - before < max {
                sqlx::raw_sql(CLOSE_BACKLOG).execute(session).await?;
            }
            Ok(())
        })
    }

    fn delete(&mut self, ids: &[i64]) -> Result<(), OutboxError> {
        self.call(ANSWER_TIMEOUT, async |session| {
            sqlx::query(DELETE)
                .bind(ids)
                .execute(session)
                .await
                .map(|_| ())
        })
    }
}

fn no_answer(timeout: Duration) -> OutboxError {
    OutboxError::Lost(format!("no answer within {}", human_duration(timeout)))
}

/// Returns whether the session can be used after this error: the server refused a statement, or
/// returned a row that cannot be decoded. Class 57P is a server that ends sessions, 08 a broken
/// connection, 25006 a server that is no primary any more.
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            !(code.starts_with("57P") || code.starts_with("08") || code == "25006")
        }),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

/// Decodes a row. An error names the row, because it blocks all later ones.
fn decode(row: &PgRow) -> sqlx::Result<Row> {
    let id: i64 = row.try_get(0)?;
    columns(id, row).map_err(|error| {
        tracing::error!(
            row = id,
            %error,
            "outbox row {id} cannot be read; it and all later rows wait until somebody repairs it"
        );
        sqlx::Error::Decode(format!("outbox row {id}: {error}").into())
    })
}

fn columns(id: i64, row: &PgRow) -> sqlx::Result<Row> {
    fn parsed<T: std::str::FromStr>(row: &PgRow, column: usize) -> sqlx::Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        row.try_get::<&str, _>(column)?
            .parse()
            .map_err(|error: T::Err| sqlx::Error::ColumnDecode {
                index: column.to_string(),
                source: Box::new(error),
            })
    }
    Ok(Row {
        id,
        order_id: row.try_get(1)?,
        version: row.try_get(2)?,
        status: parsed(row, 3)?,
        total: row.try_get::<Decimal, _>(4)?,
        currency: parsed(row, 5)?,
        occurred_at: timestamp(row, 6)?
            .ok_or_else(|| sqlx::Error::Decode("occurred_at is null".into()))?,
        sent_at: timestamp(row, 7)?,
        traceparent: row.try_get(8)?,
    })
}
