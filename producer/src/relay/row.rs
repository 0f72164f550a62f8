//! A row of the outbox, and the record that it becomes.

use runtime::trace_context::TraceParent;
use rust_decimal::Decimal;
use schemas::{Currency, NewOrderStatus, Status, Timestamp, ValueFormat};

/// One status event that is committed in Postgres and may not be published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Grows in the order in which the rows of one order are committed, but not between orders.
    pub id: i64,
    /// The order, and the record's key.
    pub order_id: String,
    /// Grows by one per change of the order.
    pub version: i64,
    /// The order's status.
    pub status: Status,
    /// The order's total.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// When the change was made.
    pub occurred_at: Timestamp,
    /// When the order was sent. Set from that change on.
    pub sent_at: Option<Timestamp>,
    /// The `traceparent` of the request.
    pub traceparent: Option<String>,
}

impl Row {
    /// Returns the span of the request, if its trace is sampled.
    pub fn sampled_parent(&self) -> Option<TraceParent> {
        let trace = self.traceparent.as_ref()?.as_bytes();
        if !TraceParent::may_be_sampled(trace) {
            return None;
        }
        TraceParent::parse(trace)
    }

    /// Appends the record's value.
    ///
    /// # Errors
    /// [`Unwritable`], with nothing appended.
    pub fn write(&self, format: ValueFormat, buffer: &mut Vec<u8>) -> Result<(), Unwritable> {
        let status = NewOrderStatus {
            order_id: &self.order_id,
            status: self.status,
            total: self.total,
            currency: self.currency,
            version: self.version,
            occurred_at: self.occurred_at,
            sent_at: self.sent_at,
        };
        status.write(format, buffer).map_err(|error| Unwritable {
            id: self.id,
            why: format!("its total {} is not {error}", self.total),
        })
    }
}

/// A row whose content the schema cannot express. The ingress should have refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritable {
    /// The row's id.
    pub id: i64,
    /// What is wrong with it.
    pub why: String,
}
