//! Evaluates one record: decode, apply the rule, sign. The live loop, backfills and redrives all use it.

use std::borrow::Cow;
use std::sync::Arc;

use runtime::record::InputRecord;
use runtime::registry::SchemaSource;
use runtime::value::{self, Decoded};
use schemas::{
    Currency, DecimalError, Malformed, OrderStatus, OrderStatusPlan, SchemaId, Timestamp,
    ValueFormat, Voucher,
};

use crate::code::Code;
use crate::rule::{Rule, Skip, Verdict};
use crate::signing_keys::SigningKeys;

/// The outcome of one record.
#[derive(Debug)]
pub enum Evaluation<'k> {
    /// It earns a voucher.
    Voucher(Issued<'k>),
    /// It is well formed, but earns no voucher.
    Skip(Skip),
    /// It cannot be used, and becomes a dead letter.
    Dead(Malformed),
    /// The registry is being asked for its schema. Evaluate it again later.
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

/// The rule, the keys and the defaults. An outcome depends on these and the record alone.
#[derive(Debug, Clone)]
pub struct Evaluator {
    rule: Rule,
    keys: SigningKeys,
    default_currency: Currency,
    fingerprint: String,
}

impl Evaluator {
    /// Returns the evaluator of one campaign.
    ///
    /// # Errors
    /// If a voucher's schema cannot hold the rule's amount exactly.
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
        let voucher = evaluator.voucher(&sample);
        voucher.write(ValueFormat::Avro(0), &mut Vec::new())?;
        Ok(evaluator)
    }

    /// Returns the campaign's rule.
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Returns the rule's [`fingerprint`](Rule::fingerprint).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the keys that sign.
    pub const fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Returns the id of the key that signs vouchers of orders that were sent then.
    pub fn key_id(&self, sent_at: Timestamp) -> &str {
        self.keys.at(sent_at).id()
    }

    /// Returns the outcome of one record.
    pub fn evaluate<'k, S>(&self, record: &'k impl InputRecord, schemas: &mut S) -> Evaluation<'k>
    where
        S: SchemaSource<Plan = OrderStatusPlan>,
    {
        self.decide(self.decode(record, schemas), record)
    }

    /// Decodes one record: the first part of [`evaluate`](Self::evaluate).
    #[inline(always)]
    pub fn decode<'k, S>(
        &self,
        record: &'k impl InputRecord,
        schemas: &mut S,
    ) -> Decoded<OrderStatus<'k>>
    where
        S: SchemaSource<Plan = OrderStatusPlan>,
    {
        decode(record, self.default_currency, schemas)
    }

    /// Returns the outcome of a decoded record: the second part of [`evaluate`](Self::evaluate).
    #[inline(always)]
    pub fn decide<'k>(
        &self,
        decoded: Decoded<OrderStatus<'k>>,
        record: &impl InputRecord,
    ) -> Evaluation<'k> {
        match decoded {
            Decoded::Value(order) => self.judge(&order, record).unwrap_or_else(Evaluation::Dead),
            Decoded::Tombstone => Evaluation::Skip(Skip::Tombstone),
            Decoded::Pending(schema_id) => Evaluation::Wait { schema_id },
            Decoded::Malformed(malformed) => Evaluation::Dead(malformed),
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

    /// Returns the voucher as it is written to the topic.
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

/// Decodes one record: the first part of [`Evaluator::evaluate`], which needs no rule and no keys.
pub fn decode<'k, S>(
    record: &'k impl InputRecord,
    default_currency: Currency,
    schemas: &mut S,
) -> Decoded<OrderStatus<'k>>
where
    S: SchemaSource<Plan = OrderStatusPlan>,
{
    value::decode(record, schemas, |bytes, format| {
        OrderStatus::read(record.key(), bytes, format, default_currency)
    })
}

/// The evaluator that all tasks of a process share.
pub type SharedEvaluator = Arc<Evaluator>;
