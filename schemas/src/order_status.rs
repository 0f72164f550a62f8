//! One change of an order's status, as it is read from the topic.

mod status;
mod write;

use rust_decimal::Decimal;

use crate::avro::Plan;
use crate::currency::Currency;
use crate::decimal::DecimalError;
use crate::field::{Field, order_id};
use crate::framing::Body;
use crate::json;
use crate::malformed::{Malformed, Reason};
use crate::order_id::OrderId;
use crate::raw_field::RawField;
use crate::timestamp::Timestamp;
use crate::wrapped::{wrapped, wrapped_json};

pub use status::{Status, UnknownStatus};
pub use write::NewOrderStatus;

/// The fields that are read, in the order in which they are judged.
const FIELDS: [&str; 8] = [
    "order_id",
    "id",
    "status",
    "total",
    "currency",
    "version",
    "occurred_at",
    "sent_at",
];

static NAMES: json::Names<{ FIELDS.len() }> = json::Names::of(FIELDS);

/// An order's state after one change, valid in every field.
///
/// Borrows from the record's key only: the value's bytes may be reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStatus<'k> {
    /// The order that both the record's key and its value name.
    pub order_id: OrderId<'k>,
    /// What became of it.
    pub status: Status,
    /// What it costs: exact, at least 0, below 10^15, at most 28 significant digits.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// Grows by one per change, where the writer counts; nothing here depends on it.
    pub version: Option<i64>,
    /// When the change happened, within 2000 to 2099.
    pub occurred_at: Option<Timestamp>,
    /// When the order was sent, within 2000 to 2099; carried by every record after that.
    pub sent_at: Option<Timestamp>,
}

/// How to read order statuses that were written with one Avro schema.
#[derive(Debug, Clone)]
pub struct OrderStatusPlan(Plan<{ FIELDS.len() }>);

impl OrderStatusPlan {
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

impl<'k> OrderStatus<'k> {
    /// Reads a value without its framing.
    ///
    /// # Errors
    /// The first rule that the record breaks, whatever the format, and [`Reason::WrappedRecord`] for
    /// an order inside of another record.
    #[inline]
    pub fn read(
        key: Option<&'k [u8]>,
        body: Body<'_, OrderStatusPlan>,
        default_currency: Currency,
    ) -> Result<Self, Malformed> {
        match body {
            Body::Json(value) => Self::from_json(key, value, default_currency),
            Body::Avro(body, plan) => Self::from_avro(key, body, plan, default_currency),
        }
        .map_err(|malformed| named_if_wrapped(malformed, body))
    }

    /// Reads a JSON value.
    ///
    /// # Errors
    /// The first rule that the record breaks. The order of the fields does not change it.
    #[inline]
    pub fn from_json(
        key: Option<&'k [u8]>,
        value: &[u8],
        default_currency: Currency,
    ) -> Result<Self, Malformed> {
        let mut fields = json::Fields::none();
        json::read(value, &NAMES, &mut fields)?;
        if fields.has_escapes() {
            let texts = fields.unescaped();
            return Self::from_slots(key, &fields.slots_with(&texts), default_currency);
        }
        Self::from_slots(key, &fields.slots, default_currency)
    }

    /// Reads an Avro value after its framing, written with the schema of `plan`.
    ///
    /// # Errors
    /// The first rule that the record breaks, the same as for JSON of the same content.
    #[inline]
    pub fn from_avro(
        key: Option<&'k [u8]>,
        body: &[u8],
        plan: &OrderStatusPlan,
        default_currency: Currency,
    ) -> Result<Self, Malformed> {
        let mut slots = [RawField::Absent; FIELDS.len()];
        plan.0.read(body, &mut slots)?;
        Self::from_slots(key, &slots, default_currency)
    }

    #[inline(always)]
    fn from_slots(
        key: Option<&'k [u8]>,
        slots: &[RawField<'_>; FIELDS.len()],
        default_currency: Currency,
    ) -> Result<Self, Malformed> {
        let fields: [Field<'_, '_>; FIELDS.len()] =
            std::array::from_fn(|at| Field::new(FIELDS[at], &slots[at]));
        let [
            id,
            old_id,
            status,
            total,
            currency,
            version,
            occurred_at,
            sent_at,
        ] = fields;
        Ok(Self {
            order_id: order_id(key, [id, old_id])?,
            status: status_of(status)?,
            total: total_of(total)?,
            currency: currency.currency_or(default_currency)?,
            version: version.version()?,
            occurred_at: occurred_at.timestamp()?,
            sent_at: sent_at.timestamp()?,
        })
    }

    /// When the order was sent, and with that when its voucher is earned; none if this record does
    /// not say that it was.
    ///
    /// A SENT record was sent at its `sent_at`, else `occurred_at`, else at the record's own
    /// timestamp. Of any other status only its own `sent_at` counts.
    ///
    /// # Errors
    /// A SENT record that has to take `record_timestamp`, which is missing or outside 2000 to 2099.
    pub fn earned_at(
        &self,
        record_timestamp: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, Malformed> {
        match (
            self.status,
            self.sent_at,
            self.occurred_at,
            record_timestamp,
        ) {
            (_, Some(sent_at), _, _) => Ok(Some(sent_at)),
            (Status::Sent, None, Some(occurred_at), _) => Ok(Some(occurred_at)),
            (Status::Sent, None, None, Some(time)) if time.is_in_range() => Ok(Some(time)),
            (Status::Sent, None, None, Some(time)) => Err(Malformed::new(
                Reason::TimestampOutOfRange,
                format!(
                    "the order was sent, and the record's own timestamp {time} is not of the years 2000 to 2099"
                ),
            )),
            (Status::Sent, None, None, None) => Err(Malformed::new(
                Reason::MissingTimestamp,
                "the order was sent, and neither sent_at, occurred_at nor the record's own timestamp says when",
            )),
            (_, None, _, _) => Ok(None),
        }
    }
}

/// The fault, or that the order is inside of another record.
#[cold]
#[inline(never)]
fn named_if_wrapped(malformed: Malformed, body: Body<'_, OrderStatusPlan>) -> Malformed {
    let wrapped = match body {
        _ if malformed.reason().is_of_the_form() => None,
        Body::Json(value) => wrapped_json(value),
        Body::Avro(_, plan) => wrapped(|name| plan.0.has_field(name)),
    };
    wrapped.unwrap_or(malformed)
}

#[inline(always)]
fn status_of(field: Field<'_, '_>) -> Result<Status, Malformed> {
    match field.text() {
        Some(text) => Status::of(text.as_bytes())
            .ok_or_else(|| field.refuse(Reason::UnknownStatus, UnknownStatus)),
        None => Err(field.refuse(Reason::InvalidStatus, UnknownStatus)),
    }
}

#[inline(always)]
fn total_of(field: Field<'_, '_>) -> Result<Decimal, Malformed> {
    field.decimal().map_err(|error| {
        let reason = match error {
            DecimalError::NotANumber => Reason::InvalidTotal,
            DecimalError::Negative | DecimalError::TooLarge => Reason::TotalOutOfRange,
            DecimalError::TooPrecise => Reason::TotalTooPrecise,
        };
        field.refuse(reason, error)
    })
}
