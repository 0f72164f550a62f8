//! `dead-letters`: counts the dead letters by reason and lists them.

use clap::Args;
use serde_json::{Value, json};

use super::{print, print_json, time};
use crate::dead_letter::{
    Counts, DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterState, DeadLetterTopic, Seen,
    ShownBytes,
};
use crate::lifecycle::Failure;
use crate::plural::count;
use crate::text_table::aligned;

/// Which dead letters are listed.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// The dead letters that are counted and listed.
    #[command(flatten)]
    pub filter: DeadLetterFilter,

    /// List closed dead letters as well: those with a final outcome.
    #[arg(long)]
    pub all: bool,

    /// Number of dead letters that are listed. All of them are counted.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the counts and the first dead letters.
///
/// # Errors
/// Exit code 1 when the topics cannot be read.
pub fn list(topic: &DeadLetterTopic, args: &ListArgs) -> Result<(), Failure> {
    let mut states = topic.states()?;
    let mut counts = Counts::default();
    let mut listed = 0_usize;
    let mut rows = Vec::new();
    topic.for_each_own(
        &mut states,
        &args.filter,
        &mut counts,
        |dead_letter, state, counts| {
            if counts.note(&dead_letter, state) == Seen::Repeat {
                return Ok(());
            }
            if args.all || dead_letter.is_open(state) {
                listed += 1;
                if rows.len() < args.limit {
                    rows.push(Row::of(&dead_letter, state));
                }
            }
            Ok(())
        },
    )?;
    if args.json {
        print_json(&as_json(topic, &counts, &rows))
    } else {
        print(&as_text(topic, &counts, listed, &rows))
    }
}

/// One dead letter in one line.
struct Row {
    id: DeadLetterId,
    reason: String,
    key: ShownBytes,
    attempts: u32,
    written: Option<String>,
    state: Option<DeadLetterState>,
    message: String,
}

impl Row {
    fn of(dead_letter: &DeadLetter, state: Option<&DeadLetterState>) -> Self {
        Self {
            id: dead_letter.id.clone(),
            reason: dead_letter.reason_now(state).to_owned(),
            key: ShownBytes::of(dead_letter.original.key.as_deref()),
            attempts: dead_letter.attempts_now(state),
            written: time(dead_letter.written_millis),
            state: state.cloned(),
            message: dead_letter.message.clone(),
        }
    }

    /// Returns the outcome and, where it is recorded, who decided it; without a state, why the dead
    /// letter is open.
    fn summary(&self) -> String {
        match &self.state {
            Some(DeadLetterState {
                outcome,
                by: Some(by),
                ..
            }) => format!("{outcome} (by {by})"),
            Some(state) => state.outcome.to_string(),
            None => format!("{}: {}", self.reason, self.message),
        }
    }

    fn json(&self, counts: &Counts) -> Value {
        json!({
            "letter": counts.name(&self.id),
            "digest": self.id.digest.to_string(),
            "reason": self.reason,
            "message": self.message,
            "key": self.key.json(),
            "attempts": self.attempts,
            "written": self.written,
            "state": self.state,
        })
    }
}

fn as_json(topic: &DeadLetterTopic, counts: &Counts, rows: &[Row]) -> Value {
    json!({
        "topic": topic.name(),
        "group": topic.owner().group,
        "open": counts.total().open,
        "all": counts.total().all,
        "repeats": counts.repeats(),
        "strangers": counts.foreign(),
        "of_other_groups": counts.other_groups(),
        "reasons": counts.reasons(),
        "letters": rows.iter().map(|row| row.json(counts)).collect::<Vec<_>>(),
    })
}

fn as_text(topic: &DeadLetterTopic, counts: &Counts, listed: usize, rows: &[Row]) -> String {
    let total = counts.total();
    let mut text = format!(
        "{}: {} open, {} in all",
        topic.name(),
        total.open,
        total.all
    );
    if counts.repeats() > 0 {
        let repeats = count(counts.repeats(), "repeat");
        text += &format!("; {repeats} of these not counted");
    }
    if counts.foreign() > 0 {
        text += &format!(
            "; {} in the topic that are not dead letters of {}",
            count(counts.foreign(), "record"),
            topic.source()
        );
    }
    text += &counts.other_groups_note();
    text.push('\n');
    if total.all > 0 {
        let rows = counts.reasons().iter().map(|(reason, count)| {
            vec![
                reason.clone(),
                count.open.to_string(),
                count.all.to_string(),
            ]
        });
        text.push('\n');
        text += &aligned(&["reason", "open", "all"], rows);
    }
    if !rows.is_empty() {
        let rows = rows.iter().map(|row| {
            vec![
                counts.name(&row.id),
                row.key.to_string(),
                row.attempts.to_string(),
                row.written.clone().unwrap_or_default(),
                row.summary(),
            ]
        });
        text.push('\n');
        text += &aligned(&["letter", "key", "attempts", "written", "why"], rows);
    }
    if listed > rows.len() {
        text += &format!("... and {} more (--limit)\n", listed - rows.len());
    }
    text
}
