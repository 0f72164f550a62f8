//! The records that the relay publishes: versions of orders, which must not move backwards.

use std::collections::BTreeMap;

use super::log::{PartitionLog, Record};

/// The header in which the model keeps a record's version.
pub const VERSION: &str = "version";

/// Returns the version of a relayed record.
pub fn version_of(record: &Record) -> i64 {
    let version = record.header(VERSION).and_then(|text| text.parse().ok());
    version.unwrap_or_default()
}

/// Checks that the last record of each order has its highest published version, and that versions first
/// appear in ascending order. Returns a sentence that describes the first violation.
pub fn regression(log: &PartitionLog) -> Option<String> {
    let mut orders = BTreeMap::<&[u8], (i64, i64)>::new();
    for (_, record) in log.committed() {
        let version = version_of(record);
        let (newest, last) = orders
            .entry(record.key.as_deref().unwrap_or_default())
            .or_default();
        if version > *newest + 1 {
            return Some(format!(
                "a relayed order's version {version} came after {newest}"
            ));
        }
        *newest = version.max(*newest);
        *last = version;
    }
    orders
        .values()
        .find(|(newest, last)| newest != last)
        .map(|(newest, last)| format!("a relayed order went back from version {newest} to {last}"))
}
