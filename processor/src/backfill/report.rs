//! The result, for a person or as JSON.

use std::fmt::Write;
use std::time::Duration;

use runtime::kafka::TopicRange;
use runtime::lifecycle::Failure;
use runtime::output;
use runtime::wording::count;
use rust_decimal::Decimal;
use schemas::{Timestamp, decimal};
use serde_json::{Value, json};

use super::preview::{Existing, Preview, sum};
use crate::batch::Tally;
use crate::rule::{Rule, Skip};

/// What a backfill did.
#[derive(Debug)]
pub struct Done {
    /// Its name.
    pub name: String,
    /// All of its range, also what an earlier start did.
    pub range: TopicRange,
    /// Whether an earlier start did a part of it.
    pub resumed: bool,
    /// Whether dead letters were written.
    pub dead_letters: bool,
    /// What this start wrote.
    pub tally: Tally,
    /// Records that this start read and left out, because of their timestamps.
    pub left_out: u64,
    /// How long this start took.
    pub took: Duration,
    /// Whether the end of the range was reached.
    pub complete: bool,
}

impl Done {
    /// To standard output.
    ///
    /// # Errors
    /// See [`output::print()`].
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        let tally = &self.tally;
        let dead: u64 = tally.dead.values().sum();
        let skipped = skipped_json(|skip| tally.skipped.get(&skip).copied());
        if as_json {
            let reasons: serde_json::Map<String, Value> = tally
                .dead
                .iter()
                .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
                .collect();
            return output::print_line(
                &json!({
                    "name": self.name, "already_done": false, "complete": self.complete,
                    "resumed": self.resumed,
                    "range": range_json(&self.range), "records": tally.records(),
                    "left_out": self.left_out, "voucher_records": tally.vouchers, "skipped": skipped,
                    "unusable": reasons, "dead_letters_written": if self.dead_letters { dead } else { 0 },
                    "seconds": seconds(self.took),
                })
                .to_string(),
            );
        }
        let mut text = String::new();
        line(&mut text, "name", &self.name);
        line(&mut text, "range", &range_text(&self.range));
        let earlier = if self.resumed { ", of this start" } else { "" };
        line(
            &mut text,
            "records",
            &format!(
                "{}{earlier} ({})",
                tally.records(),
                speed(tally.records(), self.took)
            ),
        );
        left_out_line(&mut text, self.left_out);
        line(
            &mut text,
            "vouchers",
            &format!(
                "{} written (repeats of a voucher are echoes, no second row)",
                count(tally.vouchers, "record")
            ),
        );
        skipped_lines(&mut text, |skip| tally.skipped.get(&skip).copied());
        for (reason, count) in &tally.dead {
            line(
                &mut text,
                "unusable",
                &format!("{count} {}", reason.as_str()),
            );
        }
        if dead > 0 {
            let what = if self.dead_letters {
                "all written to the dead letter topic"
            } else {
                "none written; --dead-letters writes them"
            };
            line(&mut text, "dead letters", what);
        }
        let end = if self.complete {
            "reached"
        } else {
            "not reached"
        };
        line(&mut text, "end", end);
        output::print(&text)
    }
}

/// A backfill that a run of its name has done already.
#[derive(Debug)]
pub struct AlreadyDone {
    /// Its name.
    pub name: String,
    /// What that run read.
    pub range: TopicRange,
    /// When it ended, in milliseconds since the epoch, if that was kept.
    pub at: Option<i64>,
    /// Whether it would have been a dry run.
    pub dry_run: bool,
}

impl AlreadyDone {
    /// Prints it to standard output.
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
        let mut text = String::new();
        line(&mut text, "name", &self.name);
        line(&mut text, "range", &range_text(&self.range));
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        line(
            &mut text,
            "already done",
            &format!(
                "a backfill of this name, range, rule and keys ended{at}; nothing is read or \
                 written. Another --name does it again"
            ),
        );
        output::print(&text)
    }
}

/// What today's rule and defaults would give.
#[derive(Debug)]
pub struct Today {
    /// The environment's rule.
    pub rule: Rule,
    /// Orders that it makes eligible.
    pub orders: u64,
    /// Orders that only the rule that was asked about makes eligible.
    pub gained: u64,
    /// Orders that only today's does.
    pub lost: u64,
}

/// What a backfill would do.
#[derive(Debug)]
pub struct Foreseen {
    /// What was read: of an interrupted run, what is left of it.
    pub range: TopicRange,
    /// Whether it is the rest of an interrupted run.
    pub resumed: bool,
    /// Why the backfill would be refused, if it would.
    pub refused: Option<String>,
    /// Records that were left out, because of their timestamps.
    pub left_out: u64,
    /// The rule that was asked about.
    pub rule: Rule,
    /// What today's settings give, when they are others.
    pub today: Option<Today>,
    /// Records by outcome.
    pub preview: Preview,
    /// Distinct eligible orders: vouchers to issue.
    pub orders: u64,
    /// What the table has of them, with a database.
    pub existing: Option<Existing>,
    /// Whether there was a key to compare codes with.
    pub codes_compared: bool,
    /// How long it took.
    pub took: Duration,
}

