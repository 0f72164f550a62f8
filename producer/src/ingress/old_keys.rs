//! Idempotency keys are kept for 24 hours.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Some at a time, so that the statement stays short. It begins where the last one ended: the keys
/// before that are deleted, and vacuum may not have removed them from the index yet.
const DELETE: &str = "WITH old AS (
         SELECT api_key_id, key, created_at FROM idempotency_keys
         WHERE created_at >= coalesce($1, '-infinity') AND created_at < $2
         ORDER BY created_at LIMIT 5000),
     gone AS (
         DELETE FROM idempotency_keys AS keys USING old
         WHERE keys.api_key_id = old.api_key_id AND keys.key = old.key)
     SELECT count(*), max(created_at) FROM old";
const MAX_DELETED_KEYS: i64 = 5_000;

/// How long keys are kept.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// A key that was committed this much later than it says, or whose instance's clock is this much
/// behind, is still found.
const SLACK: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// Deletes them.
#[derive(Debug, Default)]
pub(super) struct OldKeys {
    /// There are none before.
    from: Option<DateTime<Utc>>,
}

impl OldKeys {
    /// Deletes some of those that are old by now. Returns whether these were the last.
    ///
    /// # Errors
    /// The database's; the rest is deleted the next time.
    pub(super) async fn delete_some(
        &mut self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<bool> {
        let end = Utc::now() - KEPT;
        let (count, last): (i64, Option<DateTime<Utc>>) = sqlx::query_as(DELETE)
            .bind(self.from)
            .bind(end)
            .fetch_one(connection)
            .await?;
        let are_all_deleted = count < MAX_DELETED_KEYS;
        self.from = if are_all_deleted {
            Some(end - SLACK)
        } else {
            last.or(self.from)
        };
        Ok(are_all_deleted)
    }
}
