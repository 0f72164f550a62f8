//! How fast a replay may go on and why, for its report and its progress: pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::ReportLines;
use crate::plural::count;
use crate::progress::Limit;

/// How a replay was paced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pacing {
    /// By nothing (`--rate max`).
    Max,
    /// By a rate in records a second (`--rate`).
    Rate(u32),
    /// By how far the live groups were behind.
    GivesWay(GivingWay),
}

/// A replay that gives way to the live flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivingWay {
    /// The live groups.
    pub groups: Vec<LiveGroupState>,
    /// The present limit in records a second; none while no group is watched.
    pub per_second: Option<u32>,
    /// Why the limit is not higher; none before the replay gave way for the first time.
    pub limited_by: Option<HeldUp>,
}

/// A live group beside a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGroupState {
    /// Its name.
    pub group: String,
    /// Why the replay does not give way to it; `None` when it does.
    pub not_watched: Option<String>,
    /// How far it is behind without the replay.
    pub alone: Duration,
    /// How far it was behind at most.
    pub most: Duration,
    /// How often the replay gave way to it.
    pub gave_way: u64,
}

/// A live group that was held up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldUp {
    /// The group.
    pub group: String,
    /// How far it was behind.
    pub lag: Duration,
}

impl GivingWay {
    /// Returns what limits the replay at the moment.
    pub fn limit(&self) -> Option<Limit> {
        let by = self.limited_by.as_ref();
        Some(Limit {
            per_second: self.per_second?,
            group: by.map(|by| by.group.clone()),
            lag_ms: by.map(|by| millis(by.lag)),
        })
    }
}

impl Pacing {
    /// Adds what a person should know to a report.
    pub fn lines(&self, report: &mut ReportLines) {
        let Self::GivesWay(giving) = self else {
            return;
        };
        for group in &giving.groups {
            report.line("live flow", group.in_words());
        }
    }

    /// Returns the part of a report in JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Max => json!({ "mode": "max" }),
            Self::Rate(per_second) => json!({ "mode": "rate", "per_second": per_second }),
            Self::GivesWay(GivingWay {
                groups, per_second, ..
            }) => {
                let groups: Vec<_> = groups.iter().map(LiveGroupState::json).collect();
                json!({ "mode": "gives_way", "per_second": per_second, "groups": groups })
            }
        }
    }
}

impl LiveGroupState {
    fn in_words(&self) -> String {
        let Self {
            group,
            not_watched,
            alone,
            most,
            gave_way,
        } = self;
        let did = match gave_way {
            0 => format!("group {group} was not held up"),
            times => format!(
                "gave way to group {group} {}, which was up to {} ms behind ({} ms alone)",
                count(*times, "time"),
                millis(*most),
                millis(*alone)
            ),
        };
        match not_watched {
            Some(why) if *gave_way == 0 => format!("did not give way to group {group}: {why}"),
            Some(why) => format!("{did}; in the end {why}"),
            None => did,
        }
    }

    fn json(&self) -> Value {
        json!({
            "group": self.group, "watched": self.not_watched.is_none(),
            "not_watched": self.not_watched, "gave_way": self.gave_way,
            "alone_ms": millis(self.alone), "most_ms": millis(self.most),
        })
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(gave_way: u64, not_watched: Option<&str>) -> LiveGroupState {
        LiveGroupState {
            group: "sink".to_owned(),
            not_watched: not_watched.map(str::to_owned),
            alone: Duration::from_millis(20),
            most: Duration::from_millis(180),
            gave_way,
        }
    }

    #[test]
    fn a_report_says_to_whom_the_replay_gave_way() {
        for (gave_way, not_watched, words) in [
            (0, None, "group sink was not held up"),
            (
                1,
                None,
                "gave way to group sink 1 time, which was up to 180 ms behind (20 ms alone)",
            ),
            (
                0,
                Some("it has no members"),
                "did not give way to group sink: it has no members",
            ),
            (
                2,
                Some("it has no members"),
                "gave way to group sink 2 times, which was up to 180 ms behind (20 ms alone); in \
                 the end it has no members",
            ),
        ] {
            assert_eq!(group(gave_way, not_watched).in_words(), words);
        }
        let giving = GivingWay {
            groups: vec![group(3, None)],
            ..GivingWay::default()
        };
        let json = Pacing::GivesWay(giving).json();
        assert_eq!(json["mode"], "gives_way");
        assert_eq!(json["groups"][0]["gave_way"], 3);
        assert_eq!(json["groups"][0]["watched"], true);
        assert_eq!(Pacing::Max.json()["mode"], "max");
    }

    #[test]
    fn a_limit_says_why_it_is_not_higher() {
        let mut giving = GivingWay::default();
        assert_eq!(giving.limit(), None, "no group is watched");
        giving.per_second = Some(2_000);
        let limit = giving.limit().unwrap();
        assert_eq!(limit.in_words(), "at most 2000 records a second so far");
        giving.limited_by = Some(HeldUp {
            group: "sink".to_owned(),
            lag: Duration::from_millis(83),
        });
        let limit = giving.limit().unwrap();
        assert_eq!(
            limit.in_words(),
            "at most 2000 records a second: group sink was 83 ms behind"
        );
        assert_eq!((limit.per_second, limit.lag_ms), (2_000, Some(83)));
    }
}
