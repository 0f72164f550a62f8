//! A consumer group: whether what it has not read yet is safe, and its offsets while it is stopped.

use std::time::Duration;

use super::check_result::CheckResult;
use super::cluster::{BrokerFacts, TopicFacts};
use super::topics::kept_uncompacted;
use super::{WEEK, spoken};
use crate::kafka::{Blocked, Cause, First};
use crate::record::{Offset, Partition};
use crate::wording::count;

/// A group on one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its name.
    pub group: String,
    /// The topic that it reads.
    pub topic: String,
    /// How many members it has now; those of a stopped group are none.
    pub members: usize,
    /// What it has not read, by partition.
    pub unread: Vec<Unread>,
}

/// What a group has not read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Which partition.
    pub partition: Partition,
    /// The next offset to read; none when the group has not committed one.
    pub committed: Option<Offset>,
    /// The first offset that is still there.
    pub first: Offset,
    /// The offset of the next committed record to come.
    pub end: Offset,
    /// What comes next.
    pub oldest: First,
}

impl Unread {
    /// The offset at which the group goes on.
    pub fn next(&self) -> Offset {
        self.committed.unwrap_or(self.first).max(self.first)
    }

    /// At most so many records are unread (offsets of markers and compacted records count too).
    pub fn records(&self) -> i64 {
        (self.end - self.next()).max(0)
    }
}

/// Whether compaction or retention may take what the group has not read.
pub(super) fn lag(facts: &GroupFacts, topic: &TopicFacts, now_millis: i64) -> CheckResult {
    let subject = format!("group {}", facts.group);
    let name = &facts.topic;
    let gone: i64 = facts
        .unread
        .iter()
        .filter_map(|unread| Some((unread.first - unread.committed?).max(0)))
        .sum();
    if gone > 0 {
        return CheckResult::fail(
            subject,
            format!(
                "{} of {name} deleted before the group read it",
                count(gone, "offset")
            ),
            "find out who deletes records of this topic (its retention, kafka-delete-records), and \
             replay what is left with a backfill",
        );
    }
    if let Some(verdict) = ahead_of_the_log(facts) {
        return verdict;
    }
    let behind: i64 = facts.unread.iter().map(Unread::records).sum();
    let members = match facts.members {
        0 => "no member now".to_owned(),
        members => count(members, "member"),
    };
    if facts.unread.iter().all(|unread| unread.committed.is_none()) {
        return CheckResult::ok(
            subject,
            format!("it has no offsets yet: it will read {name} from its beginning"),
        );
    }
    let waiting = facts.unread.iter().filter(|unread| unread.records() > 0);
    let waiting: Vec<&First> = waiting.map(|unread| &unread.oldest).collect();
    if let Some(blocked) = waiting.iter().find_map(|first| match first {
        First::Blocked(blocked) => Some(blocked),
        _ => None,
    }) {
        return CheckResult::fail(
            subject,
            format!("{blocked} ({behind} offsets of {name} behind, {members})"),
            "docs/operations.md says how to go on",
        );
    }
    if waiting.contains(&&First::Nothing) {
        return CheckResult::warn(
            subject,
            format!("{behind} offsets of {name} behind, and none of their records came, {members}"),
            "look at the brokers of these partitions, and at the group's /readyz",
        );
    }
    if waiting.iter().all(|first| **first == First::End) {
        return CheckResult::ok(subject, format!("has read all of {name}, {members}"));
    }
    let times = waiting.iter().filter_map(|first| match first {
        First::Record(timestamp) => *timestamp,
        _ => None,
    });
    let Some(oldest) = times.min() else {
        return CheckResult::ok(
            subject,
            format!(
                "{behind} offsets of {name} behind, whose records have no timestamps, {members}"
            ),
        );
    };
    let age = Duration::from_millis(u64::try_from(now_millis - oldest).unwrap_or_default());
    let found = format!(
        "{behind} {} of {name} behind, the oldest record unread for {}, {members}",
        if behind == 1 { "offset" } else { "offsets" },
        spoken(age)
    );
    let Some(limit) = kept_uncompacted(topic) else {
        return CheckResult::ok(subject, found);
    };
    let start = if facts.members == 0 {
        "start it"
    } else {
        "find out why it does not keep up (its /readyz and logs)"
    };
    if age > limit {
        return CheckResult::fail(
            subject,
            format!(
                "{found}: longer than the topic keeps every record ({}), so statuses may be gone \
                 unread",
                spoken(limit)
            ),
            format!(
                "{start}; orders whose last record carries sent_at lose nothing; raise \
                 min.compaction.lag.ms above the longest outage"
            ),
        );
    }
    if age > limit / 2 {
        return CheckResult::warn(
            subject,
            format!("{found}; records are safe for {} more", spoken(limit - age)),
            start,
        );
    }
    CheckResult::ok(subject, found)
}

