//! How many events wait in the table `outbox` to be published, and since when.

use schemas::Timestamp;
use sqlx::{Connection, PgConnection};

use crate::database::timestamp;
use crate::limits::MAX_COUNTED_EVENTS;

/// Like the relay's reads, these statements begin at the low-water mark and use the index, so that they
/// don't scan deleted rows that vacuum may not remove yet.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off";
const COUNT: &str = "SELECT count(*) FROM \
     (SELECT FROM outbox WHERE id >= $1 ORDER BY id LIMIT $2) AS bounded";
const SPAN: &str = "SELECT coalesce(max(id) - min(id) + 1, 0) FROM outbox WHERE id >= $1";
const FIRST: &str = "SELECT occurred_at FROM outbox WHERE id >= $1 ORDER BY id LIMIT 1";

/// The events that wait to be published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// The number of events; an upper bound if there are many.
    pub(crate) rows: i64,
    /// When the change of the first one was made; `None` when no event waits, or when its time cannot
    /// be read.
    pub(crate) since: Option<Timestamp>,
}

/// Returns the events that wait. None of them may have an id below `from`.
///
/// A few events are counted. For many events, the range of their ids is returned, which is an upper
/// bound because ids have gaps; they are counted only when that bound reaches `limit`. So a long
/// backlog is read only when the result depends on it.
///
/// # Errors
/// The database's.
pub(crate) async fn backlog(
    connection: &mut PgConnection,
    from: i64,
    limit: i64,
) -> sqlx::Result<Backlog> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let rows = rows(&mut transaction, from, limit).await?;
    let since = if rows == 0 {
        None
    } else {
        first(&mut transaction, from).await?
    };
    transaction.commit().await?;
    Ok(Backlog { rows, since })
}

async fn rows(connection: &mut PgConnection, from: i64, limit: i64) -> sqlx::Result<i64> {
    let most = MAX_COUNTED_EVENTS.min(limit);
    let counted = count(connection, from, most).await?;
    if counted < most || most == limit {
        return Ok(counted);
    }
    let span: i64 = sqlx::query_scalar(SPAN)
        .bind(from)
        .fetch_one(&mut *connection)
        .await?;
    if span < limit {
        Ok(span)
    } else {
        count(connection, from, limit).await
    }
}

/// Returns when the change of the first event was made. Ignores a row that cannot be read, because the
/// relay reports it.
async fn first(connection: &mut PgConnection, from: i64) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query(FIRST)
        .bind(from)
        .fetch_optional(connection)
        .await?;
    Ok(row.and_then(|row| timestamp(&row, 0).ok().flatten()))
}

async fn count(connection: &mut PgConnection, from: i64, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(COUNT)
        .bind(from)
        .bind(most)
        .fetch_one(connection)
        .await
}
