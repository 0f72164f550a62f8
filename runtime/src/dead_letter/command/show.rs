//! `dead-letters show`: one letter in full.

use clap::Args;
use schemas::printable;
use serde_json::{Value, json};

use super::{print, print_json, time};
use crate::dead_letter::{Counts, Outcome};
use crate::dead_letter::{
    DeadLetter, DeadLetterTopic, LetterFilter, MissingOriginal, Place, Seen, Shown, State,
};
use crate::lifecycle::Failure;
use crate::wording::count;

/// Which letter is shown, and how.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Where the original was read: [TOPIC/]PARTITION/OFFSET, and @DIGEST where a list shows one.
    pub letter: Place,

    /// Voucher codes as well, and values that may hold one.
    #[arg(long)]
    pub reveal: bool,

    /// JSON for machines.
    #[arg(long)]
    pub json: bool,
}

/// How a service reads a letter's original today.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the value is: a null, JSON, or Avro of which schema.
    pub format: String,
    /// What was found in it, by field; empty when it can't be read.
    pub fields: Vec<(&'static str, String)>,
    /// What a redrive would come to, in words.
    pub today: String,
    /// Whether the value may hold a secret, so that its bytes are shown only to who asks for them.
    pub secret: bool,
}

/// Prints one letter; `read` says how the service reads it today.
///
/// # Errors
/// Exit code 1 when there is no such letter, or the topics can't be read.
pub fn show(
    dead_letter_topic: &DeadLetterTopic,
    args: &ShowArgs,
    read: impl FnOnce(&DeadLetter) -> Result<Reading, Failure>,
) -> Result<(), Failure> {
    let mut states = dead_letter_topic.states()?;
    let filter = LetterFilter {
        letter: vec![args.letter.clone()],
        ..LetterFilter::default()
    };
    let mut counts = Counts::default();
    let mut found = Vec::new();
    dead_letter_topic.each_own(
        &mut states,
        &filter,
        &mut counts,
        |letter, state, counts| {
            if counts.note(&letter, state) == Seen::First {
                found.push((letter, state.cloned()));
            }
            Ok(())
        },
    )?;
    let (letter, state) = match found.len() {
        0 => {
            return Err(Failure::failed(format!(
                "no letter of {} was read at {}; dead-letters --all lists them{}",
                dead_letter_topic.source(),
                args.letter,
                counts.others_in_words()
            )));
        }
        1 => found.remove(0),
        _ => {
            let names: Vec<_> = found
                .iter()
                .map(|(letter, _)| letter.identity.to_string())
                .collect();
            return Err(Failure::failed(format!(
                "several records were read at {}, because the topic was deleted and created again; \
                 choose one: {}",
                args.letter,
                names.join(", ")
            )));
        }
    };
    let (letter, missing) = dead_letter_topic.completed(letter)?;
    let page = Page {
        state: state.as_ref(),
        repeats: counts.repeats(),
        reading: match &missing {
            None => read(&letter)?,
            Some(missing) => unreadable(missing),
        },
        missing,
        letter: &letter,
        reveal: args.reveal,
    };
    if args.json {
        print_json(&page.json())
    } else {
        print(&page.text())
    }
}

/// Of an original that can't be had any more.
fn unreadable(missing: &MissingOriginal) -> Reading {
    Reading {
        format: "not known: the original is not here".to_owned(),
        today: missing.outcome().to_string(),
        // What is carried of it can hold a code, and nobody can tell.
        secret: true,
        ..Reading::default()
    }
}

/// All that is known of a letter.
struct Page<'a> {
    letter: &'a DeadLetter,
    missing: Option<MissingOriginal>,
    state: Option<&'a State>,
    repeats: u64,
    reading: Reading,
    reveal: bool,
}

