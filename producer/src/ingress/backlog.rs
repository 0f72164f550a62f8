//! How many events wait to be published.

use sqlx::{Connection, PgConnection};

/// Up to here the backlog is counted; beyond it is estimated by the span of its ids.
const COUNTED: i64 = 10_000;

/// As the relay's reads, these begin at its low-water mark and use the index, so that they don't walk
/// rows that were deleted and that vacuum may not remove yet.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off";
const COUNT: &str = "SELECT count(*) FROM \
     (SELECT FROM outbox WHERE id >= $1 ORDER BY id LIMIT $2) AS bounded";
const SPAN: &str = "SELECT coalesce(max(id) - min(id) + 1, 0) FROM outbox WHERE id >= $1";

/// How many events wait: counted when few, an upper bound when many (ids have gaps), counted again
/// when the upper bound reaches `limit`. So no measurement reads a long backlog unless the answer
/// hangs on it. No row has an id below `from`.
///
/// # Errors
/// The database's.
pub(super) async fn backlog(
    connection: &mut PgConnection,
    from: i64,
    limit: i64,
) -> sqlx::Result<i64> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let most = COUNTED.min(limit);
    let counted = count(&mut transaction, from, most).await?;
    if counted < most || most == limit {
        transaction.commit().await?;
        return Ok(counted);
    }
    let span: i64 = sqlx::query_scalar(SPAN)
        .bind(from)
        .fetch_one(&mut *transaction)
        .await?;
    let rows = if span < limit {
        span
    } else {
        count(&mut transaction, from, limit).await?
    };
    transaction.commit().await?;
    Ok(rows)
}

async fn count(connection: &mut PgConnection, from: i64, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(COUNT)
        .bind(from)
        .bind(most)
        .fetch_one(connection)
        .await
}
