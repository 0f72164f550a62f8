//! How vouchers that would be issued compare with the rows of the vouchers table.

use std::fmt;

use serde_json::{Value, json};

/// How the table compares with one voucher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// It has no row.
    New,
    /// It has a row with the same amount, currency and code.
    Existing,
    /// It has a row that differs. Such a row is kept.
    Different,
}

impl RowState {
    /// Returns the state as an identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
            Self::Different => "different",
        }
    }
}

/// The number of vouchers in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Vouchers without a row.
    pub new: u64,
    /// Vouchers with the same row.
    pub existing: u64,
    /// Vouchers with another row.
    pub different: u64,
}

impl RowCounts {
    /// Counts one voucher.
    pub const fn note(&mut self, state: RowState) {
        match state {
            RowState::New => self.new += 1,
            RowState::Existing => self.existing += 1,
            RowState::Different => self.different += 1,
        }
    }

    /// Adds the counts of another part.
    pub const fn add(&mut self, other: Self) {
        self.new += other.new;
        self.existing += other.existing;
        self.different += other.different;
    }

    /// Returns the counts by state.
    pub fn json(self) -> Value {
        let Self {
            new,
            existing,
            different,
        } = self;
        json!({ "new": new, "existing": existing, "different": different })
    }
}

/// Formats the counts for a person.
impl fmt::Display for RowCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            new,
            existing,
            different,
        } = self;
        write!(
            f,
            "{new} new, {existing} exist already, {different} exist with another amount or code"
        )
    }
}
