//! A voucher, as it travels from the processor to the sink.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use rust_decimal::Decimal;

use crate::avro::{Plan, write};
use crate::campaign::{Campaign, InvalidCampaign};
use crate::currency::Currency;
use crate::decimal::{self, DecimalError};
use crate::field::{Field, order_id};
use crate::framing::{Body, write_header};
use crate::json;
use crate::malformed::{Malformed, Reason};
use crate::raw_field::RawField;
use crate::timestamp::{InvalidTimestamp, Timestamp};

/// The fields, in the order in which they are judged.
const FIELDS: [&str; 7] = [
    "order_id",
    "campaign",
    "code",
    "amount",
    "currency",
    "issued_at",
    "expires_at",
];

static NAMES: json::Names<{ FIELDS.len() }> = json::Names::of(FIELDS);

/// The scale of `amount` in `voucher.avsc`.
const AMOUNT_SCALE: u32 = 9;

/// The most characters of a code.
const MAX_CODE: usize = 64;

/// One voucher; (`campaign`, `order_id`) is its identity. One that was read is valid in every field.
///
/// The code is a bearer secret: `Debug` masks it, and no message of a [`Malformed`] has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Voucher<'a> {
    /// The campaign's name; see [`Campaign`].
    pub campaign: Cow<'a, str>,
    /// The order that both the record's key and its value name; see [`OrderId`](crate::OrderId).
    pub order_id: Cow<'a, str>,
    /// What the customer types: 1 to 64 printable characters.
    pub code: Cow<'a, str>,
    /// What it is worth: above 0, below 10^15.
    pub amount: Decimal,
    /// The amount's currency.
    pub currency: Currency,
    /// When the order was sent, within 2000 to 2099.
    pub issued_at: Timestamp,
    /// From when on it is worth nothing, within 2000 to 2099; none: it does not expire.
    pub expires_at: Option<Timestamp>,
}

/// How to read vouchers that were written with one Avro schema.
#[derive(Debug, Clone)]
pub struct VoucherPlan(Plan<{ FIELDS.len() }>);

impl VoucherPlan {
    /// Compiles the writer's schema. Fields are found by name; those that are not known are skipped,
    /// those that are missing count as absent.
    ///
    /// # Errors
    /// [`Reason::UnsupportedSchema`]: no Avro schema, no record's, or beyond the limits.
    pub fn compile(schema: &str) -> Result<Self, Malformed> {
        Self::compile_with(schema, &[])
    }

    /// As [`Self::compile`], for a schema that refers to types of other schemas: `references` are
    /// their texts, each after those that it refers to itself.
    ///
    /// # Errors
    /// As there; the limits hold for all texts together.
    pub fn compile_with(schema: &str, references: &[String]) -> Result<Self, Malformed> {
        Plan::compile(schema, references, &FIELDS).map(Self)
    }
}

impl<'a> Voucher<'a> {
    /// Reads a value without its framing.
    ///
    /// # Errors
    /// The first rule that the record breaks, whatever the format.
    pub fn read(key: Option<&'a [u8]>, body: Body<'a, VoucherPlan>) -> Result<Self, Malformed> {
        match body {
            Body::Json(value) => Self::from_json(key, value),
            Body::Avro(body, plan) => Self::from_avro(key, body, plan),
        }
    }

    /// Reads a JSON value.
    ///
    /// # Errors
    /// The first rule that the record breaks. The order of the fields does not change it.
    pub fn from_json(key: Option<&'a [u8]>, value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = json::Fields::none();
        json::read(value, &NAMES, &mut fields)?;
        if fields.has_escapes() {
            let texts = fields.unescaped();
            return Self::from_slots(key, &fields.slots_with(&texts), |text| {
                text.to_owned().into()
            });
        }
        Self::from_slots(key, &fields.slots, Cow::Borrowed)
    }

    /// Reads an Avro value after its framing, written with the schema of `plan`.
    ///
    /// # Errors
    /// The first rule that the record breaks, the same as for JSON of the same content.
    pub fn from_avro(
        key: Option<&'a [u8]>,
        body: &'a [u8],
        plan: &'a VoucherPlan,
    ) -> Result<Self, Malformed> {
        let mut slots = [RawField::Absent; FIELDS.len()];
        plan.0.read(body, &mut slots)?;
        Self::from_slots(key, &slots, Cow::Borrowed)
    }

