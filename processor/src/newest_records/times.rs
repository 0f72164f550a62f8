//! Checks whether the writers of order statuses say when an order was sent, as a campaign with
//! dates needs.

use runtime::preflight::CheckResult;
use schemas::{Reason, Status};

use super::Read;
use crate::rule::{Rule, has_own_time};

pub(super) fn judge(rule: &Rule, newest: &[Read<'_>]) -> CheckResult {
    let subject = format!("times of {}", rule.campaign);
    let (mut sent, mut undated, mut unknown) = (0_usize, Vec::new(), 0_usize);
    for read in newest {
        match &read.order {
            Ok(Some(order)) if order.status == Status::Sent => {
                sent += 1;
                if !has_own_time(order) {
                    undated.push(read);
                }
            }
            // Other records that cannot be used earn nothing in any campaign.
            Err(malformed) if is_about_the_registry(malformed.reason()) => unknown += 1,
            _ => {}
        }
    }
    let Some(first) = undated.first() else {
        return match (sent, unknown) {
            (_, 1..) => CheckResult::warn(
                subject,
                format!("the schemas of {unknown} of the newest records are unknown"),
                "set SCHEMA_REGISTRY_URL to the registry that has them",
            ),
            (0, 0) => CheckResult::ok(subject, "no sent order among the newest records"),
            (_, 0) => CheckResult::ok(
                subject,
                format!("all of the newest {sent} sent orders say when they were sent"),
            ),
        };
    };
    CheckResult::warn(
        subject,
        format!(
            "{} of the newest {sent} sent orders have neither sent_at nor occurred_at, such as \
             {}: a campaign with dates cannot count them; those that would earn a voucher become \
             dead letters (missing_timestamp)",
            undated.len(),
            first.place()
        ),
        "have their writer send sent_at, or unset VOUCHER_SENT_FROM and VOUCHER_SENT_UNTIL",
    )
}

const fn is_about_the_registry(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UnknownSchema | Reason::RegistryNotConfigured
    )
}

#[cfg(test)]
mod tests {
    use runtime::preflight::Level;
    use runtime::record::OwnedRecord;

    use super::super::read_json;
    use super::*;

    fn record(value: &str) -> OwnedRecord {
        OwnedRecord {
            key: Some(b"17".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            ..OwnedRecord::default()
        }
    }

    fn level(values: &[&str]) -> Level {
        let rule = Rule {
            campaign: "spring".to_owned(),
            min_total: "100".parse().unwrap(),
            amount: "5".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            valid_days: None,
            sent_from: Some("2026-05-01T00:00:00Z".parse().unwrap()),
            sent_until: None,
        };
        let records: Vec<_> = values.iter().map(|value| record(value)).collect();
        judge(&rule, &read_json(&records)).level
    }

    #[test]
    fn a_writer_that_does_not_say_when_an_order_was_sent_is_reported() {
        let timed =
            r#"{"order_id":"17","status":"SENT","total":1,"sent_at":"2026-05-01T00:00:00Z"}"#;
        let pending = r#"{"order_id":"17","status":"PENDING","total":1}"#;
        let undated = r#"{"order_id":"17","status":"SENT","total":1}"#;
        assert_eq!(level(&[]), Level::Ok);
        assert_eq!(level(&[timed, pending, "junk"]), Level::Ok);
        assert_eq!(level(&[timed, undated]), Level::Warn);
        // Avro of schema 3, which is unknown.
        assert_eq!(level(&[timed, "\0\0\0\0\u{3}body"]), Level::Warn);
    }
}
