//! Our clock against the others'.
//!
//! Kafka has no call that tells its time; its rules about time are about the records' timestamps,
//! which are ours and the other writers'. So those are looked at, and every other clock in reach.

use std::time::{Duration, SystemTime};

use super::check_result::CheckResult;
use super::spoken;

/// More than a network and a busy machine explain.
const NOTICEABLE: Duration = Duration::from_secs(5);

/// Brokers refuse records from further in the future (`message.timestamp.after.max.ms`, whose
/// default this is).
const REFUSED: Duration = Duration::from_secs(3600);

/// Our clock and the other's, which was asked between `before` and `after`: a slow answer puts them no
/// further apart.
pub(super) fn at_the_same_time(
    before: SystemTime,
    theirs: SystemTime,
    after: SystemTime,
) -> (SystemTime, SystemTime) {
    let ours = theirs.clamp(before, after.max(before));
    (ours, theirs)
}

/// Our clock against that of `source`, such as Postgres.
pub(super) fn from_source(source: &str, ours: SystemTime, theirs: SystemTime) -> CheckResult {
    let subject = format!("clock and {source}");
    let (apart, ahead) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, true),
        Err(behind) => (behind.duration(), false),
    };
    let found = format!(
        "this machine's clock is {} {} {source}'s",
        spoken(apart),
        if ahead { "ahead of" } else { "behind" }
    );
    let advice = "see to NTP on both (chronyc tracking, timedatectl)";
    if apart >= REFUSED {
        let effect = if ahead {
            "brokers refuse records from the future"
        } else {
            "compaction counts from the records' timestamps and comes too early"
        };
        return CheckResult::fail(subject, format!("{found}: {effect}"), advice);
    }
    if apart >= NOTICEABLE {
        return CheckResult::warn(subject, found, advice);
    }
    CheckResult::ok(subject, "they agree")
}

/// The timestamps of a topic's newest records: none of them is later than now.
pub fn from_topic(
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
        format!("its newest record is from {} in the future", spoken(ahead)),
        "see to NTP here and where it was written; brokers refuse records an hour ahead",
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
                from_source("Postgres", now, other).level,
                level,
                "{seconds} behind"
            );
            assert_eq!(
                from_source("Postgres", other, now).level,
                level,
                "{seconds} ahead"
            );
        }
    }

    #[test]
    fn an_answer_that_took_long_puts_no_clock_wrong() {
        let now = SystemTime::now();
        let seconds = Duration::from_secs;
        let level = |asked: SystemTime| {
            let (ours, theirs) = at_the_same_time(now, asked, now + seconds(9));
            from_source("Postgres", ours, theirs).level
        };
        assert_eq!(level(now), Level::Ok);
        assert_eq!(level(now + seconds(9)), Level::Ok);
        assert_eq!(level(now + seconds(15)), Level::Warn);
        assert_eq!(level(now - seconds(6)), Level::Warn);
    }

    #[test]
    fn a_record_from_the_future_is_told() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(from_topic("t", now, None), None);
        assert_eq!(from_topic("t", now, Some(1_000_004_000)), None);
        let told = from_topic("t", now, Some(1_000_060_000)).unwrap();
        assert!(told.finding.contains("1 min in the future"), "{told:?}");
    }
}
