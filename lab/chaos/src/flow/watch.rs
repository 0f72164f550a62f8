//! Watches each eligible order from its acknowledgement to its row, and the cluster meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::system::TestSystem;
use sqlx::Row;

use super::probe::Probe;
use super::{Flow, MAX_GAP, Round, Wait, available, judge_flow};

const POLL_INTERVAL: Duration = Duration::from_millis(500);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// What was observed so far.
#[derive(Debug)]
pub(crate) struct Watch {
    begun: Instant,
    /// When each order without a row was acknowledged.
    waiting: Mutex<BTreeMap<String, Duration>>,
    done: Mutex<Vec<Wait>>,
    rounds: Mutex<Vec<Round>>,
}

impl Watch {
    /// Starts a watch whose times are counted from `begun`.
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            waiting: Mutex::default(),
            done: Mutex::default(),
            rounds: Mutex::default(),
        }
    }

    /// Expects the row of an eligible order, which was just acknowledged.
    pub(crate) fn expect(&self, order_id: &str) {
        let now = self.begun.elapsed();
        locked(&self.waiting)
            .entry(order_id.to_owned())
            .or_insert(now);
    }

    /// Polls for rows, for ever; calls `say` when an order has waited too long.
    pub(crate) async fn rows(&self, system: &TestSystem, say: impl Fn(&str)) -> Result<()> {
        let mut is_late = false;
        loop {
            self.poll(system).await?;
            let late = self.late();
            match &late {
                Some(order_id) if !is_late => say(&format!(
                    "the flow has stopped: {order_id} has no row after {} s in which the cluster was available",
                    MAX_GAP.as_secs()
                )),
                None if is_late => say("the flow has resumed"),
                _ => {}
            }
            is_late = late.is_some();
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Probes the cluster, for ever; calls `say` when its availability changes.
    pub(crate) async fn cluster(&self, probe: &Probe, say: impl Fn(&str)) -> Result<()> {
        let mut was_available = true;
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let begun = self.begun.elapsed();
            let answer = probe.round().await;
            let acknowledged = answer.is_ok();
            locked(&self.rounds).push(Round {
                begun,
                ended: self.begun.elapsed(),
                acknowledged,
            });
            match answer {
                Err(error) if was_available => {
                    say(&format!("the cluster is not available: {error:#}"))
                }
                Ok(()) if !was_available => say("the cluster is available again"),
                _ => {}
            }
            was_available = acknowledged;
        }
    }

    /// Judges the flow up to now.
    pub(crate) fn flow(&self) -> Flow {
        let now = self.begun.elapsed();
        let mut waits = locked(&self.done).clone();
        waits.extend(locked(&self.waiting).iter().map(|(order_id, at)| Wait {
            order_id: order_id.clone(),
            acknowledged: *at,
            until: now,
        }));
        judge_flow(&waits, &locked(&self.rounds))
    }

    async fn poll(&self, system: &TestSystem) -> Result<()> {
        let asked: Vec<String> = locked(&self.waiting).keys().cloned().collect();
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query("select order_id from vouchers where order_id = any($1)")
            .bind(asked)
            .fetch_all(system.vouchers_database())
            .await?;
        let now = self.begun.elapsed();
        for row in rows {
            let order_id: String = row.try_get("order_id")?;
            if let Some(acknowledged) = locked(&self.waiting).remove(&order_id) {
                locked(&self.done).push(Wait {
                    order_id,
                    acknowledged,
                    until: now,
                });
            }
        }
        Ok(())
    }

    /// Returns an order that has waited too long.
    fn late(&self) -> Option<String> {
        let waiting = locked(&self.waiting);
        let (order_id, acknowledged) = waiting.iter().min_by_key(|(_, at)| **at)?;
        let waited = available(&locked(&self.rounds), *acknowledged, self.begun.elapsed());
        (waited > MAX_GAP).then(|| order_id.clone())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
