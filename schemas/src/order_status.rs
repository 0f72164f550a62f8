//! One change of an order's status, as it is read from the topic and written to it.

mod status;

use rust_decimal::Decimal;

use crate::currency::Currency;
use crate::decimal::DecimalError;
use crate::field::{Field, order_id};
use crate::format::ValueFormat;
use crate::json;
use crate::malformed::{Malformed, Reason};
use crate::order_id::OrderId;
use crate::raw_field::RawField;
use crate::record::{self, Plan, RecordType};
use crate::timestamp::Timestamp;
use crate::wrapped::{wrapped, wrapped_json};

pub use status::{Status, UnknownStatus};

/// The newest Avro schema of the values of the order status topic: the one that is registered.
pub const ORDER_STATUS_AVSC: &str = include_str!("../versions/order_status.1.avsc");

/// The fields that are read, in the order in which they are checked.
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

/// An order's state after one change, as it was read. Every field is valid.
///
/// Borrows from the record's key only: the value's bytes may be reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStatus<'k> {
    /// The order that both the record's key and its value name.
    pub order_id: OrderId<'k>,
    /// The order's status after the change.
    pub status: Status,
    /// What the order costs: exact, at least 0, below 10^15, at most 28 significant digits.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// Grows by one with each change, if the writer counts them. Nothing here depends on it.
    pub version: Option<i64>,
    /// When the change happened, within 2000 to 2099.
    pub occurred_at: Option<Timestamp>,
    /// When the order was sent, within 2000 to 2099. Every later record carries it too.
    pub sent_at: Option<Timestamp>,
}

impl RecordType for OrderStatus<'_> {
    const FIELDS: &'static [&'static str] = &FIELDS;
}

/// How to read order statuses that were written with one Avro schema.
pub type OrderStatusPlan = Plan<OrderStatus<'static>>;

impl<'k> OrderStatus<'k> {
    /// Reads a value without its framing.
    ///
    /// # Errors
    /// The first rule that the record breaks, in the order of the fields that are checked, and
    /// [`Reason::WrappedRecord`] for an order inside of another record. Neither the format nor the
    /// order of the fields in the value changes it.
    #[inline]
    pub fn read(
        key: Option<&'k [u8]>,
        bytes: &[u8],
        format: ValueFormat<&OrderStatusPlan>,
        default_currency: Currency,
    ) -> Result<Self, Malformed> {
        record::read(bytes, format, &NAMES, |fields, _| {
            Self::from_fields(key, fields, default_currency)
        })
        .map_err(|malformed| named_if_wrapped(malformed, bytes, format))
    }

    #[inline(always)]
    fn from_fields(
        key: Option<&'k [u8]>,
        fields: &[RawField<'_>; FIELDS.len()],
        default_currency: Currency,
    ) -> Result<Self, Malformed> {
        let fields: [Field<'_, '_>; FIELDS.len()] =
            std::array::from_fn(|at| Field::new(FIELDS[at], &fields[at]));
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

    /// Returns when the order was sent, which is when its voucher is earned, or `None` if this record
    /// does not say that the order was sent.
    ///
    /// A SENT record was sent at its `sent_at`, else at its `occurred_at`, else at the record's own
    /// timestamp. Of any other status only its own `sent_at` counts.
    ///
    /// # Errors
    /// For a SENT record without a time of its own if `record_timestamp` is missing or outside 2000
    /// to 2099.
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

/// Returns the fault, or a fault that says that the order is inside of another record.
#[cold]
#[inline(never)]
fn named_if_wrapped(
    malformed: Malformed,
    bytes: &[u8],
    format: ValueFormat<&OrderStatusPlan>,
) -> Malformed {
    let wrapped = match format {
        _ if malformed.reason().is_unparsable() => None,
        ValueFormat::Json => wrapped_json(bytes),
        ValueFormat::Avro(plan) => wrapped(|name| plan.has_field(name)),
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

/// An order's state after one change, to be written. Our own records have a version and a time, which
/// those of other writers may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrderStatus<'a> {
    /// The order: a valid [`OrderId`]. The record's key must be the same bytes.
    pub order_id: &'a str,
    /// The order's status after the change.
    pub status: Status,
    /// What the order costs, at least 0 and below 10^15.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// Grows by one with each change.
    pub version: i64,
    /// When the change happened, within 2000 to 2099.
    pub occurred_at: Timestamp,
    /// When the order was sent, within 2000 to 2099; in every record from then on.
    pub sent_at: Option<Timestamp>,
}

impl<'a> NewOrderStatus<'a> {
    /// Returns the first record of an order that costs nothing. Examples and tests change the fields
    /// that matter to them, and so need no change when a field is added.
    #[must_use]
    pub const fn pending(order_id: &'a str) -> Self {
        Self {
            order_id,
            status: Status::Pending,
            total: Decimal::ZERO,
            currency: Currency::EUR,
            version: 1,
            occurred_at: Timestamp::FIRST,
            sent_at: None,
        }
    }

    /// Appends the value: JSON, or framed Avro of [`ORDER_STATUS_AVSC`].
    ///
    /// # Errors
    /// In Avro, [`DecimalError`] for a total that the schema cannot hold exactly: negative, 10^15 or
    /// more, or with more than 9 decimals. Nothing is appended then.
    pub fn write(&self, format: ValueFormat, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        let Self {
            order_id,
            status,
            total,
            currency,
            version,
            occurred_at,
            sent_at,
        } = *self;
        record::write(format, out, |record| {
            record.field("order_id", order_id)?;
            record.field("status", status.as_str())?;
            record.field("total", total)?;
            record.field("currency", currency.as_str())?;
            record.field("version", Some(version))?;
            record.field("occurred_at", Some(occurred_at))?;
            record.field("sent_at", sent_at)
        })
    }
}
