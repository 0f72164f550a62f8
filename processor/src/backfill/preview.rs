//! What a preview finds: the records by outcome and the vouchers, by day: pure.

use std::collections::BTreeMap;

use runtime::record::{InputRecord, Offset, Partition};
use runtime::replay::RowState;
use runtime::value::Decoded;
use rust_decimal::Decimal;
use schemas::{OrderStatus, Reason, Timestamp};

use super::days::{Counts, Days};
use crate::evaluate::Evaluation;
use crate::rule::own_time;

/// An example of the records that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// What is wrong with it.
    pub message: String,
}

/// What a preview finds in a range, or in a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// The counts by day.
    pub days: Days,
    /// The first example of each reason for which records would become dead letters.
    pub examples: BTreeMap<Reason, Example>,
}

impl Preview {
    /// Counts one record on the day of its [time](time_of). A record that waits for its schema has
    /// no outcome yet.
    pub fn note(
        &mut self,
        record: &impl InputRecord,
        time: Option<Timestamp>,
        evaluation: &Evaluation<'_>,
    ) {
        match evaluation {
            Evaluation::Voucher(_) => self.days.at(time).records.vouchers += 1,
            Evaluation::Skip(skip) => {
                let skipped = &mut self.days.at(time).records.skipped;
                *skipped.entry(*skip).or_default() += 1;
            }
            Evaluation::Dead(cause) => {
                let dead = &mut self.days.at(time).records.dead;
                *dead.entry(cause.reason()).or_default() += 1;
                self.examples
                    .entry(cause.reason())
                    .or_insert_with(|| Example {
                        partition: record.partition(),
                        offset: record.offset(),
                        message: cause.to_string(),
                    });
            }
            Evaluation::Wait { .. } => {}
        }
    }

    /// Counts a voucher to issue: the first eligible record of an order.
    pub fn note_voucher(&mut self, issued_at: Timestamp) {
        self.days.at(Some(issued_at)).vouchers += 1;
    }

    /// Counts how a voucher to issue compares with the table.
    pub fn note_row(&mut self, issued_at: Timestamp, state: RowState) {
        self.days.at(Some(issued_at)).rows.note(state);
    }

    /// Adds the counts of another part of the range.
    pub fn add(&mut self, other: Self) {
        self.days.add(other.days);
        for (reason, example) in other.examples {
            let first = self
                .examples
                .entry(reason)
                .or_insert_with(|| example.clone());
            // The smallest one, so that the example does not depend on how the range was split.
            *first = example.min(first.clone());
        }
    }

    /// Returns the counts of the whole range.
    pub fn total(&self) -> Counts {
        self.days.total()
    }
}

/// Returns the time that decides on which day a record is counted: the order's own, else the
/// record's timestamp. A voucher is issued at the same time.
pub fn time_of(record: &impl InputRecord, decoded: &Decoded<OrderStatus<'_>>) -> Option<Timestamp> {
    let own = match decoded {
        Decoded::Value(order) => own_time(order),
        Decoded::Tombstone | Decoded::Pending(_) | Decoded::Malformed(_) => None,
    };
    own.or_else(|| record.timestamp_millis().map(Timestamp::from_millis))
}

/// Returns the sum of `vouchers` vouchers of `amount`; `None` if the sum exceeds a decimal.
pub fn sum(vouchers: u64, amount: Decimal) -> Option<Decimal> {
    Decimal::from(vouchers).checked_mul(amount)
}
