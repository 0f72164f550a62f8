//! How many records had which outcome.

use std::collections::BTreeMap;

use schemas::Reason;

use crate::rule::Skip;

/// The number of records by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Vouchers.
    pub vouchers: u64,
    /// Skipped, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Dead letters, by reason.
    pub dead: BTreeMap<Reason, u64>,
}

impl Tally {
    /// Adds the counts of another tally.
    pub fn add(&mut self, other: &Self) {
        self.vouchers += other.vouchers;
        for (skip, count) in &other.skipped {
            *self.skipped.entry(*skip).or_default() += count;
        }
        for (reason, count) in &other.dead {
            *self.dead.entry(*reason).or_default() += count;
        }
    }

    /// Returns the number of all records.
    pub fn records(&self) -> u64 {
        self.vouchers + self.skipped.values().sum::<u64>() + self.dead.values().sum::<u64>()
    }
}
