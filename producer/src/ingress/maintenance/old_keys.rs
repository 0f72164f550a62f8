//! Deletes idempotency keys that are older than their retention.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::limits::{IDEMPOTENCY_KEY_RETENTION, IDEMPOTENCY_KEY_SLACK, MAX_DELETED_KEYS};
use crate::store::idempotency_keys;

/// How far old keys are deleted. Each statement begins where the last one ended, so that it does not
/// scan deleted keys that vacuum has not removed from the index yet.
#[derive(Debug, Default)]
pub(super) struct OldKeys {
    /// No remaining key was created before this time.
    from: Option<DateTime<Utc>>,
}

impl OldKeys {
    /// Deletes some old keys. Returns whether there are no more.
    ///
    /// # Errors
    /// The database's; the rest is deleted the next time.
    pub(super) async fn delete_some(
        &mut self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<bool> {
        let end = Utc::now() - IDEMPOTENCY_KEY_RETENTION;
        let (count, last) = idempotency_keys::delete_created(connection, self.from, end).await?;
        let are_all_deleted = count < MAX_DELETED_KEYS;
        self.from = if are_all_deleted {
            Some(end - IDEMPOTENCY_KEY_SLACK)
        } else {
            last.or(self.from)
        };
        Ok(are_all_deleted)
    }
}
