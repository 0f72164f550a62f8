//! The contract: order statuses and vouchers as Avro and JSON, and their wire format. No I/O.
//!
//! A record's bytes become a typed value in three steps, the same for both formats:
//!
//! 1. [`Payload::of`] and [`SchemaHeaders`] find the id of the value's schema and where its body
//!    starts. The schema decides whether the body is JSON or Avro ([`ValueFormat`]).
//! 2. A reader (`json`, or `avro` with a [`Plan`] compiled from the writer's schema) checks the whole
//!    value to its last byte, and puts the content of each known field into an array (`raw_field`).
//! 3. One interpretation (`field`, [`OrderStatus`], [`Voucher`]) turns the array into a value, or into
//!    the [`Malformed`] that names the first rule that is broken.
//!
//! Step 3 sees neither the format nor the order of the fields, so the result and its reason cannot
//! depend on them. Decimals never pass through a float, and nothing is rounded.
//! Reading a well-formed record allocates nothing, unless a known field is a JSON string with escapes,
//! or the record's key has the id in another form than its own bytes.
//!
//! | module | subject |
//! |---|---|
//! | `order_status`, `voucher` | the two records: their fields, listed once to be read and once to be written |
//! | `record`, `format` | reading and writing a record's fields in either format |
//! | `framing` | the schema's id before a value or in its headers |
//! | `wrapped` | orders inside of another record, which are named in the dead letter |
//! | `json` | a strict scanner, and the strings that are written |
//! | `avro` | the plan of a writer's schema, the reader that follows it, the writer |
//! | `raw_field`, `field` | what was found in a field; how it is interpreted |
//! | `text`, `swar` | a checked text; eight bytes at a time |
//! | `decimal`, `timestamp`, `currency`, `order_id`, `campaign` | the types of the fields |
//! | `key` | the forms in which a record's key names its order |
//! | `malformed` | why a record is a dead letter |
//! | `printable` | text from outside, made safe for a log line, a header or a terminal |
//!
//! `versions/` has every version of the two Avro schemas. A new version is a new file.

#![forbid(unsafe_code)]

mod avro;
mod campaign;
mod currency;
pub mod decimal;
mod field;
mod format;
mod framing;
mod json;
mod key;
mod malformed;
mod order_id;
mod order_status;
mod printable;
mod raw_field;
mod record;
mod swar;
mod text;
mod timestamp;
mod voucher;
mod wrapped;

pub use campaign::{Campaign, InvalidCampaign};
pub use currency::{Currency, InvalidCurrency};
pub use decimal::DecimalError;
pub use format::ValueFormat;
pub use framing::{Guid, Payload, SchemaHeaders, SchemaId, foreign_framing};
pub use key::KeyForm;
pub use malformed::{Malformed, Reason};
pub use order_id::{InvalidOrderId, OrderId};
pub use order_status::{
    NewOrderStatus, ORDER_STATUS_AVSC, OrderStatus, OrderStatusPlan, Status, UnknownStatus,
};
pub use printable::{is_unprintable, printable};
pub use record::{Plan, RecordType};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use voucher::{VOUCHER_AVSC, Voucher, VoucherPlan};
