//! `redrive`: the open letters once more, from their original bytes, with today's code and rule.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::{print, print_json, run_name};
use crate::dead_letter::{
    Counts, DeadLetter, DeadLetterId, DeadLetterTopic, Ledger, LetterFilter, Outcome,
    OwnedOutgoing, Seen, Shown, State,
};
use crate::lifecycle::{Failure, Shutdown};
use crate::text_table::aligned;

/// Which letters are redriven, and how.
#[derive(Debug, Clone, Args)]
pub struct RedriveArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub filter: LetterFilter,

    /// Write nothing; say what would become of each.
    #[arg(long)]
    pub dry_run: bool,

    /// How many letters are listed one by one; counts are of all.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// JSON for machines.
    #[arg(long)]
    pub json: bool,
}

/// What a service makes of a letter's original today.
pub trait Redrive {
    /// Evaluates the original; whatever is not the record's fault (registry, database) is waited
    /// for, and told as a failure in the end: it is no attempt.
    ///
    /// # Errors
    /// Exit code 1, for what is not the record's fault.
    fn redrive(&mut self, letter: &DeadLetter, run: &str) -> Result<Redriven, Failure>;

    /// Which of the vouchers are rows already, where a dry run could ask the table.
    fn rows(&self) -> Option<Rows> {
        None
    }
}

/// What the table has of the vouchers that would be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// No row.
    pub new: u64,
    /// The same voucher: its record would be an echo.
    pub existing: u64,
    /// Another voucher, which is kept.
    pub different: u64,
}

/// What became of a letter, and what is to be written with that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// What became of it.
    pub outcome: Outcome,
    /// Records of the same transaction.
    pub outputs: Vec<OwnedOutgoing>,
}

/// Redrives the open letters that are meant, each once, in transactions of some hundred letters.
///
/// # Errors
/// Exit code 1; what was committed stays, and is not done again by the next run.
pub fn redrive(
    dead_letter_topic: &DeadLetterTopic,
    args: &RedriveArgs,
    service: &mut impl Redrive,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    // First, because it ends what a killed redrive left open: the states that are read then are all.
    let ledger = match args.dry_run {
        true => None,
        false => Some(dead_letter_topic.ledger()?),
    };
    let mut states = dead_letter_topic.all_states()?;
    let run = run_name("redrive");
    let mut report = Report::default();
    let mut work = Work::default();
    let mut counts = Counts::default();
    dead_letter_topic.each_own(
        &mut states,
        &args.filter,
        &mut counts,
        |letter, state, counts| {
            if shutdown.is_requested() {
                return Err(Failure::interrupted(
                    "stopped; run redrive again for the dead letters that are still open",
                ));
            }
            if !letter.is_open(state) || counts.note(&letter, state) == Seen::Repeat {
                return Ok(());
            }
            let (letter, missing) = dead_letter_topic.completed(letter)?;
            let redriven = match missing {
                None => service.redrive(&letter, &run)?,
                Some(missing) => Redriven {
                    outcome: missing.outcome(),
                    outputs: Vec::new(),
                },
            };
            let attempts = letter.attempts_now(state).saturating_add(1);
            report.note(&letter, &redriven.outcome, attempts, args);
            if let Some(ledger) = &ledger {
                work.push(letter.identity, attempts, redriven, &run);
                if work.is_full() {
                    work.write(ledger)?;
                }
            }
            Ok(())
        },
    )?;
    if let Some(ledger) = &ledger {
        work.write(ledger)?;
    }
    if args.json {
        let mut json = report.json(&run, args.dry_run, dead_letter_topic, &counts);
        if let Some(Rows {
            new,
            existing,
            different,
        }) = service.rows()
        {
            json["existing"] = json!({ "new": new, "existing": existing, "different": different });
        }
        print_json(&json)
    } else {
        print(&report.text(dead_letter_topic, args, &counts, service.rows()))
    }
}

/// What is written in the next transaction.
#[derive(Default)]
struct Work {
    outputs: Vec<OwnedOutgoing>,
    states: Vec<(DeadLetterId, State)>,
    bytes: usize,
}

impl Work {
    /// Keeps a transaction far below its timeout.
    const MAX_BYTES: usize = 4 * 1024 * 1024;

