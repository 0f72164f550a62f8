//! The order statuses of the measurements: the same in every run.

use rust_decimal::Decimal;
use schemas::{DecimalError, NewOrderStatus, Status, Timestamp, ValueFormat};

/// 2026-05-01T00:00:00Z
const BEGIN_MILLIS: i64 = 1_777_593_600_000;

/// One in this many orders is eligible.
pub const ELIGIBLE_EVERY: u32 = 5;

/// Returns whether order `number` is eligible.
pub const fn is_eligible(number: u32) -> bool {
    number.is_multiple_of(ELIGIBLE_EVERY)
}

/// Returns the id of order `number`: a `UUIDv7` whose time grows with the number, as the ingress makes
/// them.
pub fn id(number: u32) -> String {
    let millis = BEGIN_MILLIS.unsigned_abs() + u64::from(number);
    // Fibonacci hashing for the random part: ids look like ids, and are the same in every run.
    let random = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
        millis >> 16,
        millis & 0xffff,
        random >> 52,
        0x8000 | (random >> 38 & 0x3fff),
        random & 0xffff_ffff_ffff
    )
}

/// Returns another id of order `number`, in random order.
pub fn scattered_id(number: u32) -> String {
    let random = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{random:016x}-{number}")
}

/// Appends the value of order `number` to `out`.
///
/// Of five orders one is eligible, one pending, two are below the threshold, and one is delivered
/// without a time of sending.
///
/// # Errors
/// Never with the totals used here.
pub fn write(
    number: u32,
    order_id: &str,
    format: ValueFormat,
    out: &mut Vec<u8>,
) -> Result<(), DecimalError> {
    let at = Timestamp::from_millis(BEGIN_MILLIS + i64::from(number));
    let above = Decimal::new(10_000 + i64::from(number % 90_000), 2);
    let below = Decimal::new(1_000 + i64::from(number % 8_999), 2);
    let (status, total, sent_at) = match number % ELIGIBLE_EVERY {
        0 => (Status::Sent, above, Some(at)),
        1 => (Status::Pending, above, None),
        2 | 3 => (Status::Sent, below, Some(at)),
        _ => (Status::Delivered, above, None),
    };
    let order = NewOrderStatus {
        status,
        total,
        version: i64::from(number % 3 + 1),
        occurred_at: at,
        sent_at,
        ..NewOrderStatus::pending(order_id)
    };
    order.write(format, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_ascending() {
        let ids: Vec<String> = (0..10_000).map(id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.len() == 36));
    }
}
