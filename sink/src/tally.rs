//! How many records had which outcome.

use std::collections::BTreeMap;

use schemas::Reason;

/// The number of records by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// New rows.
    pub inserted: u64,
    /// Echoes: the row was there, with the same code, amount and currency.
    pub existing: u64,
    /// The row was there with another code, amount or currency, and was kept.
    pub different: u64,
    /// Null values.
    pub tombstones: u64,
    /// Dead letters, by reason.
    pub dead: BTreeMap<Reason, u64>,
}

impl Tally {
    /// Adds the counts of another tally.
    pub fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.existing += other.existing;
        self.different += other.different;
        self.tombstones += other.tombstones;
        for (reason, count) in &other.dead {
            *self.dead.entry(*reason).or_default() += count;
        }
    }

    /// Returns the number of all records.
    pub fn records(&self) -> u64 {
        self.inserted
            + self.existing
            + self.different
            + self.tombstones
            + self.dead.values().sum::<u64>()
    }
}
