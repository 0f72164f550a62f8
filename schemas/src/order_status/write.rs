//! Writing an order's status.

use std::io::Write;

use rust_decimal::Decimal;

use super::Status;
use crate::avro::write;
use crate::currency::Currency;
use crate::decimal::{self, DecimalError};
use crate::framing::write_header;
use crate::json;
use crate::timestamp::Timestamp;

/// The scale of `total` in `order_status.avsc`.
const TOTAL_SCALE: u32 = 9;

/// An order's state after one change, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrderStatus<'a> {
    /// The order: a valid [`OrderId`](crate::OrderId). The record's key must be the same bytes.
    pub order_id: &'a str,
    /// What became of it.
    pub status: Status,
    /// What it costs, at least 0 and below 10^15.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// Grows by one per change.
    pub version: i64,
    /// When the change happened, within 2000 to 2099.
    pub occurred_at: Timestamp,
    /// When the order was sent, within 2000 to 2099; in every record from then on.
    pub sent_at: Option<Timestamp>,
}

impl NewOrderStatus<'_> {
    /// Appends the value as JSON. The total is a string with at least two decimals, so that a reader
    /// who takes numbers for floats can't change it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"order_id\":");
        json::write_string(self.order_id, out);
        let Self {
            status,
            currency,
            version,
            occurred_at,
            ..
        } = self;
        let total = decimal::as_money(self.total);
        // Writing to a vector can't fail.
        let _ = write!(
            out,
            r#","status":"{status}","total":"{total}","currency":"{currency}","version":{version},"occurred_at":"{occurred_at}","sent_at":"#
        );
        let _ = match self.sent_at {
            Some(sent_at) => write!(out, "\"{sent_at}\"}}"),
            None => out.write_all(b"null}"),
        };
    }

    /// Appends the value as framed Avro of [`ORDER_STATUS_AVSC`](crate::ORDER_STATUS_AVSC), which
    /// the registry knows as `schema_id`.
    ///
    /// # Errors
    /// [`DecimalError`] for a total that the schema's decimal does not hold exactly: negative, 10^15
    /// or more, or of more than 9 decimals. Nothing is appended then.
    pub fn write_avro(&self, schema_id: u32, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        let total = decimal::storable(self.total, TOTAL_SCALE)?;
        write_header(schema_id, out);
        write::string(self.order_id, out);
        write::string(self.status.as_str(), out);
        write::decimal(total, out);
        write::string(self.currency.as_str(), out);
        write::optional_long(Some(self.version), out);
        write::optional_long(Some(self.occurred_at.as_micros()), out);
        write::optional_long(self.sent_at.map(Timestamp::as_micros), out);
        Ok(())
    }
}
