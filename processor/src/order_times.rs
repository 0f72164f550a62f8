//! Whether the writers of order statuses say when an order was sent, which a campaign with dates needs.

use std::collections::BTreeMap;

use runtime::preflight::Verdict;
use runtime::record::OwnedRecord;
use runtime::registry::{Lookup, Registry, SchemaSource};
use runtime::value::Value;
use schemas::{Malformed, OrderStatusPlan, Reason, SchemaId, Status, WriterSchema};

use crate::evaluate::decode;
use crate::rule::{Rule, says_when};

/// Looks at the newest order statuses; `None` when the campaign has no dates, so that nothing depends
/// on their times.
pub async fn judge(
    registry: Option<&Registry>,
    rule: &Rule,
    newest: &[OwnedRecord],
) -> Option<Verdict> {
    if !rule.has_dates() {
        return None;
    }
    let plans = plans(registry, rule, newest).await;
    Some(verdict(rule, newest, plans))
}

/// The writers' schemas, as far as they were asked for; `None` of those that can't be had.
#[derive(Default)]
struct Plans(BTreeMap<SchemaId, Option<WriterSchema<OrderStatusPlan>>>);

impl SchemaSource for Plans {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, OrderStatusPlan> {
        match self.0.get(&id) {
            Some(Some(schema)) => Lookup::Known(schema),
            Some(None) => Lookup::Bad(Malformed::new(Reason::UnknownSchema, "not looked at")),
            None => Lookup::Pending,
        }
    }
}

/// Asks for every schema that the records wait for.
async fn plans(registry: Option<&Registry>, rule: &Rule, records: &[OwnedRecord]) -> Plans {
    let mut plans = Plans::default();
    for record in records {
        while let Ok(Value::Wait { schema_id }) = decode(record, rule.currency, &mut plans) {
            plans.0.insert(schema_id, schema(registry, schema_id).await);
        }
    }
    plans
}

async fn schema(
    registry: Option<&Registry>,
    id: SchemaId,
) -> Option<WriterSchema<OrderStatusPlan>> {
    let schema = registry?.schema(id).await.ok()?;
    schema.compiled(id, OrderStatusPlan::compile_with).ok()
}

fn verdict(rule: &Rule, records: &[OwnedRecord], mut plans: Plans) -> Verdict {
    let subject = format!("times of {}", rule.campaign);
    let (mut sent, mut undated) = (0_usize, Vec::new());
    for record in records {
        if let Ok(Value::Read(order)) = decode(record, rule.currency, &mut plans)
            && order.status == Status::Sent
        {
            sent += 1;
            if !says_when(&order) {
                undated.push(record);
            }
        }
    }
    let Some(first) = undated.first() else {
        return Verdict::ok(
            subject,
            format!("all of the newest {sent} sent orders say when they were sent"),
        );
    };
    Verdict::warn(
        subject,
        format!(
            "{} of the newest {sent} sent orders have neither sent_at nor occurred_at, such as \
             partition {}, offset {}: a campaign with dates can't count them; those that \
             would earn a voucher become dead letters (missing_timestamp)",
            undated.len(),
            first.partition,
            first.offset
        ),
        "have their writer send sent_at, or unset VOUCHER_SENT_FROM and VOUCHER_SENT_UNTIL",
    )
}

#[cfg(test)]
mod tests {
    use runtime::preflight::Level;

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
        verdict(&rule, &records, Plans::default()).level
    }

    #[test]
    fn a_writer_that_does_not_say_when_is_warned_of() {
        let timed =
            r#"{"order_id":"17","status":"SENT","total":1,"sent_at":"2026-05-01T00:00:00Z"}"#;
        let pending = r#"{"order_id":"17","status":"PENDING","total":1}"#;
        let undated = r#"{"order_id":"17","status":"SENT","total":1}"#;
        assert_eq!(level(&[]), Level::Ok);
        assert_eq!(level(&[timed, pending, "junk"]), Level::Ok);
        assert_eq!(level(&[timed, undated]), Level::Warn);
    }
}
