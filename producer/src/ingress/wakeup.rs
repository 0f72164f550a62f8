//! The relay hears of new events: the one of this process at once, those of other instances by a
//! NOTIFY of its own. Within the order's transaction it would take a lock of the whole database
//! at every commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::lifecycle::{Failure, Shutdown};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::relay::{CHANNEL, SharedLowWater};

/// At most one NOTIFY in this time.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// How often other instances are told where the outbox begins...
const TELL_LOW_WATER: Duration = Duration::from_secs(2);

/// ...and how often when it begins where it did: an instance may have started meanwhile.
const TELL_AGAIN: Duration = Duration::from_secs(60);

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

    /// Tells other instances, until shutdown: of new events, and where the outbox begins if this
    /// instance's relay knows. A NOTIFY that fails is not repeated: they poll too.
    ///
    /// # Errors
    /// None; the type is that of a part.
    pub async fn tell_others(
        self,
        pool: PgPool,
        low_water: SharedLowWater,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let mut told: Option<(i64, Instant)> = None;
        let mut time_to_tell = tokio::time::interval(TELL_LOW_WATER);
        time_to_tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                () = self.others.notified() => String::new(),
                _ = time_to_tell.tick() => {
                    let is_known = |mark: i64| {
                        told.is_some_and(|(last, at)| last == mark && at.elapsed() < TELL_AGAIN)
                    };
                    let Some(mark) = low_water.to_tell().filter(|mark| !is_known(*mark)) else {
                        continue;
                    };
                    told = Some((mark, Instant::now()));
                    mark.to_string()
                }
                () = shutdown.requested() => return Ok(()),
            };
            let notify = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(message);
            if let Err(error) = notify.execute(&pool).await {
                tracing::debug!(%error, "other instances were not told of new events");
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    }
}
