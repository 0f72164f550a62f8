//! Wakes relays when there are new events: the relay of this process at once, those of other instances
//! by a NOTIFY in a transaction of its own. A NOTIFY within the order's transaction would take a
//! database-wide lock at every commit.

use std::sync::Arc;
use std::time::Instant;

use runtime::lifecycle::{Failure, Shutdown};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::limits::{LOW_WATER_PERIOD, LOW_WATER_REPEAT, NOTIFY_PAUSE};
use crate::relay::{CHANNEL, SharedLowWater};

/// Wakes the relays. Cheap to clone; every clone wakes the same relay.
#[derive(Debug, Clone, Default)]
pub struct Wakeup {
    relay: Arc<Notify>,
    others: Arc<Notify>,
}

impl Wakeup {
    /// Returns what the relay of this process waits on. A relay that is not waiting finds the permit
    /// when it waits next.
    pub fn relay(&self) -> Arc<Notify> {
        Arc::clone(&self.relay)
    }

    /// Wakes all relays: events were committed.
    pub fn wake(&self) {
        self.relay.notify_one();
        self.others.notify_one();
    }

    /// Notifies other instances until shutdown: of new events, and of the low-water mark while the
    /// relay of this instance publishes. A NOTIFY that fails is not repeated: the others poll too.
    ///
    /// # Errors
    /// None; the supervisor expects this type.
    pub async fn notify_others(
        self,
        pool: PgPool,
        low_water: SharedLowWater,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let mut last_sent: Option<(i64, Instant)> = None;
        let mut low_water_due = tokio::time::interval(LOW_WATER_PERIOD);
        low_water_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                () = self.others.notified() => String::new(),
                _ = low_water_due.tick() => {
                    let is_known = |mark: i64| {
                        last_sent
                            .is_some_and(|(last, at)| last == mark && at.elapsed() < LOW_WATER_REPEAT)
                    };
                    let Some(mark) = low_water.to_send().filter(|mark| !is_known(*mark)) else {
                        continue;
                    };
                    last_sent = Some((mark, Instant::now()));
                    mark.to_string()
                }
                () = shutdown.requested() => return Ok(()),
            };
            let notify = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(message);
            if let Err(error) = notify.execute(&pool).await {
                tracing::debug!(%error, "cannot notify other instances of new events");
            }
            tokio::time::sleep(NOTIFY_PAUSE).await;
        }
    }
}
