//! One live group: watched many times a second, summed up for each window.

use std::time::Duration;

use super::lag::CommitLag;
use crate::kafka::{GroupProgress, KafkaSettings};
use crate::lifecycle::Failure;
use crate::replay::pacing::LiveGroupState;

/// How long one question about the group may take.
const ANSWER: Duration = Duration::from_secs(1);

/// How often a group that commits nothing is asked for its members.
const MEMBERS_INTERVAL: Duration = Duration::from_secs(5);

/// The time since the last commit after which a group may have lost its members.
const QUIET: Duration = Duration::from_secs(5);

/// The lag that even a group without any may seem to have: the offsets and the ends are requested every
/// few milliseconds, one after the other.
const LEAST_ALONE: Duration = Duration::from_millis(5);

/// The largest lag that counts as a group's own. A group that is further behind has a backlog, to which a
/// replay gives way until it is gone.
const MOST_ALONE: Duration = Duration::from_millis(100);

const NO_MEMBERS: &str = "it has no members";

/// A group that this user may describe.
pub(super) struct WatchedGroup {
    progress: GroupProgress,
    name: String,
    lag: CommitLag,
    /// The largest lag of the current window.
    window: Option<Duration>,
    /// The largest lags of the windows without the replay.
    alone: Vec<Duration>,
    /// The lag without the replay, derived from `alone`.
    baseline: Duration,
    has_members: bool,
    members_asked: Duration,
    /// Whether it is logged that the group's lag is not known.
    is_unknown: bool,
}

impl WatchedGroup {
    /// Connects, and asks whether the group has members.
    ///
    /// # Errors
    /// See [`GroupProgress::open`].
    pub(super) fn open(
        settings: &KafkaSettings,
        group: &str,
        topic: &str,
    ) -> Result<Self, Failure> {
        let progress = GroupProgress::open(settings, group, topic)?;
        // A group that is not known to have no members is watched.
        let has_members = progress.has_members(ANSWER).unwrap_or(true);
        Ok(Self {
            progress,
            name: group.to_owned(),
            lag: CommitLag::default(),
            window: None,
            alone: Vec::new(),
            baseline: LEAST_ALONE,
            has_members,
            members_asked: Duration::ZERO,
            is_unknown: false,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the replay gives way to the group.
    pub(super) const fn is_live(&self) -> bool {
        self.has_members
    }

    /// Returns whether the group was seen to commit.
    pub(super) const fn has_committed(&self) -> bool {
        self.lag.last_commit().is_some()
    }

    /// Measures how far the group is behind, unless it has no members. `now` returns the time.
    pub(super) fn observe(&mut self, now: impl Fn() -> Duration) {
        self.progress.serve_events();
        if !self.has_members {
            return;
        }
        let committed = self.progress.committed(ANSWER);
        let observed = committed.and_then(|done| Ok((done, self.progress.ends(ANSWER)?)));
        match observed {
            Ok((committed, ends)) => {
                let lag = self.lag.note(now(), &committed, &ends);
                self.window = self.window.max(lag);
                self.is_unknown = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_unknown, true) {
                    tracing::warn!(
                        %error,
                        group = self.name,
                        "cannot see how far the live group is behind; the rate stays as it is"
                    );
                }
            }
        }
    }

    /// Ends a window. Returns the largest lag in it, if any is known.
    pub(super) const fn take_window(&mut self) -> Option<Duration> {
        self.window.take()
    }

    /// Notes the largest lag of a window without the replay.
    pub(super) fn note_alone(&mut self, lag: Option<Duration>) {
        self.alone.extend(lag);
    }

    /// Sets the lag without the replay: the median of the windows.
    pub(super) fn set_baseline(&mut self) {
        self.alone.sort_unstable();
        let median = self.alone.get(self.alone.len() / 2).copied();
        self.baseline = median.unwrap_or_default().clamp(LEAST_ALONE, MOST_ALONE);
    }

    /// Returns how much longer its records wait, at this lag, than without the replay.
    pub(super) fn delay(&self, lag: Duration) -> Duration {
        lag.saturating_sub(self.baseline)
    }

    /// Asks whether the group has members, when it has had none or has been quiet. Returns whether that
    /// has changed.
    pub(super) fn follow_members(&mut self, now: Duration) -> bool {
        let last_commit = self.lag.last_commit().unwrap_or_default();
        let is_quiet = !self.has_members || now >= last_commit + QUIET;
        if !is_quiet || now < self.members_asked + MEMBERS_INTERVAL {
            return false;
        }
        self.members_asked = now;
        let Ok(has_members) = self.progress.has_members(ANSWER) else {
            return false;
        };
        let has_changed = self.has_members != has_members;
        if has_changed {
            self.has_members = has_members;
            self.lag = CommitLag::default();
            self.window = None;
        }
        has_changed
    }

    /// Returns the state of a group that was not held up so far.
    pub(super) fn state(&self) -> LiveGroupState {
        LiveGroupState {
            not_watched: self.not_watched(),
            alone: self.baseline,
            ..unwatched(&self.name, String::new())
        }
    }

    /// Returns why the replay does not give way to the group; `None` when it does.
    pub(super) fn not_watched(&self) -> Option<String> {
        (!self.has_members).then(|| NO_MEMBERS.to_owned())
    }
}

/// Returns the state of a group that cannot be watched.
pub(super) fn unwatched(group: &str, why: String) -> LiveGroupState {
    LiveGroupState {
        group: group.to_owned(),
        not_watched: Some(why),
        alone: Duration::ZERO,
        most: Duration::ZERO,
        gave_way: 0,
    }
}
