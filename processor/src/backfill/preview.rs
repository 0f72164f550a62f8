//! What the evaluation of a range amounts to: pure.

use std::collections::BTreeMap;

use runtime::record::{InputRecord, Offset, Partition};
use rust_decimal::Decimal;
use schemas::Reason;

use super::listing::State;
use crate::evaluate::Evaluation;
use crate::rule::Skip;

/// A record that can't be used, for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example {
    /// Where it is.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// What is wrong with it.
    pub message: String,
}

/// Records by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Records that earn a voucher, echoes included.
    pub eligible: u64,
    /// Skipped, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Would-be dead letters by reason, each with its first example.
    pub dead: BTreeMap<Reason, (u64, Example)>,
}

impl Preview {
    /// Takes note of one record's outcome. One that waits for its schema is none yet.
    pub fn take(&mut self, record: &impl InputRecord, outcome: &Evaluation<'_>) {
        match outcome {
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

    /// What another part of the range amounts to, too.
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
            // The same example however the range was split.
            *first = example.min(first.clone());
        }
    }

    /// All records.
    pub fn records(&self) -> u64 {
        self.eligible
            + self.skipped.values().sum::<u64>()
            + self.dead.values().map(|(count, _)| count).sum::<u64>()
    }
}

/// So many vouchers of `amount`; `None` when no decimal holds the sum.
pub fn sum(vouchers: u64, amount: Decimal) -> Option<Decimal> {
    Decimal::from(vouchers).checked_mul(amount)
}

/// Which of the vouchers to issue the table has already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Existing {
    /// No row.
    pub new: u64,
    /// A row with the same amount, currency and (where there is a key) code.
    pub same: u64,
    /// A row that differs; it is kept.
    pub different: u64,
}

impl Existing {
    /// Takes note of one voucher that was looked for.
    pub const fn take(&mut self, state: State) {
        match state {
            State::New => self.new += 1,
            State::Same => self.same += 1,
            State::Different => self.different += 1,
        }
    }

    /// What another part counted, too.
    pub const fn add(&mut self, other: Self) {
        self.new += other.new;
        self.same += other.same;
        self.different += other.different;
    }
}
