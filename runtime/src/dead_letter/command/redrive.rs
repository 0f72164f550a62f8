//! `redrive`: evaluates the open dead letters again, from their original bytes, with the current
//! code and rule.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::expected::{Expected, digest_of, expected, parse};
use super::{print, print_json, trail};
use crate::audit::{Audit, AuditSettings, run_name};
use crate::dead_letter::{
    Counts, DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterState, DeadLetterTopic, Outcome,
    OwnedOutgoing, Seen, ShownBytes, StateWriter,
};
use crate::lifecycle::{Failure, Shutdown, blocking};
use crate::progress::{ProgressFormat, ProgressLines, ProgressSettings};
use crate::replay::RowCounts;
use crate::settings::TopicSettings;
use crate::text_table::aligned;

/// Which dead letters are redriven, and how.
#[derive(Debug, Clone, Args)]
pub struct RedriveArgs {
    /// The open dead letters that are redriven.
    #[command(flatten)]
    pub filter: DeadLetterFilter,

    /// Write nothing; show what the outcome of each dead letter would be.
    #[arg(long)]
    pub dry_run: bool,

    /// Number of open dead letters that are selected, as --dry-run counted them, or COUNT@DIGEST for
    /// just those that it selected. Write nothing if others are open.
    #[arg(long, value_name = "COUNT", value_parser = parse, conflicts_with = "dry_run")]
    pub expect: Option<Expected>,

    /// How progress is reported.
    #[command(flatten)]
    pub progress: ProgressSettings,

    /// Number of dead letters that are listed. All of them are counted.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Who redrives them and why, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
}

impl RedriveArgs {
    /// Returns where the command is recorded, if it is.
    ///
    /// # Errors
    /// See [`AuditSettings::open`].
    pub fn open_audit(
        &self,
        service: &'static str,
        topics: &TopicSettings,
    ) -> Result<Option<Audit>, Failure> {
        self.audit.open_if(!self.dry_run, service, topics, None)
    }
}

/// Evaluates the original of a dead letter as the service does today.
pub trait Redrive {
    /// Evaluates the original. Waits while a registry or a database does not answer. When it gives up
    /// waiting, the command fails, and this does not count as an attempt on the dead letter.
    ///
    /// # Errors
    /// Exit code 1 for a fault outside the record.
    fn redrive(&mut self, dead_letter: &DeadLetter, run: &str) -> Result<Redriven, Failure>;

    /// Returns which of the vouchers have a row, when a preview could read the table.
    fn rows(&self) -> Option<RowCounts> {
        None
    }

    /// Returns the total amount, by currency, of the vouchers that were issued or the rows that were
    /// inserted so far; in a preview, of those that would be. A second voucher of an order, or a row that
    /// existed already, adds nothing.
    fn sums(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// The result of an evaluation, with the records that have to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// The outcome of the dead letter.
    pub outcome: Outcome,
    /// The records that are written in the same transaction as the outcome.
    pub outputs: Vec<OwnedOutgoing>,
}

/// Redrives the open dead letters that are selected, each once, several hundred in one transaction,
/// and prints their outcomes.
///
/// # Errors
/// Exit code 1. What was committed is kept, and not repeated by the next run.
pub async fn redrive(
    topic: DeadLetterTopic,
    args: RedriveArgs,
    audit: Option<Audit>,
    mut service: impl Redrive + Send + 'static,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    blocking("redrive", move || {
        redrive_all(&topic, &args, audit, &mut service, &shutdown)
    })
    .await
}

fn redrive_all(
    topic: &DeadLetterTopic,
    args: &RedriveArgs,
    audit: Option<Audit>,
    service: &mut impl Redrive,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let run = run_name("redrive");
    let audit = trail(audit, "redrive", &run, topic, topic.name());
    // The writer is opened before the states are read, because this ends the transaction that a killed
    // redrive left open. `--expect` is checked before that, because opening the writer also fences a
    // redrive that is still running.
    let expected = expected(topic, args)?;
    let writer = match args.dry_run {
        true => None,
        false => Some(topic.state_writer(audit)?),
    };
    let mut states = topic.all_states()?;
    let mut report = RedriveReport::default();
    let mut transaction = Transaction::default();
    let mut counts = Counts::default();
    let mut previewed = Vec::new();
    let total = args.expect.as_ref().map(|expected| expected.count);
    let mut progress = Progress::of(&args.progress, total);
    topic.for_each_own(
        &mut states,
        &args.filter,
        &mut counts,
        |dead_letter, state, counts| {
            if shutdown.is_requested() {
                return Err(Failure::interrupted(
                    "stopped; run redrive again for the dead letters that are still open",
                ));
            }
            if expected
                .as_ref()
                .is_some_and(|ids| !ids.contains(&dead_letter.id))
            {
                return Ok(());
            }
            if !dead_letter.is_open(state) || counts.note(&dead_letter, state) == Seen::Repeat {
                return Ok(());
            }
            let (dead_letter, missing) = topic.with_original(dead_letter)?;
            let redriven = match missing {
                None => service.redrive(&dead_letter, &run)?,
                Some(missing) => Redriven {
                    outcome: missing.outcome(),
                    outputs: Vec::new(),
                },
            };
            let attempts = dead_letter.attempts_now(state).saturating_add(1);
            report.note(&dead_letter, &redriven.outcome, attempts, args.limit);
            progress.note(report.total());
            let Some(writer) = &writer else {
                previewed.push(dead_letter.id);
                return Ok(());
            };
            transaction.push(dead_letter.id, attempts, redriven, &run);
            if transaction.is_full() {
                transaction.write(writer)?;
            }
            Ok(())
        },
    )?;
    if let Some(writer) = &writer {
        transaction.write(writer)?;
    }
    progress.end(report.total());
    let selection = args.dry_run.then(|| digest_of(&previewed));
    if args.json {
        let mut json = report.json(&run, args.dry_run, topic, &counts);
        json["sums"] = json!(service.sums());
        if let Some(selection) = selection {
            json["selection"] = json!(selection);
        }
        if let Some(rows) = service.rows() {
            json["existing"] = rows.json();
        }
        print_json(&json)
    } else {
        print(&report.text(selection.as_deref(), topic, &counts, service.rows()))
    }
}

