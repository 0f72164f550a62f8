//! `dead-letters`: counts the dead letters by reason and lists the newest.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::{print, print_json, time};
use crate::dead_letter::{
    Counts, DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterState, DeadLetterTopic, Seen,
    ShownBytes,
};
use crate::lifecycle::Failure;
use crate::plural::count;
use crate::record::{Offset, Partition};
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

    /// Number of dead letters that are listed, the newest of them. All of them are counted.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the counts and the newest dead letters.
///
/// # Errors
/// Exit code 1 when the topics cannot be read.
pub fn list(topic: &DeadLetterTopic, args: &ListArgs) -> Result<(), Failure> {
    let mut states = topic.states()?;
    let mut counts = Counts::default();
    let mut newest = Newest::new(args.limit);
    topic.for_each_own(
        &mut states,
        &args.filter,
        &mut counts,
        |dead_letter, state, counts| {
            if counts.note(&dead_letter, state) == Seen::Repeat {
                return Ok(());
            }
            if args.all || dead_letter.is_open(state) {
                newest.note(&dead_letter, state);
            }
            Ok(())
        },
    )?;
    if args.json {
        print_json(&as_json(topic, &counts, &newest))
    } else {
        print(&as_text(topic, &counts, &newest))
    }
}

/// When a dead letter was written, and its place in the dead letter topic, which orders those of one
/// millisecond.
type Age = (Option<i64>, (Partition, Offset));

/// The newest dead letters, the oldest of them first. The topic is read one partition after the other, so
/// the newest are not those that were read last.
struct Newest {
    limit: usize,
    rows: BTreeMap<Age, Row>,
    /// The number of dead letters of which these are the newest.
    selected: u64,
}

impl Newest {
    const fn new(limit: usize) -> Self {
        Self {
            limit,
            rows: BTreeMap::new(),
            selected: 0,
        }
    }

    fn note(&mut self, dead_letter: &DeadLetter, state: Option<&DeadLetterState>) {
        self.selected += 1;
        let age = (dead_letter.written_millis, dead_letter.place);
        if self.rows.len() >= self.limit {
            let oldest = self.rows.first_key_value();
            if oldest.is_none_or(|(oldest, _)| *oldest > age) {
                return;
            }
            self.rows.pop_first();
        }
        self.rows.insert(age, Row::of(dead_letter, state));
    }

    fn rows(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.values()
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

fn as_json(topic: &DeadLetterTopic, counts: &Counts, newest: &Newest) -> Value {
    json!({
        "topic": topic.name(),
        "group": topic.owner().group,
        "open": counts.total().open,
        "all": counts.total().all,
        "repeats": counts.repeats(),
        "strangers": counts.foreign(),
        "of_other_groups": counts.other_groups(),
        "reasons": counts.reasons(),
        "selected": newest.selected,
        "letters": newest.rows().map(|row| row.json(counts)).collect::<Vec<_>>(),
    })
}

fn as_text(topic: &DeadLetterTopic, counts: &Counts, newest: &Newest) -> String {
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
    let listed = newest.rows().len();
    if listed > 0 {
        let rows = newest.rows().map(|row| {
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
    let older = newest.selected - listed as u64;
    if older > 0 {
        text += &format!("... and {older} older (--limit)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a dead letter at this place of the topic, written at this time.
    fn dead_letter(partition: Partition, offset: Offset, written_millis: i64) -> DeadLetter {
        let id = format!("a/{partition}/{offset}@0000000000000000");
        DeadLetter {
            place: (partition, offset),
            written_millis: Some(written_millis),
            ..DeadLetter::sample(id.parse().unwrap())
        }
    }

    fn listed(limit: usize, letters: &[(Partition, Offset, i64)]) -> (Vec<String>, u64) {
        let mut newest = Newest::new(limit);
        for &(partition, offset, written) in letters {
            newest.note(&dead_letter(partition, offset, written), None);
            assert!(newest.rows().len() <= limit, "the memory is bounded");
        }
        let rows = newest.rows().map(|row| row.id.origin.to_string());
        (rows.collect(), newest.selected)
    }

    #[test]
    fn the_newest_are_listed_whatever_partition_they_are_in() {
        let letters = [(0, 0, 10), (0, 1, 40), (1, 0, 20), (1, 1, 30), (2, 0, 5)];
        let (rows, selected) = listed(2, &letters);
        assert_eq!(rows, ["a/1/1", "a/0/1"], "the newest is the last");
        assert_eq!(selected, 5, "all of them are counted");
        assert_eq!(listed(9, &letters).0.len(), 5);
        assert_eq!(listed(0, &letters), (Vec::new(), 5));
    }

    #[test]
    fn dead_letters_of_one_millisecond_are_in_the_order_of_the_topic() {
        let letters = [(0, 7, 10), (0, 8, 10), (1, 3, 10)];
        assert_eq!(listed(2, &letters).0, ["a/0/8", "a/1/3"]);
    }
}