impl Foreseen {
    /// To standard output.
    ///
    /// # Errors
    /// Exit code 1 for a sum that no decimal holds; see [`output::print()`].
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        let too_much = || Failure::failed("the vouchers' sum has more than 28 digits");
        let total = sum(self.orders, self.rule.amount).ok_or_else(too_much)?;
        let todays = match &self.today {
            None => None,
            Some(today) => Some(sum(today.orders, today.rule.amount).ok_or_else(too_much)?),
        };
        if as_json {
            output::print_line(&self.json(total, todays).to_string())
        } else {
            output::print(&self.text(total, todays))
        }
    }

    fn text(&self, total: Decimal, todays: Option<Decimal>) -> String {
        let Self { preview, rule, .. } = self;
        let mut text = String::new();
        line(&mut text, "range", &range_text(&self.range));
        if self.resumed {
            line(
                &mut text,
                "resumed",
                "this is the rest of an interrupted run",
            );
        }
        line(
            &mut text,
            "records",
            &format!(
                "{} ({})",
                preview.records(),
                speed(preview.records(), self.took)
            ),
        );
        left_out_line(&mut text, self.left_out);
        line(
            &mut text,
            "eligible",
            &format!(
                "{} of {}",
                count(preview.eligible, "record"),
                count(self.orders, "order")
            ),
        );
        skipped_lines(&mut text, |skip| preview.skipped.get(&skip).copied());
        for (reason, (count, example)) in &preview.dead {
            line(
                &mut text,
                "unusable",
                &format!(
                    "{count} {}, such as {}-{}-{}: {}",
                    reason.as_str(),
                    self.range.topic,
                    example.partition,
                    example.offset,
                    one_line(&example.message)
                ),
            );
        }
        let currency = rule.currency.as_str();
        line(
            &mut text,
            "vouchers",
            &format!(
                "{} to issue, {} {currency} in all",
                self.orders,
                money(total)
            ),
        );
        if let Some(Existing {
            new,
            same,
            different,
        }) = self.existing
        {
            let compared = if self.codes_compared {
                ""
            } else {
                " (codes not compared: no key)"
            };
            line(
                &mut text,
                "of these",
                &format!(
                    "{new} new, {same} exist already, {different} exist with another amount or code{compared}"
                ),
            );
        }
        if let (Some(today), Some(todays)) = (&self.today, todays) {
            line(
                &mut text,
                "today's rule",
                &format!(
                    "{}, {} {}: this rule gives {} more and {} fewer",
                    count(today.orders, "voucher"),
                    money(todays),
                    today.rule.currency.as_str(),
                    today.gained,
                    today.lost
                ),
            );
        }
        if let Some(why) = &self.refused {
            line(
                &mut text,
                "refused",
                &format!("the backfill would end with: {why}"),
            );
        }
        line(&mut text, "written", "nothing: this is a dry run");
        text
    }

    fn json(&self, total: Decimal, todays: Option<Decimal>) -> Value {
        let Self { preview, rule, .. } = self;
        let dead: serde_json::Map<String, Value> = preview
            .dead
            .iter()
            .map(|(reason, (count, example))| {
                let example = json!({
                    "topic": self.range.topic, "partition": example.partition,
                    "offset": example.offset, "message": example.message,
                });
                (
                    reason.as_str().to_owned(),
                    json!({ "records": count, "example": example }),
                )
            })
            .collect();
        json!({
            "dry_run": true,
            "range": range_json(&self.range),
            "resumed": self.resumed,
            "refused": self.refused,
            "left_out": self.left_out,
            "records": preview.records(),
            "eligible_records": preview.eligible,
            "skipped": skipped_json(|skip| preview.skipped.get(&skip).copied()),
            "unusable": dead,
            "vouchers": self.orders,
            "sum": money(total),
            "currency": rule.currency.as_str(),
            "existing": self.existing.map(|existing| json!({
                "new": existing.new, "existing": existing.same, "different": existing.different,
                "codes_compared": self.codes_compared,
            })),
            "today": self.today.as_ref().zip(todays).map(|(today, sum)| json!({
                "vouchers": today.orders, "sum": money(sum), "more": today.gained, "fewer": today.lost,
            })),
            "seconds": seconds(self.took),
        })
    }
}

fn money(sum: Decimal) -> String {
    decimal::as_money(sum).to_string()
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{name:<14}{value}");
}

fn left_out_line(text: &mut String, records: u64) {
    if records > 0 {
        line(text, "left out", &format!("{records} of other times"));
    }
}

fn skipped_lines(text: &mut String, count: impl Fn(Skip) -> Option<u64>) {
    for skip in Skip::ALL {
        if let Some(count) = count(skip) {
            line(text, "skipped", &format!("{count} {}", skip.as_str()));
        }
    }
}

fn skipped_json(count: impl Fn(Skip) -> Option<u64>) -> Value {
    Skip::ALL
        .into_iter()
        .map(|skip| {
            (
                skip.as_str().to_owned(),
                json!(count(skip).unwrap_or_default()),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn range_text(range: &TopicRange) -> String {
    let spans: Vec<_> = range
        .spans
        .iter()
        .map(|(partition, span)| format!("{partition}: {}..{}", span.from, span.to))
        .collect();
    let mut text = format!("{} [{}]", range.topic, spans.join(", "));
    for (word, bound) in [("from", range.times.from), ("until", range.times.to)] {
        if let Some(millis) = bound {
            // Writing to a string can't fail.
            let _ = write!(text, " {word} {}", Timestamp::from_millis(millis));
        }
    }
    text
}

fn range_json(range: &TopicRange) -> Value {
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

fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// To the millisecond, as a decimal number.
fn seconds(took: Duration) -> Value {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    format!("{}.{:03}", millis / 1000, millis % 1000)
        .parse::<serde_json::Number>()
        .map_or(Value::Null, Value::Number)
}

fn speed(records: u64, took: Duration) -> String {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let tenths = millis / 100;
    format!(
        "{}.{} s, {} a second",
        tenths / 10,
        tenths % 10,
        records.saturating_mul(1000) / millis
    )
}
