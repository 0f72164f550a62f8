//! Records of the vouchers' topic.

use runtime::record::{OwnedRecord, Partition};
use schemas::{ValueFormat, Voucher};

/// The timestamp of the records.
pub(in crate::task::tests) const WRITTEN: i64 = 1_780_000_000_000;

/// A record of `order` in `partition`; its offset is given by the world.
pub(in crate::task::tests) fn record(
    partition: Partition,
    order: &str,
    value: Option<&[u8]>,
) -> OwnedRecord {
    OwnedRecord {
        partition,
        timestamp_millis: Some(WRITTEN),
        key: Some(order.as_bytes().to_vec()),
        value: value.map(<[u8]>::to_vec),
        headers: vec![("source.offset".to_owned(), Some(b"5".to_vec()))],
        ..OwnedRecord::default()
    }
}

fn value(order: &str, code: &str, amount: u32, schema_id: Option<u32>) -> Vec<u8> {
    let voucher = Voucher {
        campaign: "order-reward".into(),
        order_id: order.into(),
        code: code.into(),
        amount: amount.into(),
        currency: "EUR".parse().unwrap(),
        issued_at: schemas::Timestamp::from_millis(1_780_000_000_000),
        expires_at: None,
    };
    let mut value = Vec::new();
    let format = schema_id.map_or(ValueFormat::Json, ValueFormat::Avro);
    voucher.write(format, &mut value).unwrap();
    value
}

pub(in crate::task::tests) fn voucher(
    partition: Partition,
    order: &str,
    code: &str,
    amount: u32,
) -> OwnedRecord {
    record(partition, order, Some(&value(order, code, amount, None)))
}

pub(in crate::task::tests) fn avro(
    partition: Partition,
    order: &str,
    code: &str,
    schema_id: u32,
) -> OwnedRecord {
    record(
        partition,
        order,
        Some(&value(order, code, 5, Some(schema_id))),
    )
}
