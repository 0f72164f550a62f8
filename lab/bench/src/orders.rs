//! The order statuses that flow: known beforehand, the same in every run.

use rust_decimal::Decimal;
use schemas::{Currency, DecimalError, NewOrderStatus, Status, Timestamp};

/// How the values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Bare JSON.
    Json,
    /// Framed Avro of our schema.
    Avro {
        /// Its id.
        schema_id: u32,
    },
}

/// 2026-05-01T00:00:00Z
const BEGIN_MILLIS: i64 = 1_777_593_600_000;

/// One in so many orders earns a voucher.
pub const ELIGIBLE_EVERY: u32 = 5;

/// Whether order `number` earns a voucher.
pub const fn is_eligible(number: u32) -> bool {
    number.is_multiple_of(ELIGIBLE_EVERY)
}

/// The id of order `number`: a `UUIDv7` whose time grows with the number, as the ingress makes them.
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

/// Another id of order `number`, in no order of time.
pub fn scattered_id(number: u32) -> String {
    let random = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{random:016x}-{number}")
}

/// Appends the value of order `number` to `out`.
///
/// Of five orders one is eligible, one pending, two below the threshold, one delivered without a
/// trace of when it was sent.
///
/// # Errors
/// None of the totals here.
pub fn write(
    number: u32,
    order_id: &str,
    format: Format,
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
        order_id,
        status,
        total,
        currency: Currency::EUR,
        version: i64::from(number % 3 + 1),
        occurred_at: at,
        sent_at,
    };
    match format {
        Format::Json => {
            order.write_json(out);
            Ok(())
        }
        Format::Avro { schema_id } => order.write_avro(schema_id, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_in_the_order_of_their_numbers() {
        let ids: Vec<String> = (0..10_000).map(id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.len() == 36));
    }
}
