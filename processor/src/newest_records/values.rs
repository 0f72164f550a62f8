//! Reports the records that cannot be used: they are, or will be, dead letters.

use std::collections::BTreeMap;

use runtime::preflight::CheckResult;
use schemas::Reason;

use super::Read;

/// The maximum number of reasons that are reported with an example, those with the most records first.
const MAX_REASONS: usize = 3;

pub(super) fn judge(topic: &str, newest: &[Read<'_>]) -> CheckResult {
    let subject = format!("values of {topic}");
    let records = newest.len();
    if records == 0 {
        return CheckResult::ok(subject, "no records among the newest offsets");
    }
    let mut dead: BTreeMap<Reason, (usize, String)> = BTreeMap::new();
    for read in newest {
        if let Err(malformed) = &read.order {
            let first = || (0, format!("{}: {malformed}", read.place()));
            dead.entry(malformed.reason()).or_insert_with(first).0 += 1;
        }
    }
    let count: usize = dead.values().map(|(count, _)| count).sum();
    if count == 0 {
        return CheckResult::ok(subject, format!("the newest {records} can be used"));
    }
    let mut reasons: Vec<_> = dead.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let examples = reasons
        .iter()
        .take(MAX_REASONS)
        .map(|(reason, (count, example))| format!("{count} {reason} ({example})"));
    CheckResult::warn(
        subject,
        format!(
            "{count} of the newest {records} records cannot be used and are dead letters: {}",
            examples.collect::<Vec<_>>().join(", ")
        ),
        "fix their writer, then run processor dead-letters and processor redrive --dry-run",
    )
}

#[cfg(test)]
mod tests {
    use runtime::preflight::Level;
    use runtime::record::OwnedRecord;

    use super::super::read_json;
    use super::*;

    fn judged(records: &[(&str, Option<&str>)]) -> CheckResult {
        let records: Vec<_> = records
            .iter()
            .map(|(key, value)| OwnedRecord {
                partition: 3,
                offset: 41,
                key: Some(key.as_bytes().to_vec()),
                value: value.map(|value| value.as_bytes().to_vec()),
                ..OwnedRecord::default()
            })
            .collect();
        judge("order-status", &read_json(&records))
    }

    const GOOD: Option<&str> = Some(r#"{"order_id":"17","status":"SENT","total":1}"#);

    #[test]
    fn records_that_can_be_used_and_tombstones_are_fine() {
        assert_eq!(judged(&[]).level, Level::Ok);
        let fine = judged(&[("17", GOOD), ("\"17\"", GOOD), ("17", None)]);
        assert_eq!(fine.level, Level::Ok, "{fine:?}");
    }

    #[test]
    fn each_reason_is_reported_with_an_example() {
        let judged = judged(&[
            ("17", GOOD),
            ("\"18\"", GOOD),
            ("17", Some("no json")),
            ("17", Some("no json")),
        ]);
        assert_eq!(judged.level, Level::Warn);
        let start = "3 of the newest 4 records cannot be used and are dead letters: 2 invalid_json \
                     (partition 3, offset 41: ";
        assert!(judged.finding.starts_with(start), "{judged:?}");
        assert!(judged.finding.contains("1 key_mismatch"), "{judged:?}");
        assert!(judged.finding.contains("in quotes"), "{judged:?}");
    }
}
