//! The peer of the decoder: an order status from apache-avro's generic value.

use anyhow::{Context, Result, bail, ensure};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use schemas::{OrderId, OrderStatus, Status, Timestamp, decimal};

/// The scale of the total in our schema.
const SCALE: u32 = 9;

/// Reads the generic value of a record.
///
/// # Errors
/// When the value is not a record.
pub fn fields(reader: &GenericDatumReader<'_>, mut body: &[u8]) -> Result<Vec<(String, Value)>> {
    match reader.read_value(&mut body)? {
        Value::Record(fields) => Ok(fields),
        other => bail!("{other:?} is not a record"),
    }
}

/// Reads what the decoder reads from the same bytes, with the same checks.
///
/// # Errors
/// When the decoder refuses the record.
pub fn order_status<'k>(
    reader: &GenericDatumReader<'_>,
    key: &'k [u8],
    body: &[u8],
) -> Result<OrderStatus<'k>> {
    let key = std::str::from_utf8(key)?;
    let (mut status, mut total, mut currency) = (None, None, None);
    let (mut version, mut occurred_at, mut sent_at) = (None, None, None);
    for (name, value) in fields(reader, body)? {
        match (name.as_str(), value) {
            ("order_id", Value::String(id)) => ensure!(id == key, "{id} is not the key"),
            ("status", Value::String(text)) => status = Some(text.parse::<Status>()?),
            ("total", Value::Decimal(value)) => {
                let unscaled = Vec::try_from(&value)?;
                let value = decimal::from_unscaled(&unscaled, SCALE)?;
                ensure!(!value.is_sign_negative(), "a negative total");
                total = Some(value);
            }
            ("currency", Value::String(text)) => currency = Some(text.parse()?),
            ("version", Value::Union(_, value)) => {
                version = match *value {
                    Value::Long(version) => Some(version),
                    _ => None,
                }
            }
            ("occurred_at", Value::Union(_, value)) => occurred_at = time(&value)?,
            ("sent_at", Value::Union(_, value)) => sent_at = time(&value)?,
            (name, value) => bail!("{name} is {value:?}"),
        }
    }
    Ok(OrderStatus {
        order_id: OrderId::new(key)?,
        status: status.context("no status")?,
        total: total.context("no total")?,
        currency: currency.context("no currency")?,
        version,
        occurred_at,
        sent_at,
    })
}

fn time(value: &Value) -> Result<Option<Timestamp>> {
    let Value::TimestampMicros(micros) = value else {
        return Ok(None);
    };
    let time = Timestamp::from_micros(*micros);
    ensure!(time.is_in_range(), "{time:?} is out of range");
    Ok(Some(time))
}