    fn push(&mut self, identity: DeadLetterId, attempts: u32, redriven: Redriven, run: &str) {
        for output in &redriven.outputs {
            self.bytes += output.value.as_ref().map_or(0, Vec::len);
        }
        self.outputs.extend(redriven.outputs);
        self.states
            .push((identity, State::now(redriven.outcome, attempts, run)));
    }

    fn is_full(&self) -> bool {
        self.states.len() >= Ledger::MAX_STATES || self.bytes >= Self::MAX_BYTES
    }

    fn write(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        if self.states.is_empty() {
            return Ok(());
        }
        ledger.write(&self.outputs, &self.states)?;
        *self = Self::default();
        Ok(())
    }
}

/// What became of all of them.
#[derive(Default)]
struct Report {
    outcomes: BTreeMap<String, u64>,
    closed: u64,
    open: u64,
    rows: Vec<Row>,
}

struct Row {
    letter: DeadLetterId,
    key: Shown,
    attempts: u32,
    outcome: Outcome,
}

impl Report {
    fn note(&mut self, letter: &DeadLetter, outcome: &Outcome, attempts: u32, args: &RedriveArgs) {
        let word = match outcome {
            Outcome::Skipped { reason, .. } | Outcome::Failed { reason, .. } => {
                format!("{}: {reason}", outcome.as_str())
            }
            _ => outcome.as_str().to_owned(),
        };
        *self.outcomes.entry(word).or_default() += 1;
        if outcome.is_final() {
            self.closed += 1;
        } else {
            self.open += 1;
        }
        if self.rows.len() < args.limit {
            self.rows.push(Row {
                letter: letter.identity.clone(),
                key: Shown::of(letter.original.key.as_deref()),
                attempts,
                outcome: outcome.clone(),
            });
        }
    }

    fn json(
        &self,
        run: &str,
        dry_run: bool,
        dead_letter_topic: &DeadLetterTopic,
        counts: &Counts,
    ) -> Value {
        let letters = self.rows.iter().map(|row| {
            json!({
                "letter": counts.name(&row.letter),
                "digest": row.letter.digest.to_string(),
                "key": row.key.json(),
                "attempts": row.attempts,
                "result": row.outcome,
            })
        });
        json!({
            "run": run,
            "dry_run": dry_run,
            "closed": self.closed,
            "still_open": self.open,
            "repeats": counts.repeats(),
            "group": dead_letter_topic.owner().group,
            "of_other_groups": counts.others(),
            "outcomes": self.outcomes,
            "letters": letters.collect::<Vec<_>>(),
        })
    }

    fn text(
        &self,
        dead_letter_topic: &DeadLetterTopic,
        args: &RedriveArgs,
        counts: &Counts,
        rows: Option<Rows>,
    ) -> String {
        let total = self.closed + self.open;
        let others = counts.others_in_words();
        if total == 0 {
            let topic = dead_letter_topic.dead_letters();
            return format!("{topic}: no open letter is meant{others}\n");
        }
        let heading = ["letter", "key", "attempts", "outcome"];
        let lines = self.rows.iter().map(|row| {
            vec![
                counts.name(&row.letter),
                row.key.to_string(),
                row.attempts.to_string(),
                row.outcome.to_string(),
            ]
        });
        let heading = std::iter::once(heading.map(str::to_owned).to_vec());
        let mut text = aligned(&heading.chain(lines).collect::<Vec<_>>());
        if total > self.rows.len() as u64 {
            text += &format!(
                "... and {} more (--limit)\n",
                total - self.rows.len() as u64
            );
        }
        let counts: Vec<_> = self
            .outcomes
            .iter()
            .map(|(word, count)| vec![word.clone(), count.to_string()])
            .collect();
        let heading = ["outcome", "letters"].map(str::to_owned).to_vec();
        text.push('\n');
        text += &aligned(&std::iter::once(heading).chain(counts).collect::<Vec<_>>());
        if let Some(Rows {
            new,
            existing,
            different,
        }) = rows
        {
            text += &format!(
                "\nof the vouchers {new} new, {existing} exist already, {different} exist with \
                 another amount or code\n"
            );
        }
        let (closes, written) = match args.dry_run {
            true => ("would close", "; nothing was written (--dry-run)"),
            false => ("closed", ""),
        };
        text += &format!(
            "\n{closes} {}, still open {}{written}{others}\n",
            self.closed, self.open
        );
        text
    }
}
