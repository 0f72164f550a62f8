//! `dead-letters show`: prints one dead letter in full.

use clap::Args;
use schemas::printable;
use serde_json::{Value, json};

use super::{print, print_json, time, trail};
use crate::audit::{Audit, AuditCounts, AuditSettings, run_name};
use crate::dead_letter::{
    Counts, DeadLetter, DeadLetterFilter, DeadLetterState, DeadLetterTopic, MissingOriginal,
    Omitted, OriginFilter, Seen, ShownBytes,
};
use crate::lifecycle::Failure;
use crate::plural::count;
use crate::settings::TopicSettings;

/// Which dead letter is shown, and how.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The origin of the dead letter: [TOPIC/]PARTITION/OFFSET, with @DIGEST where the list shows
    /// one.
    pub origin: OriginFilter,

    /// Show voucher codes, and values that may contain one.
    #[arg(long)]
    pub reveal: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Who reveals codes and why, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
}

impl ShowArgs {
    /// Returns where the command is recorded: only if it reveals codes.
    ///
    /// # Errors
    /// See [`AuditSettings::open`].
    pub fn open_audit(
        &self,
        service: &'static str,
        topics: &TopicSettings,
    ) -> Result<Option<Audit>, Failure> {
        self.audit.open_if(self.reveal, service, topics, None)
    }
}

/// How a service reads the original of a dead letter today.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The format of the value: a null, JSON, or Avro of which schema.
    pub format: String,
    /// The fields that were decoded; empty when the value cannot be read.
    pub fields: Vec<(&'static str, String)>,
    /// What the outcome of a redrive would be.
    pub today: String,
    /// Whether the value may contain a secret: its bytes are shown only with `--reveal`.
    pub secret: bool,
}

/// Prints one dead letter; `read` evaluates its original as the service does today. With `audit`, it
/// is first recorded that codes are revealed.
///
/// # Errors
/// Exit code 1 when there is no such dead letter, the topics cannot be read, or the audit record
/// cannot be written.
pub fn show(
    topic: &DeadLetterTopic,
    args: &ShowArgs,
    audit: Option<Audit>,
    read: impl FnOnce(&DeadLetter) -> Result<Reading, Failure>,
) -> Result<(), Failure> {
    let run = run_name("reveal");
    let what = format!("dead letter {} of {}", args.origin, topic.source());
    if let Some(audit) = trail(audit, "dead-letters show --reveal", &run, topic, what) {
        audit.write_blocking(topic.kafka(), None, AuditCounts::default())?;
    }
    let mut states = topic.states()?;
    let filter = DeadLetterFilter {
        origin: vec![args.origin.clone()],
        ..DeadLetterFilter::default()
    };
    let mut counts = Counts::default();
    let mut found = Vec::new();
    topic.for_each_own(
        &mut states,
        &filter,
        &mut counts,
        |dead_letter, state, counts| {
            if counts.note(&dead_letter, state) == Seen::First {
                found.push((dead_letter, state.cloned()));
            }
            Ok(())
        },
    )?;
    let (dead_letter, state) = match found.len() {
        0 => {
            // The exit code alone does not distinguish this from a broker that does not answer.
            if args.json {
                print_json(&json!({ "letter": args.origin.to_string(), "found": false }))?;
            }
            return Err(Failure::failed(format!(
                "{} has no dead letter whose original was read at {}; dead-letters --all lists them{}",
                topic.name(),
                args.origin,
                counts.other_groups_note()
            )));
        }
        1 => found.remove(0),
        _ => {
            let ids: Vec<_> = found
                .iter()
                .map(|(dead_letter, _)| dead_letter.id.to_string())
                .collect();
            return Err(Failure::failed(format!(
                "several records were read at {}, because the topic was deleted and created again; \
                 choose one: {}",
                args.origin,
                ids.join(", ")
            )));
        }
    };
    let (dead_letter, missing) = topic.with_original(dead_letter)?;
    let page = Page {
        state: state.as_ref(),
        repeats: counts.repeats(),
        reading: match &missing {
            None => read(&dead_letter)?,
            Some(missing) => reading_without_original(missing),
        },
        missing,
        dead_letter: &dead_letter,
        reveal: args.reveal,
    };
    if args.json {
        print_json(&page.json())
    } else {
        print(&page.text())
    }
}

fn reading_without_original(missing: &MissingOriginal) -> Reading {
    Reading {
        format: "unknown: the original is missing".to_owned(),
        today: missing.outcome().to_string(),
        // The parts that are carried may contain a code, which cannot be checked without the original.
        secret: true,
        ..Reading::default()
    }
}

/// Everything that is known about a dead letter.
struct Page<'a> {
    dead_letter: &'a DeadLetter,
    missing: Option<MissingOriginal>,
    state: Option<&'a DeadLetterState>,
    repeats: u64,
    reading: Reading,
    reveal: bool,
}

