//! A row of the outbox, and the record that it becomes.

use runtime::trace_context::TRACEPARENT;
use rust_decimal::Decimal;
use schemas::{Currency, NewOrderStatus, Status, Timestamp};

/// One status event that is committed and not known to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Grows in the order in which rows of the same order are committed; between orders it may not.
    pub id: i64,
    /// The order, and the record's key.
    pub order_id: String,
    /// Grows by one per change of the order.
    pub version: i64,
    /// What became of the order.
    pub status: Status,
    /// What it costs.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// When the change was made.
    pub occurred_at: Timestamp,
    /// When the order was sent, from that change on.
    pub sent_at: Option<Timestamp>,
    /// The request's trace.
    pub traceparent: Option<String>,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Without a registry.
    Json,
    /// Framed, with the id that the registry has for our own schema.
    Avro {
        /// That id.
        schema_id: u32,
    },
}

impl Row {
    /// The record's header, which carries the request's trace on.
    pub fn trace_header(&self) -> Option<(&str, Option<&[u8]>)> {
        self.traceparent
            .as_ref()
            .map(|trace| (TRACEPARENT, Some(trace.as_bytes())))
    }

    /// Appends the record's value.
    ///
    /// # Errors
    /// [`Unwritable`], with nothing appended.
    pub fn write(&self, format: Format, buffer: &mut Vec<u8>) -> Result<(), Unwritable> {
        let status = NewOrderStatus {
            order_id: &self.order_id,
            status: self.status,
            total: self.total,
            currency: self.currency,
            version: self.version,
            occurred_at: self.occurred_at,
            sent_at: self.sent_at,
        };
        match format {
            Format::Json => status.write_json(buffer),
            Format::Avro { schema_id } => {
                status
                    .write_avro(schema_id, buffer)
                    .map_err(|error| Unwritable {
                        id: self.id,
                        why: format!("its total {} is not {error}", self.total),
                    })?;
            }
        }
        Ok(())
    }
}

/// The schema has no form for a row's content: the ingress let something in that it should not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritable {
    /// Which row.
    pub id: i64,
    /// What is wrong with it.
    pub why: String,
}