/// An offset that the log does not reach: the group reads nothing more, and lags behind nothing.
fn ahead_of_the_log(facts: &GroupFacts) -> Option<CheckResult> {
    let (unread, committed) = facts.unread.iter().find_map(|unread| {
        let committed = unread.committed?;
        (committed > unread.end).then_some((unread, committed))
    })?;
    let blocked = Blocked {
        topic: facts.topic.clone(),
        partition: Some(unread.partition),
        offset: Some(committed),
        cause: Cause::OutOfRange {
            held: Some((unread.first, unread.end)),
        },
    };
    Some(CheckResult::fail(
        format!("group {}", facts.group),
        blocked.to_string(),
        "docs/operations.md says how to go on",
    ))
}

/// How long the offsets of a group outlive its last member.
pub(super) fn offsets_kept(facts: &GroupFacts, brokers: &BrokerFacts) -> CheckResult {
    let subject = format!("offsets of {}", facts.group);
    let config = match &brokers.config {
        Ok(config) => config,
        Err(error) => {
            return CheckResult::warn(
                subject,
                format!("the brokers' configuration can't be read: {error}"),
                "allow DescribeConfigs on the cluster, or check with a user who may",
            );
        }
    };
    let minutes = config.get("offsets.retention.minutes");
    // Kafka's default.
    let minutes = minutes.and_then(|text| text.parse().ok()).unwrap_or(10_080);
    let kept = Duration::from_secs(60 * minutes);
    let found = format!(
        "kept for {} after the group's last member left",
        spoken(kept)
    );
    let found = if facts.members == 0 && facts.unread.iter().any(|u| u.committed.is_some()) {
        format!("{found}, and it has no member now")
    } else {
        found
    };
    if kept < WEEK {
        return CheckResult::warn(
            subject,
            format!(
                "{found}; then it reads everything again: the same vouchers, which every reader \
                 ignores, but for hours"
            ),
            "set offsets.retention.minutes to 10080 or more on the brokers",
        );
    }
    CheckResult::ok(subject, found)
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 1_780_000_000_000;

    fn topic(config: &[(&str, &str)]) -> TopicFacts {
        let config = config
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        TopicFacts {
            name: "order-status".to_owned(),
            partitions: Vec::new(),
            config: Ok(config.collect()),
        }
    }

    fn compacted() -> TopicFacts {
        topic(&[
            ("cleanup.policy", "compact"),
            ("min.compaction.lag.ms", "604800000"),
        ])
    }

    fn group(committed: Option<i64>, first: i64, end: i64, age: i64) -> GroupFacts {
        GroupFacts {
            group: "processor".to_owned(),
            topic: "order-status".to_owned(),
            members: 0,
            unread: vec![
                // Never written to.
                Unread {
                    partition: 0,
                    committed: None,
                    first: 0,
                    end: 0,
                    oldest: First::End,
                },
                Unread {
                    partition: 1,
                    committed,
                    first,
                    end,
                    oldest: First::Record(Some(NOW - age)),
                },
            ],
        }
    }

    fn level(facts: &GroupFacts, topic: &TopicFacts) -> Level {
        lag(facts, topic, NOW).level
    }

    #[test]
    fn what_is_unread_for_longer_than_the_compaction_lag_fails() {
        let topic = compacted();
        assert_eq!(level(&group(Some(5), 0, 9, DAY), &topic), Level::Ok);
        assert_eq!(level(&group(Some(5), 0, 9, 4 * DAY), &topic), Level::Warn);
        let verdict = lag(&group(Some(5), 0, 9, 8 * DAY), &topic, NOW);
        assert_eq!(verdict.level, Level::Fail);
        assert!(verdict.finding.contains("4 offsets"), "{verdict:?}");
        assert!(verdict.finding.contains("unread for 8 d"), "{verdict:?}");
        assert!(verdict.finding.contains("(7 d)"), "{verdict:?}");
    }

    #[test]
    fn a_group_that_has_read_all_or_nothing_yet_is_fine() {
        let topic = compacted();
        assert_eq!(level(&group(Some(9), 0, 9, 99 * DAY), &topic), Level::Ok);
        assert_eq!(level(&group(None, 0, 9, 99 * DAY), &topic), Level::Ok);
    }

    #[test]
    fn what_is_behind_is_read_only_if_nothing_but_markers_is_left() {
        let comes_next = |oldest: First| {
            let mut facts = group(Some(5), 0, 9, 0);
            facts.unread[1].oldest = oldest;
            lag(&facts, &compacted(), NOW)
        };
        let read = comes_next(First::End);
        assert_eq!(read.level, Level::Ok);
        assert!(read.finding.contains("has read all"), "{read:?}");
        let blocked = comes_next(First::Blocked(Blocked {
            topic: "order-status".to_owned(),
            partition: Some(1),
            offset: Some(5),
            cause: Cause::Unreadable {
                why: "bad compression".to_owned(),
            },
        }));
        assert_eq!(blocked.level, Level::Fail);
        for part in ["partition 1", "offset 5", "bad compression", "4 offsets"] {
            assert!(blocked.finding.contains(part), "{blocked:?}");
        }
        assert_eq!(comes_next(First::Nothing).level, Level::Warn);
        let untimed = comes_next(First::Record(None));
        assert_eq!(untimed.level, Level::Ok);
        assert!(untimed.finding.contains("4 offsets"), "{untimed:?}");
    }

    #[test]
    fn an_offset_that_the_log_does_not_reach_fails() {
        let verdict = lag(&group(Some(12), 3, 9, 0), &compacted(), NOW);
        assert_eq!(verdict.level, Level::Fail);
        for part in ["partition 1", "12", "from 3 to before 9"] {
            assert!(verdict.finding.contains(part), "{verdict:?}");
        }
    }

    #[test]
    fn records_that_are_kept_for_ever_may_wait_for_ever() {
        let topic = topic(&[("cleanup.policy", "delete"), ("retention.ms", "-1")]);
        assert_eq!(level(&group(Some(5), 0, 9, 99 * DAY), &topic), Level::Ok);
    }

    #[test]
    fn records_that_were_deleted_unread_fail() {
        let verdict = lag(&group(Some(5), 7, 9, 0), &compacted(), NOW);
        assert_eq!(verdict.level, Level::Fail);
        assert!(verdict.finding.contains("2 offsets"), "{verdict:?}");
    }

    #[test]
    fn a_record_from_the_future_is_not_old() {
        assert_eq!(level(&group(Some(5), 0, 9, -DAY), &compacted()), Level::Ok);
    }

    #[test]
    fn offsets_that_are_forgotten_within_a_week_are_worth_a_warning() {
        let brokers = |minutes: &str| BrokerFacts {
            count: 1,
            config: Ok([("offsets.retention.minutes".to_owned(), minutes.to_owned())].into()),
        };
        let stopped = group(Some(5), 0, 9, 0);
        let verdict = offsets_kept(&stopped, &brokers("10080"));
        assert_eq!(verdict.level, Level::Ok);
        assert!(verdict.finding.contains("no member now"), "{verdict:?}");
        assert_eq!(offsets_kept(&stopped, &brokers("1440")).level, Level::Warn);
    }
}
