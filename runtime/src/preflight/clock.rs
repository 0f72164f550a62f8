//! The clock of this machine against others.
//!
//! Kafka has no call that returns its time, and its rules are about the timestamps of records, which
//! the producers set. So the newest timestamps are checked, and the clock of Postgres.

use std::time::{Duration, SystemTime};

use super::check_result::CheckResult;
use crate::duration::human_duration;

/// A difference that a network and a busy machine do not explain.
const NOTICEABLE: Duration = Duration::from_secs(5);

/// Brokers refuse records that are further in the future: the default of
/// `message.timestamp.after.max.ms`.
const REFUSED: Duration = Duration::from_secs(3600);

/// Returns both clocks at one moment. The other clock was read between `before` and `after`: a slow
/// answer must not look like a difference.
pub(super) fn at_the_same_time(
    before: SystemTime,
    theirs: SystemTime,
    after: SystemTime,
) -> (SystemTime, SystemTime) {
    let ours = theirs.clamp(before, after.max(before));
    (ours, theirs)
}

/// Checks the clock of this machine against that of `source`, such as Postgres.
pub(super) fn against_source(source: &str, ours: SystemTime, theirs: SystemTime) -> CheckResult {
    let subject = format!("clock and {source}");
    let (apart, ahead) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, true),
        Err(behind) => (behind.duration(), false),
    };
    let found = format!(
        "the clock of this machine is {} {} that of {source}",
        human_duration(apart),
        if ahead { "ahead of" } else { "behind" }
    );
    let advice = "check NTP on both machines (chronyc tracking, timedatectl)";
    if apart >= REFUSED {
        let effect = if ahead {
            "brokers refuse records from the future"
        } else {
            "compaction counts from the timestamps of records and comes too early"
        };
        return CheckResult::fail(subject, format!("{found}: {effect}"), advice);
    }
    if apart >= NOTICEABLE {
        return CheckResult::warn(subject, found, advice);
    }
    CheckResult::ok(subject, "the clocks agree")
}

/// Warns of a record whose timestamp is in the future.
pub fn newest_record(
    topic: &str,
    ours: SystemTime,
    newest_millis: Option<i64>,
) -> Option<CheckResult> {
    let newest = Duration::from_millis(u64::try_from(newest_millis?).ok()?);
    let newest = SystemTime::UNIX_EPOCH + newest;
    let ahead = newest.duration_since(ours).unwrap_or_default();
    if ahead < NOTICEABLE {
        return None;
    }
    Some(CheckResult::warn(
        format!("clock and {topic}"),
        format!(
            "the newest record is {} in the future",
            human_duration(ahead)
        ),
        "check NTP on this machine and on the writer's; brokers refuse records an hour ahead",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;

    #[test]
    fn clocks_may_be_seconds_apart_but_not_an_hour() {
        let now = SystemTime::now();
        for (seconds, level) in [
            (0, Level::Ok),
            (4, Level::Ok),
            (6, Level::Warn),
            (3601, Level::Fail),
        ] {
            let other = now + Duration::from_secs(seconds);
            assert_eq!(
                against_source("Postgres", now, other).level,
                level,
                "{seconds} behind"
            );
            assert_eq!(
                against_source("Postgres", other, now).level,
                level,
                "{seconds} ahead"
            );
        }
    }

    #[test]
    fn a_slow_answer_is_no_difference_of_clocks() {
        let now = SystemTime::now();
        let seconds = Duration::from_secs;
        let level = |asked: SystemTime| {
            let (ours, theirs) = at_the_same_time(now, asked, now + seconds(9));
            against_source("Postgres", ours, theirs).level
        };
        assert_eq!(level(now), Level::Ok);
        assert_eq!(level(now + seconds(9)), Level::Ok);
        assert_eq!(level(now + seconds(15)), Level::Warn);
        assert_eq!(level(now - seconds(6)), Level::Warn);
    }

    #[test]
    fn a_record_from_the_future_is_a_warning() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(newest_record("t", now, None), None);
        assert_eq!(newest_record("t", now, Some(1_000_004_000)), None);
        let result = newest_record("t", now, Some(1_000_060_000)).unwrap();
        assert!(result.finding.contains("1 min in the future"), "{result:?}");
    }
}
