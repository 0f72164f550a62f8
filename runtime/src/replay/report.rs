//! The result of a backfill: lines of a name and a value for a person, and the parts of its JSON.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use schemas::Reason;
use serde_json::{Map, Value};

use crate::duration::human_duration;
use crate::lifecycle::Failure;
use crate::output;

/// Collects the lines of a report.
#[derive(Debug, Clone, Default)]
pub struct ReportLines(String);

impl ReportLines {
    /// Adds a line.
    pub fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<14}{value}");
    }

    /// Adds the number of records, with a note in parentheses such as [`speed`], and how many
    /// records were left out.
    pub fn records(&mut self, records: impl Display, note: &str, left_out: u64) {
        self.line("records", format_args!("{records} ({note})"));
        if left_out > 0 {
            self.line("left out", format_args!("{left_out} of other times"));
        }
    }

    /// Adds a line for each reason for which records could not be used.
    pub fn unusable(&mut self, reasons: &BTreeMap<Reason, u64>) {
        for (reason, count) in reasons {
            self.line("unusable", format_args!("{count} {}", reason.as_str()));
        }
    }

    /// Adds whether the end of the range was reached.
    pub fn end(&mut self, is_complete: bool) {
        self.line(
            "end",
            if is_complete {
                "reached"
            } else {
                "not reached"
            },
        );
    }

    /// Prints the report to standard output.
    ///
    /// # Errors
    /// See [`output::print()`].
    pub fn print(&self) -> Result<(), Failure> {
        output::print(&self.0)
    }
}

/// Returns the numbers by reason.
pub fn numbers(reasons: &BTreeMap<Reason, u64>) -> Map<String, Value> {
    let numbers = reasons.iter();
    numbers
        .map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()))
        .collect()
}

/// Formats how long some records took, and how many that is per second.
pub fn speed(records: u64, took: Duration) -> String {
    let per_second = records.saturating_mul(1000) / millis(took).max(1);
    format!("{}, {per_second} a second", human_duration(took))
}

/// Returns a duration in seconds, exact to the millisecond.
pub fn seconds(took: Duration) -> Value {
    let millis = millis(took);
    format!("{}.{:03}", millis / 1000, millis % 1000)
        .parse::<serde_json::Number>()
        .map_or(Value::Null, Value::Number)
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_aligned() {
        let mut report = ReportLines::default();
        let took = Duration::from_millis(1_500);
        report.records("30, of this start", &speed(30, took), 2);
        report.end(true);
        assert_eq!(
            report.0,
            "records       30, of this start (1.5 s, 20 a second)\n\
             left out      2 of other times\n\
             end           reached\n"
        );
        assert_eq!(seconds(Duration::from_millis(1_050)).to_string(), "1.05");
    }
}
