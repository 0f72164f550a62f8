//! Whether a row that fails alone is at fault, or the database.
//!
//! Some errors say neither: a time-out, a lock that is not given, an error that a trigger raises, a
//! row that the table neither takes nor shows. A statement of several rows that fails like this is
//! bisected, as for a fault in the data. A row that fails alone is taken for the culprit when
//!
//! - it has failed alone `MAX_LONE_FAILURES` (3) times,
//! - the table took a durable statement without it each time, and
//! - rows pass: no more than `MAX_SET_ASIDE` (10) are set aside in a row. A trigger or a rule that
//!   refuses every row is a fault of the set-up, which is waited out.
//!
//! Anything less is waited out: a row that is wrongly dead is work for a person, one that waits is
//! not lost.

/// How often a row fails alone before it is set aside.
pub const MAX_LONE_FAILURES: u32 = 3;

/// How many rows are set aside for a doubtful error between two rows that are written.
const MAX_SET_ASIDE: u32 = 10;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Doubt {
    /// Of the row that is tried alone now.
    lone_failures: u32,
    /// Rows set aside since the last row that was written.
    set_aside: u32,
}

impl Doubt {
    /// Rows were written, so many of them new.
    pub const fn note_written(&mut self, inserted: u64) {
        self.lone_failures = 0;
        if inserted > 0 {
            self.set_aside = 0;
        }
    }

    /// The row that was tried alone is not in hand any more.
    pub const fn forget_row(&mut self) {
        self.lone_failures = 0;
    }

    /// A row failed alone; `others_pass` says whether the table took a statement without it. Returns
    /// whether the row is to be set aside.
    pub const fn convicts(&mut self, others_pass: bool) -> bool {
        if !others_pass {
            self.lone_failures = 0;
            return false;
        }
        self.lone_failures += 1;
        if self.lone_failures < MAX_LONE_FAILURES || self.set_aside >= MAX_SET_ASIDE {
            return false;
        }
        self.lone_failures = 0;
        self.set_aside += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail_alone(doubt: &mut Doubt) -> bool {
        (0..MAX_LONE_FAILURES).any(|_| doubt.convicts(true))
    }

    #[test]
    fn a_row_is_set_aside_after_it_failed_alone_three_times_while_others_passed() {
        let mut doubt = Doubt::default();
        let verdicts: Vec<_> = (0..3).map(|_| doubt.convicts(true)).collect();
        assert_eq!(verdicts, [false, false, true]);
    }

    #[test]
    fn an_outage_convicts_nobody() {
        let mut doubt = Doubt::default();
        assert!(!(0..100).any(|_| doubt.convicts(false)));
        // What was counted before it does not count after it.
        assert!(!doubt.convicts(true) && !doubt.convicts(true));
        assert!(!doubt.convicts(false));
        assert!(!doubt.convicts(true) && !doubt.convicts(true));
    }

    #[test]
    fn a_table_that_refuses_every_row_is_waited_for() {
        let mut doubt = Doubt::default();
        for _ in 0..MAX_SET_ASIDE {
            assert!(fail_alone(&mut doubt));
        }
        assert!(!fail_alone(&mut doubt) && !fail_alone(&mut doubt));
        doubt.note_written(0);
        assert!(
            !fail_alone(&mut doubt),
            "echoes are no sign of a table that takes rows"
        );
        doubt.note_written(1);
        assert!(fail_alone(&mut doubt));
    }
}
