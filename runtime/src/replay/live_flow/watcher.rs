//! Watches the live groups beside a replay, and sets its pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::controller::{Decision, RateController, WINDOW};
use super::cost::RecordCost;
use super::group::{WatchedGroup, unwatched};
use super::{Beside, LiveFlowState};
use crate::clock::{Clock as _, MonotonicClock};
use crate::duration::human_duration;
use crate::lifecycle::Shutdown;
use crate::replay::pacing::millis;
use crate::replay::{GivingWay, HeldUp, Pace};

/// The pause between two observations: short compared with the delay that a live record may have.
const INTERVAL: Duration = Duration::from_millis(15);

/// Windows in which the groups are watched before the replay begins.
const WINDOWS_ALONE: u32 = 5;

/// Windows after which this ends early if no group commits, because there is nothing to measure.
const WINDOWS_OF_SILENCE: u32 = 2;

/// Watches the groups.
pub(super) struct Watcher {
    clock: MonotonicClock,
    groups: Vec<WatchedGroup>,
    pace: Arc<Pace>,
    cost: RecordCost,
    /// None while no group is live, and the replay is not limited.
    controller: Option<RateController>,
    state: LiveFlowState,
}

/// The group that is held up most in a window.
struct Slowest {
    group: String,
    lag: Duration,
    delay: Duration,
}

impl Watcher {
    /// Connects to the groups, and logs which of them cannot be watched. Blocks its thread.
    pub(super) fn open(beside: &Beside, pace: Arc<Pace>, state: LiveFlowState) -> Self {
        let (mut groups, mut states) = (Vec::new(), Vec::new());
        for live in &beside.groups {
            match WatchedGroup::open(&beside.kafka, &live.group, &live.topic) {
                Ok(group) => {
                    if let Some(why) = group.not_watched() {
                        tracing::info!(
                            group = live.group,
                            "the backfill does not give way to this group: {why}"
                        );
                    }
                    states.push(group.state());
                    groups.push(group);
                }
                Err(why) => {
                    tracing::warn!(
                        group = live.group,
                        "the backfill does not give way to this group: {why}"
                    );
                    states.push(unwatched(&live.group, why.to_string()));
                }
            }
        }
        state.update(|state| state.groups = states);
        Self {
            clock: MonotonicClock::new(),
            groups,
            pace,
            cost: RecordCost::default(),
            controller: None,
            state,
        }
    }

    /// Returns whether there is a group to be watched, even one without members at the moment.
    pub(super) const fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    fn is_live(&self) -> bool {
        self.groups.iter().any(WatchedGroup::is_live)
    }

    /// Measures how far the groups are behind by themselves, and sets the first pace. Blocks its
    /// thread.
    pub(super) fn measure_alone(&mut self, shutdown: &Shutdown) {
        for windows in 1..=WINDOWS_ALONE {
            if !self.is_live() || shutdown.is_requested() {
                break;
            }
            self.observe_window(|| shutdown.is_requested());
            for group in &mut self.groups {
                let lag = group.take_window();
                group.note_alone(lag);
            }
            let is_silent = !self.groups.iter().any(WatchedGroup::has_committed);
            if is_silent && windows >= WINDOWS_OF_SILENCE {
                break;
            }
        }
        for group in &mut self.groups {
            group.set_baseline();
        }
        let states: Vec<_> = self.groups.iter().map(WatchedGroup::state).collect();
        self.state.update(|state| {
            for measured in states {
                let mut known = state.groups.iter_mut();
                if let Some(known) = known.find(|known| known.group == measured.group) {
                    *known = measured;
                }
            }
        });
        self.set_pace();
    }

