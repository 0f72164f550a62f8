//! Searches a dead letter topic for an order. These topics are short, and are read completely: to
//! know which dead letter a state is about, all of them have to be seen.

use runtime::dead_letter::{DeadLetter, DeadLetterOwner, DeadLetterState, DeadLetterTopic};
use runtime::lifecycle::Failure;
use schemas::KeyForm;

/// The dead letters of an order in one topic.
#[derive(Debug, Default)]
pub(super) struct FoundDeadLetters {
    /// Each with its outcome for the group that wrote it.
    pub(super) dead_letters: Vec<(DeadLetter, Option<DeadLetterState>)>,
    /// The number of records in the topic.
    pub(super) records_read: u64,
}

/// Finds the order's dead letters in one topic. Blocks its thread.
///
/// # Errors
/// Exit code 1 when the topic or that of its states cannot be read.
pub(super) fn find(
    dead_letter_topic: &DeadLetterTopic,
    order_id: &str,
) -> Result<FoundDeadLetters, Failure> {
    let mut states = dead_letter_topic.states()?;
    let mut found = FoundDeadLetters::default();
    dead_letter_topic.for_each(|dead_letter| {
        found.records_read += 1;
        let Ok(dead_letter) = dead_letter else {
            return Ok(());
        };
        // `DeadLetterStates::find` has to see every dead letter: that of another order may have had
        // the same origin.
        let owner = owner_of(&dead_letter, dead_letter_topic.owner());
        let state = states.find(&dead_letter, &owner).cloned();
        let key = dead_letter.original.key.as_deref().unwrap_or_default();
        if KeyForm::of(key, order_id).is_some() {
            found.dead_letters.push((dead_letter, state));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Returns whose state of the dead letter is shown. The trace covers all groups: the outcome of another
/// group's dead letter is that group's.
fn owner_of(dead_letter: &DeadLetter, own: &DeadLetterOwner) -> DeadLetterOwner {
    match &dead_letter.group {
        Some(group) if *group != own.group => DeadLetterOwner {
            group: group.clone(),
            campaign: None,
        },
        _ => own.clone(),
    }
}
