//! How far a command is, as lines of JSON for the program that started it.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::output::eprint_line;

/// The interval between two lines.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How a command reports its progress to standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressFormat {
    /// For people, where the command does so: a bar on a terminal, log lines elsewhere.
    #[default]
    Text,
    /// For programs: a line each second.
    Json,
}

/// The flag of commands that can take long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct ProgressSettings {
    /// How progress is reported on standard error. json: a line each second, such as
    /// {"progress":{"done":3,"total":10,"per_second":1}}.
    #[arg(long, value_enum, default_value = "text")]
    pub progress: ProgressFormat,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line {
    progress: Progress,
}

#[derive(Debug, Serialize)]
struct Progress {
    done: u64,
    total: Option<u64>,
    per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
}

/// What limits a command that gives way to the live flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Records a second.
    pub per_second: u32,
    /// The live group because of which the limit is not higher; none before the command gave way for the
    /// first time.
    pub group: Option<String>,
    /// How far that group was behind then, in milliseconds.
    pub lag_ms: Option<u64>,
}

impl Limit {
    /// Returns the limit for a person.
    pub fn in_words(&self) -> String {
        let Self {
            per_second,
            group,
            lag_ms,
        } = self;
        match (group, lag_ms) {
            (Some(group), Some(lag)) => {
                format!("at most {per_second} records a second: group {group} was {lag} ms behind")
            }
            _ => format!("at most {per_second} records a second so far"),
        }
    }
}

/// Writes the lines.
#[derive(Debug, Default)]
pub struct ProgressLines {
    last: Option<(Instant, u64)>,
}

impl ProgressLines {
    /// Writes how much is done, unless it did so within the last second.
    pub fn note(&mut self, done: u64, total: Option<u64>) {
        self.note_limited(done, total, || None);
    }

    /// Does what [`note`](Self::note) does, and also writes what limits the command.
    pub fn note_limited(
        &mut self,
        done: u64,
        total: Option<u64>,
        limit: impl FnOnce() -> Option<Limit>,
    ) {
        if let Some(line) = self.line_at(Instant::now(), done, total, limit) {
            eprint_line(&line);
        }
    }

    /// Writes how much was done in the end.
    pub fn end(done: u64, total: Option<u64>) {
        eprint_line(&line(done, total, None, None));
    }

    fn line_at(
        &mut self,
        now: Instant,
        done: u64,
        total: Option<u64>,
        limit: impl FnOnce() -> Option<Limit>,
    ) -> Option<String> {
        let per_second = match self.last {
            None => None,
            Some((at, before)) => {
                let since = now.saturating_duration_since(at);
                if since < LINE_EVERY {
                    return None;
                }
                Some(per_second(done.saturating_sub(before), since))
            }
        };
        self.last = Some((now, done));
        Some(line(done, total, per_second, limit()))
    }
}

fn per_second(count: u64, within: Duration) -> u64 {
    let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    count.saturating_mul(1000) / millis.max(1)
}

fn line(done: u64, total: Option<u64>, per_second: Option<u64>, limit: Option<Limit>) -> String {
    let progress = Progress {
        done,
        total,
        per_second,
        limit,
    };
    // A struct of numbers and texts always serializes.
    serde_json::to_string(&Line { progress }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_each_second_says_how_much_and_how_fast() {
        let (mut lines, start) = (ProgressLines::default(), Instant::now());
        let mut at = |millis, done| {
            let now = start + Duration::from_millis(millis);
            let line = lines.line_at(now, done, Some(10), || None)?;
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            Some(line["progress"].clone())
        };
        let first = json!({"done": 0, "total": 10, "per_second": null});
        assert_eq!(at(0, 0), Some(first));
        assert_eq!(at(999, 3), None);
        let second = json!({"done": 4, "total": 10, "per_second": 2});
        assert_eq!(at(2000, 4), Some(second));
        // A loop that reads a batch again is behind what it was.
        let third = json!({"done": 3, "total": 10, "per_second": 0});
        assert_eq!(at(3000, 3), Some(third));
    }

    #[test]
    fn a_line_begins_as_its_readers_expect() {
        assert_eq!(
            line(1, None, None, None),
            r#"{"progress":{"done":1,"total":null,"per_second":null}}"#
        );
        let limit = Limit {
            per_second: 2_000,
            group: Some("sink".to_owned()),
            lag_ms: Some(83),
        };
        assert_eq!(
            line(1, Some(9), Some(4), Some(limit)),
            r#"{"progress":{"done":1,"total":9,"per_second":4,"limit":{"per_second":2000,"group":"sink","lag_ms":83}}}"#
        );
    }
}
