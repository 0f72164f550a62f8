//! The result of a backfill, as text or JSON.

use std::fmt::Write;
use std::time::Duration;

use runtime::kafka::TopicRange;
use runtime::lifecycle::Failure;
use runtime::output;
use runtime::plural::count;
use runtime::replay::{Pacing, ReportLines, numbers, seconds, speed};
use schemas::Timestamp;
use serde_json::{Map, Value, json};

use crate::batch::Tally;
use crate::rule::Skip;

/// What a backfill did.
#[derive(Debug)]
pub struct BackfillReport {
    /// The name of the backfill.
    pub name: String,
    /// The whole range, including the part that an earlier start did.
    pub range: TopicRange,
    /// Whether an earlier start did a part of it.
    pub resumed: bool,
    /// Whether dead letters were written.
    pub dead_letters: bool,
    /// What this start wrote.
    pub tally: Tally,
    /// Records that this start left out because of their timestamps.
    pub left_out: u64,
    /// How long this start took.
    pub took: Duration,
    /// How this start was paced.
    pub pacing: Pacing,
    /// Whether the end of the range was reached.
    pub complete: bool,
}

impl BackfillReport {
    /// Prints the report to standard output.
    ///
    /// # Errors
    /// See [`output::print()`].
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            output::print_line(&self.json().to_string())
        } else {
            self.text().print()
        }
    }

    fn json(&self) -> Value {
        let tally = &self.tally;
        let written: u64 = match self.dead_letters {
            true => tally.dead.values().sum(),
            false => 0,
        };
        json!({
            "name": self.name, "already_done": false, "complete": self.complete,
            "resumed": self.resumed, "range": range_json(&self.range),
            "records": tally.records(), "left_out": self.left_out,
            "voucher_records": tally.vouchers,
            "skipped": skipped_json(|skip| tally.skipped.get(&skip).copied()),
            "unusable": numbers(&tally.dead), "dead_letters_written": written,
            "seconds": seconds(self.took), "pace": self.pacing.json(),
        })
    }

    fn text(&self) -> ReportLines {
        let tally = &self.tally;
        let mut report = ReportLines::default();
        report.line("name", &self.name);
        report.line("range", range_text(&self.range));
        let records = tally.records();
        let note = if self.resumed { ", of this start" } else { "" };
        report.records(
            format_args!("{records}{note}"),
            &speed(records, self.took),
            self.left_out,
        );
        self.pacing.lines(&mut report);
        report.line(
            "vouchers",
            format_args!(
                "{} written (repeats of a voucher are echoes, no second row)",
                count(tally.vouchers, "record")
            ),
        );
        skipped_lines(&mut report, |skip| tally.skipped.get(&skip).copied());
        report.unusable(&tally.dead);
        if !tally.dead.is_empty() {
            report.line(
                "dead letters",
                match self.dead_letters {
                    true => "all written to the dead letter topic",
                    false => "none written; --dead-letters writes them",
                },
            );
        }
        report.end(self.complete);
        report
    }
}

/// The result of a start that has nothing to do, because an earlier run of the name did the same.
#[derive(Debug)]
pub struct AlreadyDone {
    name: String,
    range: TopicRange,
    at: Option<i64>,
    dry_run: bool,
}

impl AlreadyDone {
    /// Describes a run that read `range` and ended `at`, in milliseconds since the epoch, if that
    /// is known.
    pub fn new(name: &str, range: TopicRange, at: Option<i64>) -> Self {
        Self {
            name: name.to_owned(),
            range,
            at,
            dry_run: false,
        }
    }

    /// Marks the start as a preview.
    #[must_use]
    pub const fn of_dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Prints the report to standard output.
    ///
    /// # Errors
    /// See [`output::print()`].
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        let at = self.at.map(|at| Timestamp::from_millis(at).to_string());
        if as_json {
            return output::print_line(
                &json!({
                    "name": self.name, "already_done": true, "done_at": at, "complete": true,
                    "dry_run": self.dry_run, "range": range_json(&self.range), "records": 0,
                    "voucher_records": 0, "vouchers": 0,
                })
                .to_string(),
            );
        }
        let mut report = ReportLines::default();
        report.line("name", &self.name);
        report.line("range", range_text(&self.range));
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        report.line(
            "already done",
            format_args!(
                "a backfill of this name, range, rule and keys ended{at}; nothing is read or \
                 written. Another --name does it again"
            ),
        );
        report.print()
    }
}

pub(super) fn skipped_lines(report: &mut ReportLines, count: impl Fn(Skip) -> Option<u64>) {
    for skip in Skip::ALL {
        if let Some(count) = count(skip) {
            report.line("skipped", format_args!("{count} {}", skip.as_str()));
        }
    }
}

pub(super) fn skipped_json(count: impl Fn(Skip) -> Option<u64>) -> Value {
    let counts = Skip::ALL.into_iter().map(|skip| {
        let count = count(skip).unwrap_or_default();
        (skip.as_str().to_owned(), json!(count))
    });
    counts.collect::<Map<_, _>>().into()
}

pub(super) fn range_text(range: &TopicRange) -> String {
    let spans: Vec<_> = range
        .spans
        .iter()
        .map(|(partition, span)| format!("{partition}: {}..{}", span.from, span.to))
        .collect();
    let mut text = format!("{} [{}]", range.topic, spans.join(", "));
    for (name, bound) in [("from", range.times.from), ("until", range.times.to)] {
        if let Some(millis) = bound {
            // Writing to a string cannot fail.
            let _ = write!(text, " {name} {}", Timestamp::from_millis(millis));
        }
    }
    text
}

pub(super) fn range_json(range: &TopicRange) -> Value {
    let spans: Vec<_> = range
        .spans
        .iter()
        .map(
            |(partition, span)| json!({ "partition": partition, "from": span.from, "to": span.to }),
        )
        .collect();
    let time = |millis: Option<i64>| millis.map(|at| Timestamp::from_millis(at).to_string());
    json!({
        "topic": range.topic, "partitions": spans,
        "times_from": time(range.times.from), "times_to": time(range.times.to),
    })
}
