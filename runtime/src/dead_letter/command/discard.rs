//! `dead-letters discard`: closes letters that nothing will ever come of, with a note. For one group:
//! whoever decides it for a campaign does not decide it for another.

use clap::Args;
use serde_json::json;

use super::{print, print_json, run_name};
use crate::dead_letter::{Counts, DeadLetterTopic, Ledger, LetterFilter, Outcome, Seen, State};
use crate::lifecycle::Failure;

/// Which letters are closed, and why.
#[derive(Debug, Clone, Args)]
pub struct DiscardArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub filter: LetterFilter,

    /// Why nothing will come of them; kept with each.
    #[arg(long, value_parser = note)]
    pub note: String,

    /// Every open letter, when no letter is chosen.
    #[arg(long)]
    pub every: bool,

    /// Only say which would be closed.
    #[arg(long)]
    pub dry_run: bool,

    /// JSON for machines.
    #[arg(long)]
    pub json: bool,
}

fn note(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) {
        return Err("write a sentence of at most 1 KiB, on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// Closes the open letters that are meant.
///
/// # Errors
/// Exit code 2 when none is chosen; 1 when the topics can't be read or written.
pub fn discard(dead_letter_topic: &DeadLetterTopic, args: &DiscardArgs) -> Result<(), Failure> {
    if args.filter.is_all() && !args.every {
        return Err(Failure::bad_setting(
            "say which letters: --letter, --key, --reason, --from, --to; or --every",
        ));
    }
    let ledger = match args.dry_run {
        true => None,
        false => Some(dead_letter_topic.ledger()?),
    };
    let mut states = dead_letter_topic.all_states()?;
    let run = run_name("discard");
    let mut counts = Counts::default();
    let mut closed = Vec::new();
    dead_letter_topic.each_own(
        &mut states,
        &args.filter,
        &mut counts,
        |letter, state, counts| {
            if letter.is_open(state) && counts.note(&letter, state) == Seen::First {
                let outcome = Outcome::Discarded {
                    note: args.note.clone(),
                };
                let attempts = letter.attempts_now(state);
                closed.push((letter.identity, State::now(outcome, attempts, &run)));
            }
            Ok(())
        },
    )?;
    if let Some(ledger) = &ledger {
        for some in closed.chunks(Ledger::MAX_STATES) {
            ledger.write(&[], some)?;
        }
    }
    let letters: Vec<_> = closed
        .iter()
        .map(|(identity, _)| counts.name(identity))
        .collect();
    if args.json {
        return print_json(&json!({
            "dry_run": args.dry_run,
            "group": dead_letter_topic.owner().group,
            "discarded": letters,
            "of_other_groups": counts.others(),
        }));
    }
    let word = if args.dry_run {
        "would be discarded"
    } else {
        "discarded"
    };
    let mut text = String::new();
    for letter in &letters {
        text += &format!("{letter}  {word}\n");
    }
    text += &format!("{} {word}{}\n", letters.len(), counts.others_in_words());
    print(&text)
}
