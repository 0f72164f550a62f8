//! The records of a preview by outcome: pure.

use std::collections::BTreeMap;

use runtime::record::{InputRecord, Offset, Partition};
use rust_decimal::Decimal;
use schemas::Reason;

use crate::evaluate::Evaluation;
use crate::rule::Skip;

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// What is wrong with it.
    pub message: String,
}

/// The number of records of each outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Records that earn a voucher, including echoes.
    pub eligible: u64,
    /// Records that are skipped, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Records that would become dead letters, by reason, each with its first example.
    pub dead: BTreeMap<Reason, (u64, Example)>,
}

impl Preview {
    /// Counts one record. A record that waits for its schema has no outcome yet.
    pub fn note(&mut self, record: &impl InputRecord, evaluation: &Evaluation<'_>) {
        match evaluation {
            Evaluation::Voucher(_) => self.eligible += 1,
            Evaluation::Skip(skip) => *self.skipped.entry(*skip).or_default() += 1,
            Evaluation::Dead(cause) => {
                let first = || Example {
                    partition: record.partition(),
                    offset: record.offset(),
                    message: cause.to_string(),
                };
                self.dead
                    .entry(cause.reason())
                    .or_insert_with(|| (0, first()))
                    .0 += 1;
            }
            Evaluation::Wait { .. } => {}
        }
    }

    /// Adds the counts of another part of the range.
    pub fn add(&mut self, other: Self) {
        self.eligible += other.eligible;
        for (skip, count) in other.skipped {
            *self.skipped.entry(skip).or_default() += count;
        }
        for (reason, (count, example)) in other.dead {
            let (total, first) = self
                .dead
                .entry(reason)
                .or_insert_with(|| (0, example.clone()));
            *total += count;
            // The smallest, so that the example does not depend on how the range was split.
            *first = example.min(first.clone());
        }
    }

    /// Returns the number of all records.
    pub fn records(&self) -> u64 {
        self.eligible
            + self.skipped.values().sum::<u64>()
            + self.dead.values().map(|(count, _)| count).sum::<u64>()
    }
}

/// Returns the sum of `vouchers` vouchers of `amount`; `None` when no decimal holds it.
pub fn sum(vouchers: u64, amount: Decimal) -> Option<Decimal> {
    Decimal::from(vouchers).checked_mul(amount)
}
