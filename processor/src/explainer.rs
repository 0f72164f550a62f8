//! A record's verdict for a person: the live loop's decoder and rule, with the reason in words.
//!
//! Needs no signing key, since it tells of no code.

use runtime::lifecycle::Failure;
use runtime::record::InputRecord;
use runtime::registry::{Registry, SchemaCache, SchemaSource, WaitsFor, settled};
use runtime::value::Value;
use schemas::{Currency, Malformed, OrderStatus, OrderStatusPlan, Timestamp};

use crate::evaluate::decode;
use crate::rule::{Rule, Skip, TOMBSTONE, Verdict, money};

/// What is told of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// `eligible`, `skipped` or `dead`.
    pub verdict: &'static str,
    /// The reason as a machine word; none when it is eligible.
    pub reason: Option<&'static str>,
    /// The reason in words.
    pub words: String,
    /// What was read in the fields, in their order; empty when nothing could be.
    pub fields: Vec<(&'static str, String)>,
}

/// The rule, and what it takes to read a record.
pub struct Explainer {
    rule: Rule,
    default_currency: Currency,
    /// Writer schemas; shared with whoever evaluates the same records.
    pub schemas: SchemaCache<OrderStatusPlan>,
}

impl Explainer {
    /// Must be called within a Tokio runtime; see [`SchemaCache::new`].
    pub fn new(rule: Rule, default_currency: Currency, registry: Option<Registry>) -> Self {
        Self {
            rule,
            default_currency,
            schemas: SchemaCache::of_command(registry, OrderStatusPlan::compile_with),
        }
    }

    /// The campaign's rule.
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Tells of a record; waits for its schema, so not on a thread of the runtime.
    ///
    /// # Errors
    /// Exit code 1 when the registry does not answer.
    pub fn tell(&mut self, record: &impl InputRecord) -> Result<Explanation, Failure> {
        settled(|| tell(record, &self.rule, self.default_currency, &mut self.schemas))
    }
}

fn tell<S>(
    record: &impl InputRecord,
    rule: &Rule,
    default_currency: Currency,
    schemas: &mut S,
) -> Result<Explanation, WaitsFor>
where
    S: SchemaSource<Plan = OrderStatusPlan>,
{
    let order = match decode(record, default_currency, schemas) {
        Ok(Value::Read(order)) => order,
        Ok(Value::Tombstone) => {
            return Ok(Explanation::skipped(
                Skip::Tombstone,
                TOMBSTONE.to_owned(),
                vec![],
            ));
        }
        Ok(Value::Wait { schema_id }) => return Err(WaitsFor { schema_id }),
        Err(malformed) => return Ok(Explanation::dead(&malformed, vec![])),
    };
    let written_at = record.timestamp_millis().map(Timestamp::from_millis);
    let fields = fields_of(&order);
    Ok(match rule.judge_in_words(&order, written_at) {
        Err(malformed) => Explanation::dead(&malformed, fields),
        Ok((Verdict::Skip(skip), words)) => Explanation::skipped(skip, words, fields),
        Ok((Verdict::Eligible { .. }, words)) => Explanation {
            verdict: "eligible",
            reason: None,
            words,
            fields,
        },
    })
}

impl Explanation {
    fn skipped(skip: Skip, words: String, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            verdict: "skipped",
            reason: Some(skip.as_str()),
            words,
            fields,
        }
    }

    fn dead(malformed: &Malformed, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            verdict: "dead",
            reason: Some(malformed.reason().as_str()),
            words: malformed.message().to_owned(),
            fields,
        }
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// In one line: `skipped, threshold: total 99.99 EUR is below 100.00`.
impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "{}, {reason}: {}", self.verdict, self.words),
            None => write!(f, "{}: {}", self.verdict, self.words),
        }
    }
}

fn fields_of(order: &OrderStatus<'_>) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("order_id", order.order_id.to_string()),
        ("status", order.status.to_string()),
        ("total", money(order.total, order.currency)),
    ];
    fields.extend(
        order
            .version
            .map(|version| ("version", version.to_string())),
    );
    for (name, time) in [
        ("occurred_at", order.occurred_at),
        ("sent_at", order.sent_at),
    ] {
        fields.extend(time.map(|time| (name, time.to_string())));
    }
    fields
}

#[cfg(test)]
mod tests {
    use runtime::record::OwnedRecord;
    use runtime::registry::Lookup;
    use schemas::SchemaId;

    use super::*;

    /// A registry that has not answered yet.
    struct Asked;

    impl SchemaSource for Asked {
        type Plan = OrderStatusPlan;

        fn lookup(&mut self, _: SchemaId) -> Lookup<'_, OrderStatusPlan> {
            Lookup::Pending
        }
    }

    fn told(value: Option<&[u8]>) -> Result<Explanation, WaitsFor> {
        let rule = Rule {
            campaign: "order-reward".to_owned(),
            min_total: "100".parse().unwrap(),
            amount: "5".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            valid_days: None,
            sent_from: None,
            sent_until: None,
        };
        let record = OwnedRecord {
            key: Some(b"17".to_vec()),
            value: value.map(<[u8]>::to_vec),
            timestamp_millis: Some(1_800_000_000_000),
            ..OwnedRecord::default()
        };
        tell(&record, &rule, "EUR".parse().unwrap(), &mut Asked)
    }

    #[test]
    fn a_verdict_is_told_in_one_line() {
        let line = |value: &str| told(Some(value.as_bytes())).unwrap().to_string();
        assert_eq!(
            line(r#"{"order_id":"17","status":"sent","total":"99.99"}"#),
            "skipped, threshold: total 99.99 EUR is below 100.00"
        );
        assert_eq!(
            line(r#"{"order_id":"17","status":"sent","total":100}"#),
            "eligible: sent at 2027-01-15T08:00:00Z, total 100.00 EUR is at least 100.00"
        );
        assert!(
            line(r#"{"order_id":"17","status":"lost","total":1}"#)
                .starts_with("dead, unknown_status: ")
        );
        assert!(
            told(None)
                .unwrap()
                .to_string()
                .starts_with("skipped, tombstone: ")
        );
    }

    #[test]
    fn what_was_read_is_told_field_by_field() {
        let value = br#"{"order_id":"17","status":"PENDING","total":1e2,"version":3}"#;
        let told = told(Some(value)).unwrap();
        assert_eq!(told.field("total"), Some("100.00 EUR"));
        assert_eq!(told.field("version"), Some("3"));
        assert_eq!(told.field("sent_at"), None);
    }

    #[test]
    fn a_schema_that_is_being_asked_for_is_waited_for() {
        assert_eq!(
            told(Some(&[0, 0, 0, 0, 7, 1])),
            Err(WaitsFor {
                schema_id: SchemaId::Id(7)
            })
        );
    }
}
