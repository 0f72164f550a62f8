//! How many events wait in the table `outbox` to be published.

use sqlx::{Connection, PgConnection};

use crate::limits::MAX_COUNTED_EVENTS;

/// Like the relay's reads, these begin at its low-water mark and use the index, so that they don't visit
/// rows that were deleted and that vacuum may not remove yet.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off";
const COUNT: &str = "SELECT count(*) FROM \
     (SELECT FROM outbox WHERE id >= $1 ORDER BY id LIMIT $2) AS bounded";
const SPAN: &str = "SELECT coalesce(max(id) - min(id) + 1, 0) FROM outbox WHERE id >= $1";

/// Returns how many events wait, none of which has an id below `from`.
///
/// Few events are counted. Of many the span of their ids is returned, which is an upper bound, because
/// ids have gaps; they are counted only when that bound reaches `limit`. So a long backlog is read only
/// when the answer depends on it.
///
/// # Errors
/// The database's.
pub(crate) async fn backlog(
    connection: &mut PgConnection,
    from: i64,
    limit: i64,
) -> sqlx::Result<i64> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let most = MAX_COUNTED_EVENTS.min(limit);
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
