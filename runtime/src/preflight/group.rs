//! A consumer group: whether its unread records are safe, and its offsets while it is stopped.

use std::time::Duration;

use super::WEEK;
use super::check_result::CheckResult;
use super::cluster::{BrokerFacts, TopicFacts};
use super::topics::kept_uncompacted;
use crate::duration::human_duration;
use crate::kafka::{Blocked, Cause, FirstRecord};
use crate::plural::count;
use crate::record::{Offset, Partition};

/// A group and its unread records in one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GroupFacts {
    /// Its name.
    pub(super) group: String,
    /// The topic that it reads.
    pub(super) topic: String,
    /// The number of active members; a stopped group has none.
    pub(super) members: usize,
    /// Its unread records, by partition.
    pub(super) unread: Vec<Unread>,
}

/// The unread records of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    /// The partition.
    pub(super) partition: Partition,
    /// The next offset to read, if the group has committed one.
    pub(super) committed: Option<Offset>,
    /// The first offset of the log.
    pub(super) first: Offset,
    /// The offset after the last committed record.
    pub(super) end: Offset,
    /// The first unread record.
    pub(super) oldest: FirstRecord,
}

impl Unread {
    /// Returns the offset at which the group continues.
    pub(super) fn next(&self) -> Offset {
        self.committed.unwrap_or(self.first).max(self.first)
    }

    /// Returns the number of unread offsets, which include markers and compacted records.
    pub(super) fn offsets(&self) -> i64 {
        (self.end - self.next()).max(0)
    }
}

/// Checks whether compaction or retention may remove unread records.
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
            "find out what deletes records of this topic (its retention, kafka-delete-records), and \
             replay the rest with a backfill",
        );
    }
    if let Some(result) = beyond_the_log(facts) {
        return result;
    }
    let behind: i64 = facts.unread.iter().map(Unread::offsets).sum();
    let members = match facts.members {
        0 => "no active member".to_owned(),
        members => count(members, "member"),
    };
    let lag = format!("lag of {} on {name}, {members}", count(behind, "offset"));
    if facts.unread.iter().all(|unread| unread.committed.is_none()) {
        return CheckResult::ok(
            subject,
            format!("no offsets committed yet: it will read {name} from the beginning"),
        );
    }
    let waiting = facts.unread.iter().filter(|unread| unread.offsets() > 0);
    let waiting: Vec<&FirstRecord> = waiting.map(|unread| &unread.oldest).collect();
    if let Some(blocked) = waiting.iter().find_map(|first| match first {
        FirstRecord::Blocked(blocked) => Some(blocked),
        _ => None,
    }) {
        return CheckResult::fail(
            subject,
            format!("{blocked} ({lag})"),
            "docs/troubleshooting.md says how to continue",
        );
    }
    if waiting.contains(&&FirstRecord::Nothing) {
        return CheckResult::warn(
            subject,
            format!("{lag}: none of the unread records arrived"),
            "check the brokers of these partitions, and /readyz of the group's instances",
        );
    }
    if waiting.iter().all(|first| **first == FirstRecord::End) {
        return CheckResult::ok(subject, format!("has read all of {name}, {members}"));
    }
    let times = waiting.iter().filter_map(|first| match first {
        FirstRecord::Record(timestamp) => *timestamp,
        _ => None,
    });
    let Some(oldest) = times.min() else {
        return CheckResult::ok(subject, format!("{lag}; the records have no timestamps"));
    };
    let age = Duration::from_millis(u64::try_from(now_millis - oldest).unwrap_or_default());
    let found = format!("{lag}, oldest record unread for {}", human_duration(age));
    let Some(limit) = kept_uncompacted(topic) else {
        return CheckResult::ok(subject, found);
    };
    let start = if facts.members == 0 {
        "start it"
    } else {
        "find out why it is slow (/readyz and logs of its instances)"
    };
    if age > limit {
        return CheckResult::fail(
            subject,
            format!(
                "{found}: longer than the topic keeps all records ({}), so unread records may be \
                 lost",
                human_duration(limit)
            ),
            format!(
                "{start}; an order whose last record has sent_at loses nothing; set \
                 min.compaction.lag.ms above the longest outage"
            ),
        );
    }
    if age > limit / 2 {
        return CheckResult::warn(
            subject,
            format!(
                "{found}; no record is lost for another {}",
                human_duration(limit - age)
            ),
            start,
        );
    }
    CheckResult::ok(subject, found)
}