    /// `kept` makes of a found text what the voucher holds.
    fn from_slots<'v>(
        key: Option<&'a [u8]>,
        slots: &[RawField<'v>; FIELDS.len()],
        kept: impl Fn(&'v str) -> Cow<'a, str>,
    ) -> Result<Self, Malformed> {
        let fields: [Field<'_, 'v>; FIELDS.len()] =
            std::array::from_fn(|at| Field::confidential(FIELDS[at], &slots[at]));
        let [id, campaign, code, amount, currency, issued_at, expires_at] = fields;

        let order_id = order_id(key, [id])?.into_text();
        let Some(campaign) = campaign.str().filter(|text| Campaign::is_valid(text)) else {
            return Err(campaign.refuse(Reason::InvalidCampaign, InvalidCampaign));
        };
        let Some(code) = code.str().filter(|text| is_code(text)) else {
            return Err(code.refuse(Reason::InvalidCode, "1 to 64 printable characters"));
        };
        let amount = amount_of(amount)?;
        let currency = currency.currency()?;
        let issued_at = issued_at
            .timestamp()?
            .ok_or_else(|| issued_at.refuse(Reason::InvalidTimestamp, InvalidTimestamp))?;
        let expires_at = expires_at.timestamp()?;

        Ok(Self {
            campaign: kept(campaign),
            order_id,
            code: kept(code),
            amount,
            currency,
            issued_at,
            expires_at,
        })
    }

    /// Appends the value as JSON. The amount is a string with at least two decimals, so that a
    /// reader who takes numbers for floats can't change it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"campaign\":");
        json::write_string(&self.campaign, out);
        out.extend_from_slice(b",\"order_id\":");
        json::write_string(&self.order_id, out);
        out.extend_from_slice(b",\"code\":");
        json::write_string(&self.code, out);
        let amount = decimal::as_money(self.amount);
        let Self {
            currency,
            issued_at,
            ..
        } = self;
        // Writing to a vector can't fail.
        let _ = write!(
            out,
            r#","amount":"{amount}","currency":"{currency}","issued_at":"{issued_at}","expires_at":"#
        );
        let _ = match self.expires_at {
            Some(expires_at) => write!(out, "\"{expires_at}\"}}"),
            None => out.write_all(b"null}"),
        };
    }

    /// Appends the value as framed Avro of [`VOUCHER_AVSC`](crate::VOUCHER_AVSC), which the registry
    /// knows as `schema_id`.
    ///
    /// # Errors
    /// [`DecimalError`] for an amount that the schema's decimal does not hold exactly: negative,
    /// 10^15 or more, or of more than 9 decimals. Nothing is appended then.
    pub fn write_avro(&self, schema_id: u32, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        let amount = decimal::storable(self.amount, AMOUNT_SCALE)?;
        write_header(schema_id, out);
        write::string(&self.campaign, out);
        write::string(&self.order_id, out);
        write::string(&self.code, out);
        write::decimal(amount, out);
        write::string(self.currency.as_str(), out);
        write::long(self.issued_at.as_micros(), out);
        write::optional_long(self.expires_at.map(Timestamp::as_micros), out);
        Ok(())
    }
}

impl fmt::Debug for Voucher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voucher")
            .field("campaign", &self.campaign)
            .field("order_id", &self.order_id)
            .field("code", &format_args!("****"))
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// Imported codes are whatever customers were given, as long as it can be printed and typed.
fn is_code(text: &str) -> bool {
    let is_printable = |c: char| c == ' ' || !(c.is_control() || c.is_whitespace());
    !text.is_empty()
        && text.chars().nth(MAX_CODE).is_none()
        && text.chars().all(is_printable)
        && text.trim() == text
}

fn amount_of(field: Field<'_, '_>) -> Result<Decimal, Malformed> {
    match field.decimal() {
        Ok(amount) if amount.is_zero() => {
            Err(field.refuse(Reason::InvalidAmount, "a number above zero"))
        }
        Ok(amount) => Ok(amount),
        Err(error) => Err(field.refuse(Reason::InvalidAmount, error)),
    }
}
