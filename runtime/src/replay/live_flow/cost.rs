//! What a record of a replay costs the live flow: pure.
//!
//! Reading a record costs the broker a little. Writing a voucher costs every service: it is in a
//! transaction, and the sink writes its row. So a rate is in units of work, and the number of records
//! that it allows depends on how many of them are written.

/// The work of writing a record, beside that of reading one.
const WRITING: u64 = 9;

/// The denominator of costs.
const MILLI: u64 = 1_000;

/// The work that a record takes on average.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordCost {
    /// In thousandths.
    milli: u64,
}

/// Assumes that every record is written, until more is known.
impl Default for RecordCost {
    fn default() -> Self {
        Self {
            milli: (1 + WRITING) * MILLI,
        }
    }
}

impl RecordCost {
    /// Notes how many records were read lately, and how many were written.
    pub(super) fn note(&mut self, read: u64, written: u64) {
        if let Some(writing) = (WRITING * MILLI * written).checked_div(read) {
            self.milli = (self.milli * 3 + MILLI + writing) / 4;
        }
    }

    /// Returns the work of this number of records.
    pub(super) const fn work(self, records: u64) -> u64 {
        records.saturating_mul(self.milli) / MILLI
    }

    /// Returns how many records this much work allows; at least one.
    pub(super) fn records(self, work: u64) -> u32 {
        let records = work.saturating_mul(MILLI) / self.milli.max(MILLI);
        u32::try_from(records).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(read: u64, written: u64) -> RecordCost {
        let mut cost = RecordCost::default();
        for _ in 0..50 {
            cost.note(read, written);
        }
        cost
    }

    #[test]
    fn a_written_record_costs_as_much_as_ten_that_are_only_read() {
        assert_eq!(after(1_000, 1_000).records(5_000), 500);
        let reading = after(1_000, 0);
        assert!((4_980..=5_000).contains(&reading.records(5_000)));
        let some = after(1_000, 200).records(5_000);
        assert!((1_770..=1_790).contains(&some), "{some}");
    }

    #[test]
    fn the_cost_is_that_of_a_written_record_until_more_is_known() {
        let mut cost = RecordCost::default();
        cost.note(0, 0);
        assert_eq!((cost.records(5_000), cost.work(500)), (500, 5_000));
        assert_eq!(cost.records(1), 1);
    }
}
