//! What is in topics and tables after everything has drained.

use anyhow::{Context, Result};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, Record};
use rust_decimal::Decimal;
use sqlx::Row;

/// A record's partition and offset in the order statuses.
pub type Place = (i32, i64);

/// One row of the producer's orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub order_id: String,
    /// Its status.
    pub status: String,
    /// Its total.
    pub total: Decimal,
    /// Its version.
    pub version: i64,
    /// Whether it was ever sent.
    pub sent: bool,
}

/// One record of the order statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRecord {
    /// Partition and offset.
    pub place: Place,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The version, and whether the order was sent, if the value is as our relay writes it.
    pub relayed: Option<(i64, bool)>,
}

/// One record of the vouchers, under read_committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRecord {
    /// Its key.
    pub order_id: String,
    /// The order status that it was issued for, from its headers.
    pub source: Place,
}

/// One dead letter of the order statuses, under read_committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedDeadLetter {
    /// The original record, from its headers.
    pub source: Place,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Everything that the verdict needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The producer's table.
    pub orders: Vec<OrderRow>,
    /// The order statuses, each partition in its order.
    pub statuses: Vec<StatusRecord>,
    /// The vouchers topic.
    pub vouchers: Vec<VoucherRecord>,
    /// The order ids of the sink's table.
    pub rows: Vec<String>,
    /// The processor's dead letters.
    pub dead_letters: Vec<ObservedDeadLetter>,
    /// The keys of the sink's dead letters.
    pub sink_dead_letters: Vec<String>,
}

/// Reads topics and tables.
pub(crate) async fn observe(system: &TestSystem) -> Result<Observed> {
    let schema = Schema::parse_str(schemas::ORDER_STATUS_AVSC)?;
    let orders = sqlx::query(
        "select order_id, status, total, version, sent_at is not null sent from orders",
    )
    .fetch_all(system.orders())
    .await?
    .iter()
    .map(|row| {
        Ok(OrderRow {
            order_id: row.try_get("order_id")?,
            status: row.try_get("status")?,
            total: row.try_get("total")?,
            version: row.try_get("version")?,
            sent: row.try_get("sent")?,
        })
    })
    .collect::<Result<_>>()?;
    let sink_topic = system.topics.vouchers_dead_letters();
    Ok(Observed {
        orders,
        statuses: system
            .order_records()
            .await?
            .into_iter()
            .map(|record| status(&schema, record))
            .collect(),
        vouchers: system
            .voucher_records()
            .await?
            .iter()
            .map(|record| {
                Ok(VoucherRecord {
                    order_id: record.key_text(),
                    source: source(record, "source")?,
                })
            })
            .collect::<Result<_>>()?,
        rows: system
            .vouchers()
            .await?
            .into_iter()
            .map(|row| row.order_id)
            .collect(),
        dead_letters: system
            .dead_letters()
            .await?
            .into_iter()
            .map(|record| {
                Ok(ObservedDeadLetter {
                    source: source(&record, "dlq")?,
                    key: record.key.unwrap_or_default(),
                    value: record.value.unwrap_or_default(),
                })
            })
            .collect::<Result<_>>()?,
        sink_dead_letters: topic::read(system.brokers(), &sink_topic)
            .await?
            .iter()
            .map(Record::key_text)
            .collect(),
    })
}

fn source(record: &Record, prefix: &str) -> Result<Place> {
    let number = |name: &str| {
        let header = format!("{prefix}.{name}");
        let value = record
            .header(&header)
            .with_context(|| format!("a record has no header {header}"))?;
        value
            .parse::<i64>()
            .with_context(|| format!("{header} is {value:?}"))
    };
    Ok((number("partition")?.try_into()?, number("offset")?))
}

fn status(schema: &Schema, record: Record) -> StatusRecord {
    let value = record.value.unwrap_or_default();
    StatusRecord {
        place: (record.partition, record.offset),
        key: record.key.unwrap_or_default(),
        relayed: relayed(schema, &value),
        value,
    }
}

/// Decodes a value with another decoder than the product's.
fn relayed(schema: &Schema, value: &[u8]) -> Option<(i64, bool)> {
    // A zero byte and the schema's id come first.
    let (framing, mut datum) = value.split_at_checked(5)?;
    if framing.first() != Some(&0) {
        return None;
    }
    let decoded = GenericDatumReader::builder(schema)
        .build()
        .and_then(|reader| reader.read_value(&mut datum));
    let Ok(Value::Record(fields)) = decoded else {
        return None;
    };
    let optional = |name: &str| {
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        match value {
            Value::Union(_, value) if **value != Value::Null => Some((**value).clone()),
            _ => None,
        }
    };
    let Some(Value::Long(version)) = optional("version") else {
        return None;
    };
    Some((version, optional("sent_at").is_some()))
}