    /// Watches the groups and sets the pace until `stop`. Blocks its thread.
    pub(super) fn run(mut self, stop: &AtomicBool) {
        let is_over = || stop.load(Ordering::Relaxed);
        loop {
            let (began, (read, written)) = (self.clock.now(), self.pace.counts());
            self.observe_window(is_over);
            if is_over() {
                return;
            }
            let (now, (read_by_now, written_by_now)) = (self.clock.now(), self.pace.counts());
            let read = read_by_now - read;
            let took = millis(now.saturating_sub(began)).max(1);
            // With the cost that the pace was set with, which `note` changes.
            let used = self.cost.work(read).saturating_mul(1_000) / took;
            self.cost.note(read, written_by_now - written);
            self.follow_members(now);
            self.decide(now, used);
            self.set_pace();
        }
    }

    /// Observes all groups until a window is over, or `is_over` says so.
    fn observe_window(&mut self, is_over: impl Fn() -> bool) {
        let clock = self.clock;
        let end = clock.now() + WINDOW;
        while clock.now() < end && !is_over() {
            for group in &mut self.groups {
                group.observe(|| clock.now());
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// Follows groups that lose their members, or get some.
    fn follow_members(&mut self, now: Duration) {
        for group in &mut self.groups {
            if !group.follow_members(now) {
                continue;
            }
            let (name, not_watched) = (group.name(), group.not_watched());
            match &not_watched {
                Some(why) => tracing::info!(
                    group = name,
                    "the backfill does not give way to this group any more: {why}"
                ),
                None => tracing::info!(group = name, "the backfill gives way to this group"),
            }
            self.state.update(|state| {
                let mut known = state.groups.iter_mut();
                if let Some(known) = known.find(|known| known.group == name) {
                    known.not_watched = not_watched;
                }
            });
        }
    }

    /// Decides the rate at the end of a window.
    fn decide(&mut self, now: Duration, used: u64) {
        let (slowest, is_known) = self.slowest();
        let Some(controller) = &mut self.controller else {
            return;
        };
        // A group whose lag is not known may be held up.
        let delay = slowest.as_ref().map(|slowest| slowest.delay);
        let delay = delay.filter(|delay| is_known || controller.is_held_up(*delay));
        let decision = controller.decide(now, used, delay);
        let Some(Slowest { group, lag, delay }) = slowest else {
            return;
        };
        tracing::debug!(
            ?decision,
            rate = controller.rate(),
            used,
            group,
            lag = human_duration(lag),
            delay = human_duration(delay),
            "window"
        );
        self.state.update(|state: &mut GivingWay| {
            let mut known = state.groups.iter_mut();
            let known = known.find(|known| known.group == group);
            if let Some(known) = known {
                known.most = known.most.max(lag);
                if decision == Decision::GaveWay {
                    known.gave_way += 1;
                }
            }
            if decision == Decision::GaveWay {
                state.limited_by = Some(HeldUp { group, lag });
            }
        });
    }

    /// Returns the group that is held up most in the last window, and whether the lag of every live
    /// group is known.
    fn slowest(&mut self) -> (Option<Slowest>, bool) {
        let mut slowest: Option<Slowest> = None;
        let mut is_known = true;
        for group in self.groups.iter_mut().filter(|group| group.is_live()) {
            let Some(lag) = group.take_window() else {
                is_known = false;
                continue;
            };
            let delay = group.delay(lag);
            if slowest.as_ref().is_none_or(|slowest| slowest.delay < delay) {
                slowest = Some(Slowest {
                    group: group.name().to_owned(),
                    lag,
                    delay,
                });
            }
        }
        (slowest, is_known)
    }

    /// Sets the pace to the decided rate; to none when no group is live.
    fn set_pace(&mut self) {
        if self.is_live() {
            self.controller.get_or_insert_with(RateController::new);
        } else {
            self.controller = None;
        }
        let controller = self.controller.as_ref();
        let per_second = controller.map(|controller| self.cost.records(controller.rate()));
        self.pace.set(per_second);
        self.state.update(|state| {
            state.per_second = per_second;
            if per_second.is_none() {
                state.limited_by = None;
            }
        });
    }
}
