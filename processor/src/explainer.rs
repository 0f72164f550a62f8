//! Explains to a person how the live loop decides about a record: the same decoder and rule, with
//! the reason as a sentence.
//!
//! It needs no signing key, because it derives no code.

use runtime::lifecycle::Failure;
use runtime::record::InputRecord;
use runtime::registry::{Registry, SchemaCache, SchemaSource};
use schemas::{Currency, Malformed, OrderStatus, OrderStatusPlan, Timestamp};

use crate::evaluate::decode;
use crate::rule::{Rule, Skip, TOMBSTONE, Verdict, money};

/// The decision about one record, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// `eligible`, `skipped` or `dead`.
    pub verdict: &'static str,
    /// The reason as an identifier; `None` if the record is eligible.
    pub reason: Option<&'static str>,
    /// The reason as a sentence.
    pub message: String,
    /// The fields that were decoded, in order; empty when the record cannot be decoded.
    pub fields: Vec<(&'static str, String)>,
}

/// Decodes records and evaluates them by the rule.
pub struct Explainer {
    rule: Rule,
    default_currency: Currency,
    /// The writers' schemas. Public for code that evaluates the same records.
    pub schemas: SchemaCache<OrderStatusPlan>,
}

impl Explainer {
    /// Builds an explainer. Must be called within a Tokio runtime; see [`SchemaCache::new`].
    pub fn new(rule: Rule, default_currency: Currency, registry: Option<Registry>) -> Self {
        Self {
            rule,
            default_currency,
            schemas: SchemaCache::for_command(registry),
        }
    }

    /// Returns the campaign's rule.
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Explains the decision about a record. Blocks its thread while it waits for the schema.
    ///
    /// # Errors
    /// Exit code 1 when the registry does not answer.
    pub fn explain(&mut self, record: &impl InputRecord) -> Result<Explanation, Failure> {
        explain(record, &self.rule, self.default_currency, &mut self.schemas)
    }
}

fn explain<S>(
    record: &impl InputRecord,
    rule: &Rule,
    default_currency: Currency,
    schemas: &mut S,
) -> Result<Explanation, Failure>
where
    S: SchemaSource<Plan = OrderStatusPlan>,
{
    let order = match decode(record, default_currency, schemas).settled()? {
        Ok(Some(order)) => order,
        Ok(None) => {
            return Ok(Explanation::skipped(
                Skip::Tombstone,
                TOMBSTONE.to_owned(),
                vec![],
            ));
        }
        Err(malformed) => return Ok(Explanation::dead(&malformed, vec![])),
    };
    let written_at = record.timestamp_millis().map(Timestamp::from_millis);
    let fields = fields_of(&order);
    Ok(match rule.explain(&order, written_at) {
        Err(malformed) => Explanation::dead(&malformed, fields),
        Ok((Verdict::Skip(skip), message)) => Explanation::skipped(skip, message, fields),
        Ok((Verdict::Eligible { .. }, message)) => Explanation {
            verdict: "eligible",
            reason: None,
            message,
            fields,
        },
    })
}

impl Explanation {
    fn skipped(skip: Skip, message: String, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            verdict: "skipped",
            reason: Some(skip.as_str()),
            message,
            fields,
        }
    }

    fn dead(malformed: &Malformed, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            verdict: "dead",
            reason: Some(malformed.reason().as_str()),
            message: malformed.message().to_owned(),
            fields,
        }
    }

    /// Returns the field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Formats the explanation in one line: `skipped, threshold: total 99.99 EUR is below 100.00`.
impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "{}, {reason}: {}", self.verdict, self.message),
            None => write!(f, "{}: {}", self.verdict, self.message),
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

    /// A registry that does not answer.
    struct Pending;

    impl SchemaSource for Pending {
        type Plan = OrderStatusPlan;

        fn lookup(&mut self, _: SchemaId) -> Lookup<'_, OrderStatusPlan> {
            Lookup::Pending
        }
    }

    fn explained(value: Option<&[u8]>) -> Result<Explanation, Failure> {
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
        explain(&record, &rule, "EUR".parse().unwrap(), &mut Pending)
    }

    #[test]
    fn an_explanation_is_one_line() {
        let line = |value: &str| explained(Some(value.as_bytes())).unwrap().to_string();
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
            explained(None)
                .unwrap()
                .to_string()
                .starts_with("skipped, tombstone: ")
        );
    }

    #[test]
    fn the_decoded_fields_are_listed() {
        let value = br#"{"order_id":"17","status":"PENDING","total":1e2,"version":3}"#;
        let explanation = explained(Some(value)).unwrap();
        assert_eq!(explanation.field("total"), Some("100.00 EUR"));
        assert_eq!(explanation.field("version"), Some("3"));
        assert_eq!(explanation.field("sent_at"), None);
    }

    #[test]
    fn a_registry_that_does_not_answer_ends_the_command() {
        let failure = explained(Some(&[0, 0, 0, 0, 7, 1]))
            .unwrap_err()
            .to_string();
        assert!(
            failure.contains("has not answered for schema 7"),
            "{failure}"
        );
    }
}