/// Reports how many dead letters were evaluated, with `--progress json`.
struct Progress {
    lines: Option<ProgressLines>,
    total: Option<u64>,
}

impl Progress {
    fn of(settings: &ProgressSettings, total: Option<u64>) -> Self {
        let is_json = settings.progress == ProgressFormat::Json;
        Self {
            lines: is_json.then(ProgressLines::default),
            total,
        }
    }

    fn note(&mut self, done: u64) {
        if let Some(lines) = &mut self.lines {
            lines.note(done, self.total);
        }
    }

    fn end(self, done: u64) {
        if self.lines.is_some() {
            ProgressLines::end(done, self.total);
        }
    }
}

/// The content of the next transaction.
#[derive(Default)]
struct Transaction {
    outputs: Vec<OwnedOutgoing>,
    states: Vec<(DeadLetterId, DeadLetterState)>,
    bytes: usize,
}

impl Transaction {
    /// Keeps a transaction far below its timeout.
    const MAX_BYTES: usize = 4 * 1024 * 1024;

    fn push(&mut self, id: DeadLetterId, attempts: u32, redriven: Redriven, run: &str) {
        for output in &redriven.outputs {
            self.bytes += output.value.as_ref().map_or(0, Vec::len);
        }
        self.outputs.extend(redriven.outputs);
        let state = DeadLetterState::now(redriven.outcome, attempts, run);
        self.states.push((id, state));
    }

    fn is_full(&self) -> bool {
        self.states.len() >= StateWriter::MAX_STATES || self.bytes >= Self::MAX_BYTES
    }

    fn write(&mut self, writer: &StateWriter) -> Result<(), Failure> {
        if self.states.is_empty() {
            return Ok(());
        }
        writer.write(&self.outputs, &self.states)?;
        *self = Self::default();
        Ok(())
    }
}

/// The outcomes of all dead letters.
#[derive(Default)]
struct RedriveReport {
    /// The number of dead letters of each outcome and reason.
    outcomes: BTreeMap<String, u64>,
    closed: u64,
    open: u64,
    rows: Vec<Row>,
}

/// One dead letter in one line.
struct Row {
    id: DeadLetterId,
    key: ShownBytes,
    attempts: u32,
    outcome: Outcome,
}

impl RedriveReport {
    const fn total(&self) -> u64 {
        self.closed + self.open
    }

    fn note(&mut self, dead_letter: &DeadLetter, outcome: &Outcome, attempts: u32, limit: usize) {
        let name = match outcome {
            Outcome::Skipped { reason, .. } | Outcome::Failed { reason, .. } => {
                format!("{}: {reason}", outcome.as_str())
            }
            _ => outcome.as_str().to_owned(),
        };
        *self.outcomes.entry(name).or_default() += 1;
        if outcome.is_final() {
            self.closed += 1;
        } else {
            self.open += 1;
        }
        if self.rows.len() < limit {
            self.rows.push(Row {
                id: dead_letter.id.clone(),
                key: ShownBytes::of(dead_letter.original.key.as_deref()),
                attempts,
                outcome: outcome.clone(),
            });
        }
    }

    fn json(&self, run: &str, dry_run: bool, topic: &DeadLetterTopic, counts: &Counts) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "letter": counts.name(&row.id),
                "digest": row.id.digest.to_string(),
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
            "group": topic.owner().group,
            "of_other_groups": counts.other_groups(),
            "outcomes": self.outcomes,
            "letters": rows.collect::<Vec<_>>(),
        })
    }

    /// Returns the report for a person. A preview has the digest of what it selected.
    fn text(
        &self,
        selection: Option<&str>,
        topic: &DeadLetterTopic,
        counts: &Counts,
        table_rows: Option<RowCounts>,
    ) -> String {
        let total = self.total();
        let others = counts.other_groups_note();
        if total == 0 {
            return format!(
                "{}: no open dead letter is selected{others}\n",
                topic.name()
            );
        }
        let rows = self.rows.iter().map(|row| {
            vec![
                counts.name(&row.id),
                row.key.to_string(),
                row.attempts.to_string(),
                row.outcome.to_string(),
            ]
        });
        let mut text = aligned(&["letter", "key", "attempts", "outcome"], rows);
        let more = total - self.rows.len() as u64;
        if more > 0 {
            text += &format!("... and {more} more (--limit)\n");
        }
        let outcomes = self
            .outcomes
            .iter()
            .map(|(name, count)| vec![name.clone(), count.to_string()]);
        text.push('\n');
        text += &aligned(&["outcome", "letters"], outcomes);
        if let Some(rows) = table_rows {
            text += &format!("\nof the vouchers {rows}\n");
        }
        let (closed, written) = match selection {
            Some(_) => ("would close", "; nothing was written (--dry-run)"),
            None => ("closed", ""),
        };
        text += &format!(
            "\n{closed} {}, still open {}{written}{others}\n",
            self.closed, self.open
        );
        if let Some(selection) = selection {
            text += &format!("to redrive exactly these: --expect {total}@{selection}\n");
        }
        text
    }
}
