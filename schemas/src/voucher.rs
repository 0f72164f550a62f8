//! A voucher, as it travels from the processor to the sink.

use std::borrow::Cow;
use std::fmt;

use rust_decimal::Decimal;

use crate::campaign::{Campaign, InvalidCampaign};
use crate::currency::Currency;
use crate::decimal::DecimalError;
use crate::field::{Field, order_id};
use crate::format::ValueFormat;
use crate::json;
use crate::malformed::{Malformed, Reason};
use crate::raw_field::RawField;
use crate::record::{self, Plan, RecordType};
use crate::timestamp::{InvalidTimestamp, Timestamp};

/// The newest Avro schema of the values of the vouchers topic: the one that is registered.
pub const VOUCHER_AVSC: &str = include_str!("../versions/voucher.1.avsc");

/// The fields that are read, in the order in which they are checked.
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

/// The maximum number of characters that a code has.
const MAX_CODE: usize = 64;

/// One voucher. Its identity is (`campaign`, `order_id`). Every field of a voucher that was read is
/// valid.
///
/// The code is a bearer secret: `Debug` masks it, and no message of a [`Malformed`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Voucher<'a> {
    /// The campaign's name; see [`Campaign`].
    pub campaign: Cow<'a, str>,
    /// The order that both the record's key and its value name; see [`OrderId`](crate::OrderId).
    pub order_id: Cow<'a, str>,
    /// What the customer types: 1 to 64 printable characters.
    pub code: Cow<'a, str>,
    /// What the voucher is worth: above 0, below 10^15.
    pub amount: Decimal,
    /// The amount's currency.
    pub currency: Currency,
    /// When the order was sent, within 2000 to 2099.
    pub issued_at: Timestamp,
    /// When the voucher expires, within 2000 to 2099. `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
}

impl RecordType for Voucher<'_> {
    const FIELDS: &'static [&'static str] = &FIELDS;
}

/// How to read vouchers that were written with one Avro schema.
pub type VoucherPlan = Plan<Voucher<'static>>;

impl<'a> Voucher<'a> {
    /// Reads a value without its framing.
    ///
    /// # Errors
    /// The first rule that the record breaks, in the order of the fields that are checked. Neither
    /// the format nor the order of the fields in the value changes it.
    pub fn read(
        key: Option<&'a [u8]>,
        bytes: &'a [u8],
        format: ValueFormat<&'a VoucherPlan>,
    ) -> Result<Self, Malformed> {
        record::read(bytes, format, &NAMES, |fields, keep| {
            Self::from_fields(key, fields, keep)
        })
    }

    /// Builds the voucher from its fields. `keep` makes a text of a field live as long as the voucher.
    fn from_fields<'v>(
        key: Option<&'a [u8]>,
        fields: &[RawField<'v>; FIELDS.len()],
        keep: fn(&'v str) -> Cow<'a, str>,
    ) -> Result<Self, Malformed> {
        let fields: [Field<'_, 'v>; FIELDS.len()] =
            std::array::from_fn(|at| Field::confidential(FIELDS[at], &fields[at]));
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
            campaign: keep(campaign),
            order_id,
            code: keep(code),
            amount,
            currency,
            issued_at,
            expires_at,
        })
    }

    /// Appends the value: JSON, or framed Avro of [`VOUCHER_AVSC`].
    ///
    /// # Errors
    /// In Avro, [`DecimalError`] for an amount that the schema cannot hold exactly: negative, 10^15 or
    /// more, or with more than 9 decimals. Nothing is appended then.
    pub fn write(&self, format: ValueFormat, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        let Self {
            campaign,
            order_id,
            code,
            amount,
            currency,
            issued_at,
            expires_at,
        } = self;
        record::write(format, out, |record| {
            record.field("campaign", &**campaign)?;
            record.field("order_id", &**order_id)?;
            record.field("code", &**code)?;
            record.field("amount", *amount)?;
            record.field("currency", currency.as_str())?;
            record.field("issued_at", *issued_at)?;
            record.field("expires_at", *expires_at)
        })
    }
}

/// Shows every field but the code.
impl fmt::Debug for Voucher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            campaign,
            order_id,
            code: _,
            amount,
            currency,
            issued_at,
            expires_at,
        } = self;
        f.debug_struct("Voucher")
            .field("campaign", campaign)
            .field("order_id", order_id)
            .field("code", &format_args!("****"))
            .field("amount", amount)
            .field("currency", currency)
            .field("issued_at", issued_at)
            .field("expires_at", expires_at)
            .finish()
    }
}

/// Returns whether `text` may be a voucher's code. Imported codes are whatever customers were given,
/// as long as it can be printed and typed.
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
