//! One record in, its outcome out. The live loop, a backfill and a redrive all ask here.

use std::borrow::Cow;
use std::sync::Arc;

use runtime::record::InputRecord;
use runtime::registry::SchemaSource;
use runtime::value::{self, Value};
use schemas::{
    Currency, DecimalError, Malformed, OrderStatus, OrderStatusPlan, SchemaId, Timestamp, Voucher,
};

use crate::code::Code;
use crate::rule::{Rule, Skip, Verdict};
use crate::signing_keys::SigningKeys;

/// What becomes of one record.
#[derive(Debug)]
pub enum Evaluation<'k> {
    /// A voucher.
    Voucher(Issued<'k>),
    /// Well formed, but no voucher.
    Skip(Skip),
    /// Can't be used: a dead letter.
    Dead(Malformed),
    /// Can't be told yet: the registry is being asked for this schema. Evaluate again later.
    Wait {
        /// The schema.
        schema_id: SchemaId,
    },
}

/// A voucher that was earned.
#[derive(Debug, Clone)]
pub struct Issued<'k> {
    /// The order.
    pub order_id: Cow<'k, str>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// The voucher's code.
    pub code: Code,
}

/// The rule, the keys and the defaults: all that an outcome depends on beside the record.
#[derive(Debug, Clone)]
pub struct Evaluator {
    rule: Rule,
    keys: SigningKeys,
    default_currency: Currency,
    fingerprint: String,
}

impl Evaluator {
    /// The evaluation of one campaign.
    ///
    /// # Errors
    /// When the rule's amount is one that a voucher's schema can't hold exactly.
    pub fn new(
        rule: Rule,
        keys: SigningKeys,
        default_currency: Currency,
    ) -> Result<Self, DecimalError> {
        let evaluator = Self {
            fingerprint: rule.fingerprint(),
            rule,
            keys,
            default_currency,
        };
        let sent_at = Timestamp::from_millis(0);
        let sample = Issued {
            order_id: "sample".into(),
            sent_at,
            code: evaluator
                .keys
                .at(sent_at)
                .code(&evaluator.rule.campaign, "sample"),
        };
        evaluator.voucher(&sample).write_avro(0, &mut Vec::new())?;
        Ok(evaluator)
    }

    /// The campaign's rule.
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// See [`Rule::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The keys that sign.
    pub const fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// The id of the key that signs what was sent then.
    pub fn key_id(&self, sent_at: Timestamp) -> &str {
        self.keys.at(sent_at).id()
    }

    /// The outcome of one record: decode, judge, sign.
    pub fn evaluate<'k, S>(&self, record: &'k impl InputRecord, schemas: &mut S) -> Evaluation<'k>
    where
        S: SchemaSource<Plan = OrderStatusPlan>,
    {
        match decode(record, self.default_currency, schemas) {
            Ok(Value::Read(order)) => self.judge(&order, record).unwrap_or_else(Evaluation::Dead),
            Ok(Value::Tombstone) => Evaluation::Skip(Skip::Tombstone),
            Ok(Value::Wait { schema_id }) => Evaluation::Wait { schema_id },
            Err(malformed) => Evaluation::Dead(malformed),
        }
    }

    fn judge<'k>(
        &self,
        order: &OrderStatus<'k>,
        record: &impl InputRecord,
    ) -> Result<Evaluation<'k>, Malformed> {
        let written_at = record.timestamp_millis().map(Timestamp::from_millis);
        Ok(match self.rule.judge(order, written_at)? {
            Verdict::Skip(skip) => Evaluation::Skip(skip),
            Verdict::Eligible { sent_at } => {
                let order_id = order.order_id.clone().into_text();
                Evaluation::Voucher(Issued {
                    code: self.keys.at(sent_at).code(&self.rule.campaign, &order_id),
                    order_id,
                    sent_at,
                })
            }
        })
    }

    /// The voucher's record as it is written to the topic.
    pub fn voucher<'a>(&'a self, issued: &'a Issued<'_>) -> Voucher<'a> {
        Voucher {
            campaign: self.rule.campaign.as_str().into(),
            order_id: (&*issued.order_id).into(),
            code: issued.code.as_str().into(),
            amount: self.rule.amount,
            currency: self.rule.currency,
            issued_at: issued.sent_at,
            expires_at: self.rule.expires_at(issued.sent_at),
        }
    }
}

/// Reads one record: the first half of [`Evaluator::evaluate`], which needs no keys.
///
/// # Errors
/// When the record can't be used.
pub fn decode<'k, S>(
    record: &'k impl InputRecord,
    default_currency: Currency,
    schemas: &mut S,
) -> Result<Value<OrderStatus<'k>>, Malformed>
where
    S: SchemaSource<Plan = OrderStatusPlan>,
{
    value::read(record, schemas, |body| {
        OrderStatus::read(record.key(), body, default_currency)
    })
}

/// Shared by all tasks of a process.
pub type SharedEvaluator = Arc<Evaluator>;
