//! The relay hears of new events: the one of this process at once, those of other instances by a
//! NOTIFY of its own. Within the order's transaction it would take a lock of the whole database
//! at every commit.

use std::sync::Arc;
use std::time::Duration;

use runtime::lifecycle::{Failure, Shutdown};
use sqlx::PgPool;
use tokio::sync::Notify;

/// At most one NOTIFY in this time.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Cheap to clone; every clone wakes the same relay.
#[derive(Debug, Clone, Default)]
pub struct Wakeup {
    relay: Arc<Notify>,
    others: Arc<Notify>,
}

impl Wakeup {
    /// What this process's relay waits on. One that is not waiting finds the permit later.
    pub fn relay(&self) -> Arc<Notify> {
        Arc::clone(&self.relay)
    }

    /// Events were committed.
    pub fn wake(&self) {
        self.relay.notify_one();
        self.others.notify_one();
    }

    /// Tells other instances, until shutdown. A NOTIFY that fails is not repeated: they poll too.
    ///
    /// # Errors
    /// None; the type is that of a part.
    pub async fn tell_others(self, pool: PgPool, shutdown: Shutdown) -> Result<(), Failure> {
        loop {
            tokio::select! {
                () = self.others.notified() => {}
                () = shutdown.requested() => return Ok(()),
            }
            if let Err(error) = sqlx::query("NOTIFY outbox").execute(&pool).await {
                tracing::debug!(%error, "other instances were not told of new events");
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    }
}
