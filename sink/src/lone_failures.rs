//! Whether a row that fails alone is at fault, or the database.
//!
//! Some errors don't tell: a statement's or a lock's time-out, an error that a trigger raises, a row that
//! the table ignores without an error. A statement of several rows that fails in this way is bisected,
//! as for a fault in the data. A row that fails alone is held to be at fault, and becomes a dead
//! letter, when
//!
//! - it has failed alone [`MAX_LONE_FAILURES`] (3) times,
//! - the table accepted a durable statement without it each time, and
//! - rows are written: no more than `MAX_REJECTED_IN_A_ROW` (10) become dead letters in a row.
//!
//! All other failures are waited out: a row that is wrongly a dead letter is work for a person, but a row
//! that waits is not lost.

use crate::limits::{MAX_LONE_FAILURES, MAX_REJECTED_IN_A_ROW};

/// Failures of single rows, for errors that don't tell whether the row is at fault.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoneFailures {
    /// Failures of the row that is tried alone now.
    current: u32,
    /// Rows held to be at fault since the last row that was written.
    rejected: u32,
}

impl LoneFailures {
    /// Notes that rows were written, `inserted` of them new.
    pub const fn note_written(&mut self, inserted: u64) {
        self.current = 0;
        if inserted > 0 {
            self.rejected = 0;
        }
    }

    /// Forgets the row that was tried alone.
    pub const fn forget_row(&mut self) {
        self.current = 0;
    }

    /// Notes that a row failed alone; `others_pass` says whether the table accepted a statement without
    /// it. Returns whether the row is held to be at fault.
    pub const fn note_failure(&mut self, others_pass: bool) -> bool {
        if !others_pass {
            self.current = 0;
            return false;
        }
        self.current += 1;
        if self.current < MAX_LONE_FAILURES || self.rejected >= MAX_REJECTED_IN_A_ROW {
            return false;
        }
        self.current = 0;
        self.rejected += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail_alone(failures: &mut LoneFailures) -> bool {
        (0..MAX_LONE_FAILURES).any(|_| failures.note_failure(true))
    }

    #[test]
    fn a_row_is_at_fault_after_it_failed_alone_three_times_while_others_passed() {
        let mut failures = LoneFailures::default();
        let at_fault: Vec<_> = (0..3).map(|_| failures.note_failure(true)).collect();
        assert_eq!(at_fault, [false, false, true]);
    }

    #[test]
    fn an_outage_is_no_rows_fault() {
        let mut failures = LoneFailures::default();
        assert!(!(0..100).any(|_| failures.note_failure(false)));
        // Failures before the outage do not count after it.
        assert!(!failures.note_failure(true) && !failures.note_failure(true));
        assert!(!failures.note_failure(false));
        assert!(!failures.note_failure(true) && !failures.note_failure(true));
    }

    #[test]
    fn a_table_that_refuses_every_row_is_waited_for() {
        let mut failures = LoneFailures::default();
        for _ in 0..MAX_REJECTED_IN_A_ROW {
            assert!(fail_alone(&mut failures));
        }
        assert!(!fail_alone(&mut failures) && !fail_alone(&mut failures));
        failures.note_written(0);
        assert!(
            !fail_alone(&mut failures),
            "echoes do not show that the table accepts rows"
        );
        failures.note_written(1);
        assert!(fail_alone(&mut failures));
    }
}
