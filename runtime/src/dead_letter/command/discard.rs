//! `dead-letters discard`: closes dead letters that will never be used, with a note.
//!
//! It closes them for one group only: a decision for one campaign is no decision for another.

use clap::Args;
use serde_json::json;

use super::{print, print_json, trail};
use crate::audit::{Audit, AuditSettings, run_name};
use crate::dead_letter::{
    DeadLetterFilter, DeadLetterState, DeadLetterTopic, Outcome, StateWriter,
};
use crate::lifecycle::Failure;
use crate::settings::{TopicSettings, sentence};

/// Which dead letters are discarded, and why.
#[derive(Debug, Clone, Args)]
pub struct DiscardArgs {
    /// The open dead letters that are discarded.
    #[command(flatten)]
    pub filter: DeadLetterFilter,

    /// Why they will never be used. The note is kept with each of them.
    #[arg(long, value_parser = sentence)]
    pub note: String,

    /// Discard every open dead letter. Required when no dead letter is selected.
    #[arg(long)]
    pub every: bool,

    /// Write nothing; show what would be discarded.
    #[arg(long)]
    pub dry_run: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Who discards them, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
}

impl DiscardArgs {
    /// Returns where the command is recorded, if it is. `--note` stands for `--why`.
    ///
    /// # Errors
    /// See [`AuditSettings::open`].
    pub fn open_audit(
        &self,
        service: &'static str,
        topics: &TopicSettings,
    ) -> Result<Option<Audit>, Failure> {
        self.audit
            .open_if(!self.dry_run, service, topics, Some(&self.note))
    }
}

/// Discards the open dead letters that are selected.
///
/// # Errors
/// Exit code 2 when none is selected; 1 when the topics cannot be read or written.
pub fn discard(
    topic: &DeadLetterTopic,
    args: &DiscardArgs,
    audit: Option<Audit>,
) -> Result<(), Failure> {
    if args.filter.is_all() && !args.every {
        return Err(Failure::bad_setting(
            "select dead letters with --letter, --key, --reason, --from or --to, or discard all of \
             them with --every",
        ));
    }
    let run = run_name("discard");
    let audit = trail(audit, "dead-letters discard", &run, topic, topic.name());
    let writer = match args.dry_run {
        true => None,
        false => Some(topic.state_writer(audit)?),
    };
    let mut discarded = Vec::new();
    let counts = topic.for_each_open(&args.filter, |dead_letter, state| {
        let outcome = Outcome::Discarded {
            note: args.note.clone(),
        };
        let attempts = dead_letter.attempts_now(state);
        let state = DeadLetterState::now(outcome, attempts, &run);
        discarded.push((dead_letter.id, state));
    })?;
    if let Some(writer) = &writer {
        for states in discarded.chunks(StateWriter::MAX_STATES) {
            writer.write(&[], states)?;
        }
    }
    let names: Vec<_> = discarded.iter().map(|(id, _)| counts.name(id)).collect();
    if args.json {
        return print_json(&json!({
            "dry_run": args.dry_run,
            "group": topic.owner().group,
            "discarded": names,
            "of_other_groups": counts.other_groups(),
        }));
    }
    let verb = match args.dry_run {
        true => "would be discarded",
        false => "discarded",
    };
    let mut text = String::new();
    for name in &names {
        text += &format!("{name}  {verb}\n");
    }
    text += &format!("{} {verb}{}\n", names.len(), counts.other_groups_note());
    print(&text)
}