/// Checks for a committed offset beyond the end of the log: the group reads no more records, and its
/// lag is zero.
fn beyond_the_log(facts: &GroupFacts) -> Option<CheckResult> {
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
        "docs/troubleshooting.md says how to continue",
    ))
}

/// Checks how long the offsets of a group outlive its last member.
pub(super) fn offsets_kept(facts: &GroupFacts, brokers: &BrokerFacts) -> CheckResult {
    let subject = format!("offsets of {}", facts.group);
    let config = match &brokers.config {
        Ok(config) => config,
        Err(error) => {
            return CheckResult::warn(
                subject,
                format!("cannot read the configuration of the brokers: {error}"),
                "allow DescribeConfigs on the cluster, or run check as a user who may",
            );
        }
    };
    let minutes = config.get("offsets.retention.minutes");
    // Kafka's default.
    let minutes = minutes.and_then(|text| text.parse().ok()).unwrap_or(10_080);
    let kept = Duration::from_secs(60 * minutes);
    let found = format!(
        "kept for {} after the group's last member left",
        human_duration(kept)
    );
    let found = if facts.members == 0 && facts.unread.iter().any(|u| u.committed.is_some()) {
        format!("{found}; no active member")
    } else {
        found
    };
    if kept < WEEK {
        return CheckResult::warn(
            subject,
            format!(
                "{found}; then it reads everything again, which changes no voucher but takes hours"
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
                    oldest: FirstRecord::End,
                },
                Unread {
                    partition: 1,
                    committed,
                    first,
                    end,
                    oldest: FirstRecord::Record(Some(NOW - age)),
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
        let result = lag(&group(Some(5), 0, 9, 8 * DAY), &topic, NOW);
        assert_eq!(result.level, Level::Fail);
        assert!(result.finding.contains("4 offsets"), "{result:?}");
        assert!(result.finding.contains("unread for 8 d"), "{result:?}");
        assert!(result.finding.contains("(7 d)"), "{result:?}");
    }

    #[test]
    fn a_group_that_has_read_all_or_nothing_yet_is_fine() {
        let topic = compacted();
        assert_eq!(level(&group(Some(9), 0, 9, 99 * DAY), &topic), Level::Ok);
        assert_eq!(level(&group(None, 0, 9, 99 * DAY), &topic), Level::Ok);
    }

    #[test]
    fn a_lag_of_markers_alone_counts_as_read() {
        let comes_next = |oldest: FirstRecord| {
            let mut facts = group(Some(5), 0, 9, 0);
            facts.unread[1].oldest = oldest;
            lag(&facts, &compacted(), NOW)
        };
        let read = comes_next(FirstRecord::End);
        assert_eq!(read.level, Level::Ok);
        assert!(read.finding.contains("has read all"), "{read:?}");
        let blocked = comes_next(FirstRecord::Blocked(Blocked {
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
        assert_eq!(comes_next(FirstRecord::Nothing).level, Level::Warn);
        let untimed = comes_next(FirstRecord::Record(None));
        assert_eq!(untimed.level, Level::Ok);
        assert!(untimed.finding.contains("4 offsets"), "{untimed:?}");
    }

    #[test]
    fn an_offset_beyond_the_end_of_the_log_fails() {
        let result = lag(&group(Some(12), 3, 9, 0), &compacted(), NOW);
        assert_eq!(result.level, Level::Fail);
        for part in ["partition 1", "12", "from 3 to before 9"] {
            assert!(result.finding.contains(part), "{result:?}");
        }
    }

    #[test]
    fn records_that_are_kept_forever_may_wait_forever() {
        let topic = topic(&[("cleanup.policy", "delete"), ("retention.ms", "-1")]);
        assert_eq!(level(&group(Some(5), 0, 9, 99 * DAY), &topic), Level::Ok);
    }

    #[test]
    fn records_that_were_deleted_unread_fail() {
        let result = lag(&group(Some(5), 7, 9, 0), &compacted(), NOW);
        assert_eq!(result.level, Level::Fail);
        assert!(result.finding.contains("2 offsets"), "{result:?}");
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
        let result = offsets_kept(&stopped, &brokers("10080"));
        assert_eq!(result.level, Level::Ok);
        assert!(result.finding.contains("no active member"), "{result:?}");
        assert_eq!(offsets_kept(&stopped, &brokers("1440")).level, Level::Warn);
    }
}
