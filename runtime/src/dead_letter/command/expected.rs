//! `redrive --expect`: runs only when as many dead letters are open as the preview counted.
//!
//! Between a preview and its run another person may redrive the same dead letters, or more may arrive.
//! The run would then do something other than what the preview showed.

use std::collections::HashSet;

use super::RedriveArgs;
use crate::dead_letter::{DeadLetterId, DeadLetterTopic};
use crate::lifecycle::Failure;
use crate::plural::count;

/// Returns the open dead letters that are selected, if their number is the expected one; `None` when
/// no number is expected. A dead letter that arrives later is not among them.
///
/// # Errors
/// Exit code 2 when there are more or fewer; 1 when the topics cannot be read.
pub(super) fn expected(
    topic: &DeadLetterTopic,
    args: &RedriveArgs,
) -> Result<Option<HashSet<DeadLetterId>>, Failure> {
    let Some(expected) = args.expect else {
        return Ok(None);
    };
    let mut open = HashSet::new();
    topic.for_each_open(&args.filter, |dead_letter, _| {
        open.insert(dead_letter.id);
    })?;
    match open.len() as u64 == expected {
        true => Ok(Some(open)),
        false => Err(Failure::bad_setting(other_number(open.len(), expected))),
    }
}

fn other_number(open: usize, expected: u64) -> String {
    let are = if open == 1 { "is" } else { "are" };
    format!(
        "{} {are} open and selected, and --expect says {expected}: somebody else may have redriven some, \
         or others have arrived; nothing was written; preview again with --dry-run",
        count(open, "dead letter")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_different_number_is_reported_with_a_hint() {
        let sentence = other_number(1, 10);
        assert!(
            sentence.starts_with("1 dead letter is open and selected, and --expect says 10: "),
            "{sentence}"
        );
        assert!(sentence.ends_with("preview again with --dry-run"));
    }
}