impl Page<'_> {
    fn hides_value(&self) -> bool {
        self.reading.secret && !self.reveal
    }

    fn text(&self) -> String {
        let letter = self.letter;
        let mut lines = vec![
            ("letter", letter.identity.origin.to_string()),
            ("digest", letter.identity.digest.to_string()),
            ("reason", format!("{}: {}", letter.reason, letter.message)),
            ("service", letter.service.clone()),
            (
                "group",
                letter
                    .group
                    .clone()
                    .unwrap_or_else(|| "not told".to_owned()),
            ),
            (
                "written",
                format!(
                    "{} (partition {}, offset {} of the dead letters)",
                    time(letter.written_millis).unwrap_or_default(),
                    letter.place.0,
                    letter.place.1
                ),
            ),
            ("attempts", letter.attempts_now(self.state).to_string()),
            ("state", self.state_line()),
            (
                "timestamp",
                time(letter.original.timestamp_millis).unwrap_or_else(|| "none".to_owned()),
            ),
            ("key", Shown::of(letter.original.key.as_deref()).to_string()),
        ];
        if self.repeats > 0 {
            lines.push(("repeats", self.repeats.to_string()));
        }
        for (name, value) in &letter.original.headers {
            lines.push(("header", format!("{name}: {}", Shown::of(value.as_deref()))));
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

    /// What the dead letter leaves out, and whether it could be read from the source.
    fn omitted_line(&self) -> Option<String> {
        let omitted = self.letter.omitted.as_ref()?;
        let whence = match &self.missing {
            None => format!("read from {}", self.letter.identity),
            Some(missing) => missing.to_string(),
        };
        Some(format!(
            "{}, too large for the dead letter topic (value: {}, SHA-256 {}); {whence}",
            omitted.parts(),
            count(omitted.value_bytes, "byte"),
            omitted.value_sha256
        ))
    }

    fn state_line(&self) -> String {
        match self.state {
            None => "open".to_owned(),
            Some(State {
                outcome: outcome @ Outcome::Failed { .. },
                at,
                run,
                ..
            }) => format!("open; {outcome} ({run}, {at})"),
            Some(State {
                outcome, at, run, ..
            }) => format!("closed; {outcome} ({run}, {at})"),
        }
    }

    fn value_is_missing(&self) -> bool {
        let omits_value =
            |letter: &DeadLetter| letter.omitted.as_ref().is_some_and(|o| o.has_value());
        self.missing.is_some() && omits_value(self.letter)
    }

    fn value_lines(&self) -> String {
        let value = self.letter.original.value.as_deref();
        match value {
            _ if self.value_is_missing() => "value     not here\n".to_owned(),
            None => "value     null\n".to_owned(),
            Some(bytes) if self.hides_value() => format!(
                "value     {}, which may hold a voucher's code: --reveal shows them\n",
                count(bytes.len(), "byte")
            ),
            Some(bytes) => format!(
                "value     {}\n{}\n",
                count(bytes.len(), "byte"),
                Shown::of(value)
            ),
        }
    }

    fn json(&self) -> Value {
        let letter = self.letter;
        let headers = letter.original.headers.iter().map(
            |(name, value)| json!({ "name": name, "value": Shown::of(value.as_deref()).json() }),
        );
        let value = if self.hides_value() {
            json!({ "bytes": letter.original.value.as_ref().map(Vec::len) })
        } else {
            Shown::of(letter.original.value.as_deref()).json()
        };
        let fields: serde_json::Map<_, _> = self
            .reading
            .fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({
            "letter": letter.identity.origin.to_string(),
            "digest": letter.identity.digest.to_string(),
            "group": letter.group,
            "reason": letter.reason,
            "message": letter.message,
            "service": letter.service,
            "written": time(letter.written_millis),
            "attempts": letter.attempts_now(self.state),
            "open": letter.is_open(self.state),
            "state": self.state,
            "repeats": self.repeats,
            "original": {
                "timestamp": time(letter.original.timestamp_millis),
                "key": Shown::of(letter.original.key.as_deref()).json(),
                "headers": headers.collect::<Vec<_>>(),
                "value": value,
            },
            "omitted": letter.omitted.as_ref().map(|omitted| json!({
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
