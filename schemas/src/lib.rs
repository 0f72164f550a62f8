//! The contract: order statuses and vouchers as Avro and JSON, and their wire format. No I/O.
//!
//! A record's bytes become a typed value in three steps, the same for both formats:
//!
//! 1. [`Payload::of`] and [`SchemaHeaders`] tell which schema a value has and where its body starts;
//!    what that schema is makes the body JSON or Avro ([`Body`]).
//! 2. A front end (`json`, or `avro` with a plan compiled from the writer's schema) walks the whole
//!    value, checks its form to the last byte, and puts what it finds of the known fields into an
//!    array of slots (`slot`).
//! 3. One interpretation (`field`, [`OrderStatus`], [`Voucher`]) turns the slots into a value, or
//!    into the [`Malformed`] that names the first rule that is broken.
//!
//! Step 3 sees neither the format nor the order of the fields, so the verdict on a record and the
//! reason for it can't depend on them. Decimals never pass through a float, and nothing is rounded.
//! Reading a well-formed record allocates nothing, unless a JSON string that is read has escapes or
//! the record's key has the id in another form than its own bytes.
//!
//! | module | subject |
//! |---|---|
//! | `framing` | the schema's id before a value or in its headers |
//! | `wrapped` | orders inside of another record, which are named |
//! | `json` | a strict scanner, and the strings that are written |
//! | `avro` | the plan of a writer's schema, the reader that follows it, the writer |
//! | `slot`, `field` | what was found in a field; how it is understood |
//! | `text`, `word` | a checked text; eight of its bytes at a time |
//! | `decimal`, `timestamp`, `currency`, `order_id`, `campaign` | the types of the fields |
//! | `order_status`, `voucher` | the two records |
//! | `key` | the forms in which a record's key names its order |
//! | `malformed` | why a record is a dead letter |
//! | `printable` | text from outside, for a log line, a header or a terminal |

#![forbid(unsafe_code)]

mod avro;
mod campaign;
mod currency;
pub mod decimal;
mod field;
mod framing;
mod json;
mod key;
mod malformed;
mod order_id;
mod order_status;
mod printable;
mod raw_field;
mod swar;
mod text;
mod timestamp;
mod voucher;
mod wrapped;

pub use campaign::{Campaign, InvalidCampaign};
pub use currency::{Currency, InvalidCurrency};
pub use decimal::DecimalError;
pub use framing::{
    Body, Guid, Payload, SchemaHeaders, SchemaId, WriterSchema, foreign_framing, write_header,
};
pub use key::KeyForm;
pub use malformed::{Malformed, Reason};
pub use order_id::{InvalidOrderId, OrderId};
pub use order_status::{NewOrderStatus, OrderStatus, OrderStatusPlan, Status, UnknownStatus};
pub use printable::{is_unprintable, printable};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use voucher::{Voucher, VoucherPlan};

/// The Avro schema of the values of the order status topic, as it is registered.
pub const ORDER_STATUS_AVSC: &str = include_str!("../order_status.avsc");

/// The Avro schema of the values of the vouchers topic, as it is registered.
pub const VOUCHER_AVSC: &str = include_str!("../voucher.avsc");
