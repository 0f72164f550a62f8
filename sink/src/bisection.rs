//! Which part of a batch is written next: the whole batch, and after a refusal for its data one half
//! after the other, until the refused row is alone.

use std::ops::Range;

/// The parts of a batch that are not settled yet.
///
/// Parts are taken in the order in which the records came, so that of two records that exclude each
/// other (one code, two orders) it is always the later one that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bisection {
    /// The next part is the last.
    pending: Vec<Range<usize>>,
}

impl Bisection {
    /// Begins with all of `rows` rows in one part.
    pub fn whole(rows: usize) -> Self {
        let mut pending = Vec::new();
        if rows > 0 {
            pending.push(0..rows);
        }
        Self { pending }
    }

    /// Returns the part to be written now; `None` when all parts are settled.
    pub fn current(&self) -> Option<Range<usize>> {
        self.pending.last().cloned()
    }

    /// Settles the current part: it was written, or it is a single row that was refused.
    pub fn settle(&mut self) {
        self.pending.pop();
    }

    /// Bisects the current part, because one of its rows was refused.
    pub fn bisect(&mut self) {
        if let Some(part) = self.pending.pop() {
            debug_assert!(part.len() > 1, "a single row cannot be bisected");
            let middle = part.start + part.len() / 2;
            self.pending.push(middle..part.end);
            self.pending.push(part.start..middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settles all parts and bisects those with a bad row. Returns the parts that were tried, and the
    /// refused rows.
    fn settle_all(rows: usize, bad: &[usize]) -> (Vec<Range<usize>>, Vec<usize>) {
        let mut bisection = Bisection::whole(rows);
        let mut tried = Vec::new();
        let mut refused = Vec::new();
        while let Some(part) = bisection.current() {
            tried.push(part.clone());
            let refuses = bad.iter().any(|row| part.contains(row));
            if refuses && part.len() > 1 {
                bisection.bisect();
                continue;
            }
            if refuses {
                refused.push(part.start);
            }
            bisection.settle();
        }
        (tried, refused)
    }

    #[test]
    fn nothing_to_write_needs_no_statement() {
        assert_eq!(Bisection::whole(0).current(), None);
    }

    #[test]
    fn a_good_batch_is_one_statement() {
        let (tried, refused) = settle_all(2000, &[]);
        assert_eq!((tried.len(), refused.len()), (1, 0));
    }

    #[test]
    fn a_bad_row_is_found_alone_and_all_others_are_written() {
        for bad in 0..100 {
            let (tried, refused) = settle_all(100, &[bad]);
            assert_eq!(refused, [bad]);
            assert!(tried.len() <= 1 + 2 * 7, "about 2 log2 n: {}", tried.len());
        }
        assert_eq!(settle_all(64, &[3, 4, 63]).1, [3, 4, 63]);
    }

    #[test]
    fn rows_are_settled_in_the_order_in_which_they_came() {
        let (tried, refused) = settle_all(9, &[0, 5, 8]);
        let mut next = 0;
        for part in tried {
            let settled = part.len() == 1 || !refused.iter().any(|row| part.contains(row));
            if settled {
                assert_eq!(part.start, next);
                next = part.end;
            }
        }
        assert_eq!(next, 9);
    }
}
