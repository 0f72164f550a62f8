//! The table `idempotency_keys`: the answers to requests that carried an `Idempotency-Key`.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row};

use crate::limits::MAX_DELETED_KEYS;

/// An idempotency key, and the request that was made under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The client that sent the key. The column was named when each client had one API key (ADR 0024).
    pub api_key_id: String,
    /// The key.
    pub key: String,
    /// The digest of the request.
    pub request_hash: [u8; 32],
}

/// The stored answer to an earlier request under the same key.
#[derive(Debug)]
pub(crate) struct StoredAnswer {
    pub(crate) api_key_id: String,
    pub(crate) key: String,
    pub(crate) request_hash: Vec<u8>,
    pub(crate) status: i32,
    pub(crate) body: Vec<u8>,
}

impl FromRow<'_, PgRow> for StoredAnswer {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            api_key_id: row.try_get("api_key_id")?,
            key: row.try_get("key")?,
            request_hash: row.try_get("request_hash")?,
            status: row.try_get("status")?,
            body: row.try_get("body")?,
        })
    }
}

/// An answer to be stored.
#[derive(Debug)]
pub(crate) struct NewAnswer<'a> {
    pub(crate) claim: &'a Claim,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Returns the answers that are stored under these keys.
pub(crate) async fn find(
    connection: &mut PgConnection,
    claims: &[&Claim],
) -> sqlx::Result<Vec<StoredAnswer>> {
    let (api_key_ids, keys): (Vec<&str>, Vec<&str>) = claims
        .iter()
        .map(|claim| (claim.api_key_id.as_str(), claim.key.as_str()))
        .unzip();
    sqlx::query_as(
        "SELECT i.api_key_id, i.key, i.request_hash, i.status, i.body
         FROM idempotency_keys i
         JOIN unnest($1::text[], $2::text[]) AS wanted(api_key_id, key)
           ON i.api_key_id = wanted.api_key_id AND i.key = wanted.key",
    )
    .bind(api_key_ids)
    .bind(keys)
    .fetch_all(connection)
    .await
}

/// Stores answers and returns how many were stored. If fewer were stored than given, another
/// transaction has just used one of the keys, and this transaction must be rolled back.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    answers: &[NewAnswer<'_>],
    at: Timestamp,
) -> sqlx::Result<u64> {
    let mut api_key_ids = Vec::with_capacity(answers.len());
    let mut keys = Vec::with_capacity(answers.len());
    let mut hashes = Vec::with_capacity(answers.len());
    let mut statuses = Vec::with_capacity(answers.len());
    let mut bodies = Vec::with_capacity(answers.len());
    for answer in answers {
        api_key_ids.push(answer.claim.api_key_id.as_str());
        keys.push(answer.claim.key.as_str());
        hashes.push(answer.claim.request_hash.as_slice());
        statuses.push(i32::from(answer.status));
        bodies.push(answer.body.as_slice());
    }
    // Sorted, so that two groups with the same keys wait for each other instead of deadlocking.
    sqlx::query(
        r#"INSERT INTO idempotency_keys (api_key_id, key, request_hash, status, body, created_at)
           SELECT api_key_id, key, request_hash, status, body, $6
           FROM unnest($1::text[], $2::text[], $3::bytea[], $4::integer[], $5::bytea[])
             AS new(api_key_id, key, request_hash, status, body)
           ORDER BY api_key_id COLLATE "C", key COLLATE "C"
           ON CONFLICT (api_key_id, key) DO NOTHING"#,
    )
    .bind(api_key_ids)
    .bind(keys)
    .bind(hashes)
    .bind(statuses)
    .bind(bodies)
    .bind(DateTime::<Utc>::from(at))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// Deletes up to [`MAX_DELETED_KEYS`] keys that were created at `from` or later, and before `end`.
/// Returns how many, and when the last of them was created.
pub(crate) async fn delete_created(
    connection: &mut PgConnection,
    from: Option<DateTime<Utc>>,
    end: DateTime<Utc>,
) -> sqlx::Result<(i64, Option<DateTime<Utc>>)> {
    // The limit is a literal, because the planner would assume a tenth of the table for a parameter.
    // Safe: the only variable part is a constant.
    sqlx::query_as(AssertSqlSafe(format!(
        "WITH old AS (
             SELECT api_key_id, key, created_at FROM idempotency_keys
             WHERE created_at >= coalesce($1, '-infinity') AND created_at < $2
             ORDER BY created_at LIMIT {MAX_DELETED_KEYS}),
         gone AS (
             DELETE FROM idempotency_keys AS keys USING old
             WHERE keys.api_key_id = old.api_key_id AND keys.key = old.key)
         SELECT count(*), max(created_at) FROM old"
    )))
    .bind(from)
    .bind(end)
    .fetch_one(connection)
    .await
}
