//! What is done about records that the broker refuses for their content, their size or their topic.
//!
//! The broker would refuse the same record again, so repeating it is no remedy. A dead letter that is
//! too large is written again with less of its original. Any other refused record blocks its task:
//! nothing is committed past it until the broker accepts it.

use crate::dead_letter::{Extent, largest_of};
use crate::kafka::Refused;

/// What is done about a refused record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a dead letter, and is written again without what does not fit.
    Reduced,
    /// It is tried again, and its task waits for it.
    Blocked,
}

/// A record that the broker may have refused, as its task knows it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<R> {
    /// Which record it is.
    pub record: R,
    /// Of a dead letter: how much of its original it carries.
    pub extent: Option<Extent>,
    /// About how many bytes it has.
    pub bytes: usize,
}

/// What is done about the records that were refused together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedies<'r, R> {
    /// Dead letters to be written again, with how much of the original, and the broker's sentence.
    pub reduced: Vec<(R, Extent, &'r str)>,
    /// The first record that blocks its task, and the broker's sentence.
    pub blocked: Option<(R, &'r str)>,
}

impl<'r, R> Remedies<'r, R> {
    /// Decides about each of `refused`. `candidate` finds a record by its index; it returns `None` for a
    /// record that belongs to another task by now.
    ///
    /// Of several dead letters that are too large only the largest are reduced: the broker may have
    /// refused the small ones as parts of the same request.
    pub fn of(refused: &'r [Refused], candidate: impl Fn(usize) -> Option<Candidate<R>>) -> Self {
        let mut too_large = Vec::new();
        let mut blocked = None;
        for refused in refused {
            let Some(found) = candidate(refused.index) else {
                continue;
            };
            let why = refused.why.as_str();
            let smaller = found.extent.filter(|_| refused.too_large);
            match smaller.and_then(Extent::smaller) {
                Some(extent) => too_large.push(((found.record, extent, why), found.bytes)),
                None => {
                    blocked.get_or_insert((found.record, why));
                }
            }
        }
        Self {
            reduced: largest_of(too_large),
            blocked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(index: usize, too_large: bool) -> Refused {
        let why = format!("scripted {index}");
        Refused {
            index,
            too_large,
            why,
        }
    }

    fn candidate(
        extent: Option<Extent>,
        bytes: usize,
    ) -> impl Fn(usize) -> Option<Candidate<usize>> {
        move |record| {
            Some(Candidate {
                record,
                extent,
                bytes,
            })
        }
    }

    #[test]
    fn a_dead_letter_that_is_too_large_carries_less_until_nothing_is_left_to_leave_out() {
        let refused = [refused(3, true)];
        let mut extent = Extent::Whole;
        while let Some(smaller) = extent.smaller() {
            let remedies = Remedies::of(&refused, candidate(Some(extent), 10));
            assert_eq!(remedies.reduced, [(3, smaller, "scripted 3")]);
            assert_eq!(remedies.blocked, None);
            extent = smaller;
        }
        let remedies = Remedies::of(&refused, candidate(Some(extent), 10));
        assert_eq!(remedies.blocked, Some((3, "scripted 3")));
    }

    #[test]
    fn a_voucher_and_a_refusal_for_another_reason_block() {
        let voucher = [refused(0, true)];
        let remedies = Remedies::of(&voucher, candidate(None, 10));
        assert_eq!(remedies.blocked, Some((0, "scripted 0")));
        let rights = [refused(1, false), refused(2, false)];
        let remedies = Remedies::of(&rights, candidate(Some(Extent::Whole), 10));
        assert_eq!(remedies.blocked, Some((1, "scripted 1")));
        assert!(remedies.reduced.is_empty());
    }

    #[test]
    fn a_refused_record_of_another_task_is_ignored() {
        let refused = [refused(0, false)];
        let remedies = Remedies::of(&refused, |_| None::<Candidate<usize>>);
        assert_eq!((remedies.reduced.len(), remedies.blocked), (0, None));
    }
}
