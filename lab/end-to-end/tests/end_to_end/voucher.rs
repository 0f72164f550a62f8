//! Voucher records as third parties read them: JSON, or Avro by the Avro library's own decoder.

use anyhow::{Context, Result, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use chrono::{DateTime, SecondsFormat};
use end_to_end::system::TestSystem;
use end_to_end::topic::Record;
use rust_decimal::Decimal;

/// Decimals of the amount in `voucher.avsc`.
const SCALE: u32 = 9;

/// A voucher's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voucher {
    pub(crate) campaign: String,
    pub(crate) order_id: String,
    pub(crate) code: String,
    pub(crate) amount: Decimal,
    pub(crate) currency: String,
    /// RFC 3339 in UTC, with as many decimals as it takes.
    pub(crate) issued_at: String,
    pub(crate) expires_at: Option<String>,
}

/// Reads a record of the vouchers topic; it must be in the format that the system's services write.
pub(crate) fn read(system: &TestSystem, record: &Record) -> Result<Voucher> {
    let value = record.value.as_deref().context("a voucher has a value")?;
    match (system.has_registry(), value) {
        (true, [0, _, _, _, _, body @ ..]) => read_avro(body),
        (false, [b'{', ..]) => read_json(value),
        _ => anyhow::bail!("a voucher in another format: {value:?}"),
    }
}

fn read_json(value: &[u8]) -> Result<Voucher> {
    let json: serde_json::Value = serde_json::from_slice(value)?;
    let text = |name: &str| {
        let text = json[name].as_str().map(str::to_owned);
        text.with_context(|| format!("{name} of {json}"))
    };
    let expires_at = match &json["expires_at"] {
        serde_json::Value::Null => None,
        _ => Some(text("expires_at")?),
    };
    Ok(Voucher {
        campaign: text("campaign")?,
        order_id: text("order_id")?,
        code: text("code")?,
        amount: text("amount")?.parse()?,
        currency: text("currency")?,
        issued_at: text("issued_at")?,
        expires_at,
    })
}

fn read_avro(body: &[u8]) -> Result<Voucher> {
    let schema = Schema::parse_str(schemas::VOUCHER_AVSC)?;
    let mut rest = body;
    let value = GenericDatumReader::builder(&schema)
        .build()?
        .read_value(&mut rest)?;
    ensure!(rest.is_empty(), "the voucher goes on after its end");
    let Value::Record(fields) = value else {
        anyhow::bail!("no record: {value:?}");
    };
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found
            .map(|(_, value)| value)
            .with_context(|| format!("no {name}"))
    };
    let text = |name: &str| match field(name)? {
        Value::String(text) => Ok(text.clone()),
        other => anyhow::bail!("{name}: {other:?}"),
    };
    let amount = match field("amount")? {
        Value::Decimal(decimal) => {
            let bytes: Vec<u8> = decimal.try_into()?;
            let unscaled = bytes
                .iter()
                .fold(0_i128, |value, byte| value << 8 | i128::from(*byte));
            Decimal::try_from_i128_with_scale(unscaled, SCALE)?
        }
        other => anyhow::bail!("amount: {other:?}"),
    };
    let time = |value: &Value| match value {
        Value::TimestampMicros(micros) => DateTime::from_timestamp_micros(*micros)
            .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            .context("a time"),
        other => anyhow::bail!("a time: {other:?}"),
    };
    let expires_at = match field("expires_at")? {
        Value::Union(0, _) => None,
        Value::Union(_, value) => Some(time(value)?),
        other => anyhow::bail!("expires_at: {other:?}"),
    };
    Ok(Voucher {
        campaign: text("campaign")?,
        order_id: text("order_id")?,
        code: text("code")?,
        amount,
        currency: text("currency")?,
        issued_at: time(field("issued_at")?)?,
        expires_at,
    })
}