impl Page<'_> {
    fn hides_value(&self) -> bool {
        self.reading.secret && !self.reveal
    }

    fn text(&self) -> String {
        let dead_letter = self.dead_letter;
        let mut lines = vec![
            ("letter", dead_letter.id.origin.to_string()),
            ("digest", dead_letter.id.digest.to_string()),
            (
                "reason",
                format!("{}: {}", dead_letter.reason, dead_letter.message),
            ),
            ("service", dead_letter.service.clone()),
            (
                "group",
                dead_letter
                    .group
                    .clone()
                    .unwrap_or_else(|| "unknown".to_owned()),
            ),
            (
                "written",
                format!(
                    "{} (partition {}, offset {} of the dead letter topic)",
                    time(dead_letter.written_millis).unwrap_or_default(),
                    dead_letter.place.0,
                    dead_letter.place.1
                ),
            ),
            ("attempts", dead_letter.attempts_now(self.state).to_string()),
            ("state", self.state_line()),
            (
                "timestamp",
                time(dead_letter.original.timestamp_millis).unwrap_or_else(|| "none".to_owned()),
            ),
            (
                "key",
                ShownBytes::of(dead_letter.original.key.as_deref()).to_string(),
            ),
        ];
        if self.repeats > 0 {
            lines.push(("repeats", self.repeats.to_string()));
        }
        for (name, value) in &dead_letter.original.headers {
            lines.push((
                "header",
                format!("{name}: {}", ShownBytes::of(value.as_deref())),
            ));
        }
        lines.extend(self.omitted_line().map(|line| ("omitted", line)));
        lines.push(("format", self.reading.format.clone()));
        for (name, value) in &self.reading.fields {
            lines.push(("field", format!("{name}: {value}")));
        }
        lines.push(("today", self.reading.today.clone()));
        let mut text = String::new();
        for (name, value) in lines {
            text += &format!("{name:<10}{}\n", printable(&value));
        }
        text + &self.value_lines()
    }

    /// Returns which parts the dead letter omits, and whether they could be read from the source
    /// topic.
    fn omitted_line(&self) -> Option<String> {
        let omitted = self.dead_letter.omitted.as_ref()?;
        let source = match &self.missing {
            None => format!("read from {}", self.dead_letter.id),
            Some(missing) => missing.to_string(),
        };
        Some(format!(
            "{}, too large for the dead letter topic (value: {}, SHA-256 {}); {source}",
            omitted.parts(),
            count(omitted.value_bytes, "byte"),
            omitted.value_sha256
        ))
    }

    fn state_line(&self) -> String {
        let Some(state) = self.state else {
            return "open".to_owned();
        };
        let DeadLetterState {
            outcome,
            at,
            run,
            by,
            ..
        } = state;
        let condition = match outcome.is_final() {
            true => "closed",
            false => "open",
        };
        let by = by
            .as_ref()
            .map_or_else(String::new, |by| format!(", by {by}"));
        format!("{condition}; {outcome} ({run}, {at}{by})")
    }

    fn value_is_missing(&self) -> bool {
        let omitted = self.dead_letter.omitted.as_ref();
        self.missing.is_some() && omitted.is_some_and(Omitted::has_value)
    }

    fn value_lines(&self) -> String {
        let value = self.dead_letter.original.value.as_deref();
        match value {
            _ if self.value_is_missing() => "value     missing\n".to_owned(),
            None => "value     null\n".to_owned(),
            Some(bytes) if self.hides_value() => format!(
                "value     {}, which may contain a voucher code; --reveal shows them\n",
                count(bytes.len(), "byte")
            ),
            Some(bytes) => format!(
                "value     {}\n{}\n",
                count(bytes.len(), "byte"),
                ShownBytes::of(value)
            ),
        }
    }

    fn json(&self) -> Value {
        let dead_letter = self.dead_letter;
        let headers = dead_letter.original.headers.iter().map(
            |(name, value)| json!({ "name": name, "value": ShownBytes::of(value.as_deref()).json() }),
        );
        let value = if self.hides_value() {
            json!({ "bytes": dead_letter.original.value.as_ref().map(Vec::len) })
        } else {
            ShownBytes::of(dead_letter.original.value.as_deref()).json()
        };
        let fields: serde_json::Map<_, _> = self
            .reading
            .fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({
            "letter": dead_letter.id.origin.to_string(),
            "found": true,
            "digest": dead_letter.id.digest.to_string(),
            "group": dead_letter.group,
            "reason": dead_letter.reason,
            "message": dead_letter.message,
            "service": dead_letter.service,
            "written": time(dead_letter.written_millis),
            "attempts": dead_letter.attempts_now(self.state),
            "open": dead_letter.is_open(self.state),
            "state": self.state,
            "repeats": self.repeats,
            "original": {
                "timestamp": time(dead_letter.original.timestamp_millis),
                "key": ShownBytes::of(dead_letter.original.key.as_deref()).json(),
                "headers": headers.collect::<Vec<_>>(),
                "value": value,
            },
            "omitted": dead_letter.omitted.as_ref().map(|omitted| json!({
                "parts": omitted.parts(),
                "value_bytes": omitted.value_bytes,
                "value_sha256": omitted.value_sha256,
                "missing": self.missing.as_ref().map(ToString::to_string),
            })),
            "format": self.reading.format,
            "fields": fields,
            "today": self.reading.today,
        })
    }
}
