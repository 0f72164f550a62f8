//! By which rule the newest vouchers of a campaign were issued: two rules under one name would give
//! two customers different vouchers.

use std::collections::BTreeMap;

use runtime::preflight::{Cluster, TopicFacts, Verdict};
use runtime::record::{InputRecord as _, OwnedRecord};
use runtime::registry::Registry;
use schemas::{Payload, Voucher, VoucherPlan, decimal};

use crate::batch::headers;
use crate::rule::Rule;

/// So many of the newest offsets of each partition are looked at.
const NEWEST: usize = 200;

/// Looks at the newest vouchers, and whether `rule` issued those of its campaign.
///
/// # Errors
/// What the client says.
pub async fn judge(
    cluster: &Cluster,
    registry: Option<&Registry>,
    vouchers: &TopicFacts,
    rule: &Rule,
) -> Result<Verdict, String> {
    let records = cluster.tail(vouchers, NEWEST).await?;
    let plans = plans(registry, &records).await;
    Ok(verdict(rule, &records, &plans))
}

/// How to read the records: vouchers of an unknown schema are not looked at.
async fn plans(registry: Option<&Registry>, records: &[OwnedRecord]) -> BTreeMap<u32, VoucherPlan> {
    let mut plans = BTreeMap::new();
    let Some(registry) = registry else {
        return plans;
    };
    for record in records {
        let Ok(Payload::Avro { schema_id, .. }) = Payload::of(record.value()) else {
            continue;
        };
        if !plans.contains_key(&schema_id)
            && let Ok(schema) = registry.schema(schema_id).await
            && let Ok(plan) = VoucherPlan::compile(&schema)
        {
            plans.insert(schema_id, plan);
        }
    }
    plans
}

/// Compares the rule with the newest voucher of its campaign that tells its own.
fn verdict(rule: &Rule, records: &[OwnedRecord], plans: &BTreeMap<u32, VoucherPlan>) -> Verdict {
    let subject = format!("rule of {}", rule.campaign);
    let newest = records
        .iter()
        .filter_map(|record| {
            let voucher = voucher(record, plans)?;
            let issued_by = record.header(headers::VOUCHER_RULE)?;
            (voucher.campaign == rule.campaign).then_some((record, voucher, issued_by))
        })
        .max_by_key(|(record, ..)| (record.timestamp_millis, record.offset));
    let Some((record, voucher, issued_by)) = newest else {
        let found = match records.len() {
            0 => "no vouchers yet".to_owned(),
            count => format!("none of the newest {count} vouchers tells a rule of this campaign"),
        };
        return Verdict::ok(subject, found);
    };
    if issued_by == rule.fingerprint().as_bytes() {
        return Verdict::ok(subject, "it issued the campaign's newest voucher");
    }
    Verdict::fail(
        subject,
        format!(
            "the campaign's newest voucher (partition {}, offset {}) is worth {} {} by another \
             rule; this one says {} {}{}",
            record.partition,
            record.offset,
            decimal::as_money(voucher.amount),
            voucher.currency.as_str(),
            decimal::as_money(rule.amount),
            rule.currency.as_str(),
            match rule.valid_days {
                None => ", without an end".to_owned(),
                Some(days) => format!(", for {days} days"),
            }
        ),
        "give another amount, currency or validity its own VOUCHER_CAMPAIGN and VOUCHER_SENT_FROM, \
         or set them as they were",
    )
}

fn voucher<'a>(
    record: &'a OwnedRecord,
    plans: &'a BTreeMap<u32, VoucherPlan>,
) -> Option<Voucher<'a>> {
    match Payload::of(record.value()).ok()? {
        Payload::Tombstone => None,
        Payload::Json(value) => Voucher::from_json(record.key(), value).ok(),
        Payload::Avro { schema_id, body } => {
            Voucher::from_avro(record.key(), body, plans.get(&schema_id)?).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::preflight::Level;

    use super::*;

    fn rule(campaign: &str, amount: &str) -> Rule {
        Rule {
            campaign: campaign.to_owned(),
            min_total: "100".parse().unwrap(),
            amount: amount.parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            valid_days: None,
            sent_from: None,
            sent_until: None,
        }
    }

    fn issued_by(rule: &Rule, offset: i64, timestamp_millis: i64) -> OwnedRecord {
        let value = format!(
            r#"{{"campaign":"{}","order_id":"17","code":"A527","amount":"{}","currency":"EUR","issued_at":"2026-01-01T00:00:00Z"}}"#,
            rule.campaign, rule.amount
        );
        OwnedRecord {
            offset,
            timestamp_millis: Some(timestamp_millis),
            key: Some(b"17".to_vec()),
            value: Some(value.into_bytes()),
            headers: vec![(
                headers::VOUCHER_RULE.to_owned(),
                Some(rule.fingerprint().into_bytes()),
            )],
            ..OwnedRecord::default()
        }
    }

    fn level(rule: &Rule, records: &[OwnedRecord]) -> Level {
        verdict(rule, records, &BTreeMap::new()).level
    }

    #[test]
    fn the_newest_voucher_of_the_campaign_decides() {
        let (now, old) = (rule("a", "5.00"), rule("a", "7.50"));
        let other = rule("b", "7.50");
        assert_eq!(level(&now, &[]), Level::Ok);
        assert_eq!(level(&now, &[issued_by(&other, 9, 9)]), Level::Ok);
        assert_eq!(
            level(&now, &[issued_by(&old, 1, 1), issued_by(&now, 2, 2)]),
            Level::Ok
        );
        assert_eq!(
            level(&now, &[issued_by(&old, 1, 3), issued_by(&now, 2, 2)]),
            Level::Fail
        );
        let said = verdict(&now, &[issued_by(&old, 1, 1)], &BTreeMap::new());
        assert!(
            said.finding.contains("worth 7.50 EUR by another rule"),
            "{said:?}"
        );
        assert!(said.finding.contains("says 5.00 EUR"), "{said:?}");
        assert!(
            !said.sentence().contains("A527"),
            "a code is shown: {said:?}"
        );
    }

    #[test]
    fn the_threshold_is_no_part_of_it_and_imported_vouchers_tell_no_rule() {
        let lower = Rule {
            min_total: "80".parse().unwrap(),
            ..rule("a", "5.00")
        };
        assert_eq!(
            level(&lower, &[issued_by(&rule("a", "5.00"), 1, 1)]),
            Level::Ok
        );
        let mut imported = issued_by(&rule("a", "9.00"), 1, 1);
        imported.headers.clear();
        assert_eq!(level(&lower, &[imported]), Level::Ok);
    }
}
