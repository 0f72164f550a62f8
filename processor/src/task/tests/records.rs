//! Records for the tests.

use runtime::record::{Offset, OwnedRecord, Partition};
use schemas::ValueFormat;

/// The timestamp of the records.
pub(super) const WRITTEN: i64 = 1_780_000_000_000;

pub(super) fn record(partition: Partition, offset: Offset, value: Option<Vec<u8>>) -> OwnedRecord {
    OwnedRecord {
        partition,
        offset,
        timestamp_millis: Some(WRITTEN),
        key: Some(format!("{partition}-{offset}").into_bytes()),
        value,
        headers: Vec::new(),
    }
}

pub(super) fn sent(partition: Partition, offset: Offset, total: u32) -> OwnedRecord {
    let value = format!(r#"{{"order_id":"{partition}-{offset}","status":"SENT","total":{total}}}"#);
    record(partition, offset, Some(value.into_bytes()))
}

pub(super) fn framed(partition: Partition, offset: Offset, schema_id: u32) -> OwnedRecord {
    let order_id = format!("{partition}-{offset}");
    let mut value = Vec::new();
    schemas::NewOrderStatus {
        status: schemas::Status::Sent,
        total: "150".parse().unwrap(),
        occurred_at: schemas::Timestamp::from_millis(1_780_000_000_000),
        ..schemas::NewOrderStatus::pending(&order_id)
    }
    .write(ValueFormat::Avro(schema_id), &mut value)
    .unwrap();
    record(partition, offset, Some(value))
}
