//! `dead-letters`: how many there are, why, and which.

use clap::Args;
use serde_json::{Value, json};

use super::{print, print_json, time};
use crate::dead_letter::{
    Counts, DeadLetter, DeadLetterId, DeadLetterTopic, LetterFilter, Seen, Shown, State,
};
use crate::lifecycle::Failure;
use crate::text_table::aligned;
use crate::wording::count;

/// What is listed.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub filter: LetterFilter,

    /// Closed letters as well: those with a final outcome.
    #[arg(long)]
    pub all: bool,

    /// How many letters are listed one by one; counts are of all.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// JSON for machines.
    #[arg(long)]
    pub json: bool,
}

/// Prints the counts, then the first letters.
///
/// # Errors
/// Exit code 1 when the topics can't be read.
pub fn list(dead_letter_topic: &DeadLetterTopic, args: &ListArgs) -> Result<(), Failure> {
    let mut states = dead_letter_topic.states()?;
    let mut counts = Counts::default();
    let mut chosen = 0_usize;
    let mut rows = Vec::new();
    dead_letter_topic.each_own(
        &mut states,
        &args.filter,
        &mut counts,
        |letter, state, counts| {
            if counts.note(&letter, state) == Seen::Repeat {
                return Ok(());
            }
            if args.all || letter.is_open(state) {
                chosen += 1;
                if rows.len() < args.limit {
                    rows.push(Row::of(&letter, state));
                }
            }
            Ok(())
        },
    )?;
    if args.json {
        print_json(&as_json(dead_letter_topic, &counts, &rows))
    } else {
        print(&as_text(dead_letter_topic, &counts, chosen, &rows))
    }
}

/// One letter in one line.
struct Row {
    letter: DeadLetterId,
    reason: String,
    key: Shown,
    attempts: u32,
    written: Option<String>,
    outcome: Option<State>,
    message: String,
}

impl Row {
    fn of(letter: &DeadLetter, state: Option<&State>) -> Self {
        Self {
            letter: letter.identity.clone(),
            reason: letter.reason_now(state).to_owned(),
            key: Shown::of(letter.original.key.as_deref()),
            attempts: letter.attempts_now(state),
            written: time(letter.written_millis),
            outcome: state.cloned(),
            message: letter.message.clone(),
        }
    }

    /// What a person wants to know of it now.
    fn said(&self) -> String {
        match &self.outcome {
            Some(state) => state.outcome.to_string(),
            None => format!("{}: {}", self.reason, self.message),
        }
    }

    fn json(&self, counts: &Counts) -> Value {
        json!({
            "letter": counts.name(&self.letter),
            "digest": self.letter.digest.to_string(),
            "reason": self.reason,
            "message": self.message,
            "key": self.key.json(),
            "attempts": self.attempts,
            "written": self.written,
            "state": self.outcome,
        })
    }
}

fn as_json(dead_letter_topic: &DeadLetterTopic, counts: &Counts, rows: &[Row]) -> Value {
    json!({
        "topic": dead_letter_topic.dead_letters(),
        "group": dead_letter_topic.owner().group,
        "open": counts.total().open,
        "all": counts.total().all,
        "repeats": counts.repeats(),
        "strangers": counts.strangers(),
        "of_other_groups": counts.others(),
        "reasons": counts.reasons(),
        "letters": rows.iter().map(|row| row.json(counts)).collect::<Vec<_>>(),
    })
}

fn as_text(
    dead_letter_topic: &DeadLetterTopic,
    counts: &Counts,
    chosen: usize,
    rows: &[Row],
) -> String {
    let total = counts.total();
    let mut text = format!(
        "{}: {} open, {} in all",
        dead_letter_topic.dead_letters(),
        total.open,
        total.all
    );
    if counts.repeats() > 0 {
        let repeats = count(counts.repeats(), "repeat");
        text += &format!("; {repeats} of these not counted");
    }
    if counts.strangers() > 0 {
        text += &format!(
            "; {} there that came of no record of {}",
            count(counts.strangers(), "record"),
            dead_letter_topic.source()
        );
    }
    text += &counts.others_in_words();
    text.push('\n');
    if total.all > 0 {
        let heading = ["reason", "open", "all"].map(str::to_owned).to_vec();
        let counts = counts.reasons().iter().map(|(reason, count)| {
            vec![
                reason.clone(),
                count.open.to_string(),
                count.all.to_string(),
            ]
        });
        text.push('\n');
        text += &aligned(&std::iter::once(heading).chain(counts).collect::<Vec<_>>());
    }
    if !rows.is_empty() {
        let heading = ["letter", "key", "attempts", "written", "why"];
        let lines = rows.iter().map(|row| {
            vec![
                counts.name(&row.letter),
                row.key.to_string(),
                row.attempts.to_string(),
                row.written.clone().unwrap_or_default(),
                row.said(),
            ]
        });
        let heading = std::iter::once(heading.map(str::to_owned).to_vec());
        text.push('\n');
        text += &aligned(&heading.chain(lines).collect::<Vec<_>>());
    }
    if chosen > rows.len() {
        text += &format!("... and {} more (--limit)\n", chosen - rows.len());
    }
    text
}
