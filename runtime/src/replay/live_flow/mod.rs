//! A replay gives way to the live flow: its pace is what the live groups can bear (ADR 0044).
//!
//! ```text
//! GroupProgress ──offsets, ends──▶ CommitLag ──lag──▶ RateController ──work/s──▶ RecordCost ──▶ Pace
//! (asked every      (pure)         (pure, decides each     (pure, records/s)
//!  few ms)                          window of 300 ms)
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `group` | a live group: asked again and again, summed up for each window |
//! | `lag` | how far a group is behind in time, from its offsets and the ends of its logs: pure |
//! | `controller` | the rate, from how far the groups are held up: pure |
//! | `cost` | how many records a rate allows: pure |
//! | `watcher` | the thread that does this beside the replay |

mod controller;
mod cost;
mod group;
mod lag;
mod watcher;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::watcher::Watcher;
use super::{GivingWay, Pace};
use crate::kafka::KafkaSettings;
use crate::lifecycle::{Failure, Shutdown, blocking};
use crate::progress::Limit;

/// A consumer group of the live flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGroup {
    /// The group.
    pub group: String,
    /// The topic that it reads.
    pub topic: String,
}

/// The live flow beside a replay.
#[derive(Debug, Clone)]
pub struct Beside {
    /// How to connect to Kafka.
    pub kafka: KafkaSettings,
    /// The groups that the replay gives way to.
    pub groups: Vec<LiveGroup>,
}

/// Watches the live flow and sets the pace of a replay, until it is dropped.
pub(super) struct LiveFlow {
    state: LiveFlowState,
    stop: Arc<AtomicBool>,
}

impl LiveFlow {
    /// Measures how far the groups are behind without the replay, for two seconds at most, and then
    /// sets `pace` beside the replay. A group that cannot be watched, or that has no members, does not
    /// limit it. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Exit code 1 when the thread panics.
    pub(super) async fn watch(
        beside: &Beside,
        pace: &Arc<Pace>,
        shutdown: &Shutdown,
    ) -> Result<Self, Failure> {
        let (beside, pace, shutdown) = (beside.clone(), Arc::clone(pace), shutdown.clone());
        let state = LiveFlowState::default();
        let watched = state.clone();
        let watcher = blocking("backfill", move || {
            let mut watcher = Watcher::open(&beside, pace, watched);
            watcher.measure_alone(&shutdown);
            Ok(watcher)
        })
        .await?;
        let stop = Arc::<AtomicBool>::default();
        if watcher.has_groups() {
            let stop = Arc::clone(&stop);
            tokio::task::spawn_blocking(move || watcher.run(&stop));
        }
        Ok(Self { state, stop })
    }

    /// Returns what the watcher knows, now and later.
    pub(super) const fn state(&self) -> &LiveFlowState {
        &self.state
    }
}

impl Drop for LiveFlow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What is known about the live flow, and how the replay gave way to it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveFlowState(Arc<Mutex<GivingWay>>);

impl LiveFlowState {
    /// Returns what is known now.
    pub(super) fn get(&self) -> GivingWay {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Returns what limits the replay now.
    pub(super) fn limit(&self) -> Option<Limit> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.limit()
    }

    fn update(&self, change: impl FnOnce(&mut GivingWay)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
