//! The result of a preview, as text or JSON.

use std::time::Duration;

use runtime::kafka::TopicRange;
use runtime::lifecycle::Failure;
use runtime::output;
use runtime::plural::count;
use runtime::replay::{Pacing, ReportLines, RowCounts, seconds, speed};
use rust_decimal::Decimal;
use schemas::{decimal, printable};
use serde_json::{Map, Value, json};

use super::preview::{Preview, sum};
use super::report::{range_json, range_text, skipped_json, skipped_lines};
use crate::rule::Rule;

/// What the rule of the environment would give, in comparison with that of the preview.
#[derive(Debug)]
pub struct CurrentRule {
    /// The rule that the environment sets.
    pub rule: Rule,
    /// Orders that it makes eligible.
    pub orders: u64,
    /// Orders that only the rule of the preview makes eligible.
    pub gained: u64,
    /// Orders that only the rule of the environment makes eligible.
    pub lost: u64,
}

/// What a backfill would do.
#[derive(Debug)]
pub struct PreviewReport {
    /// What was read; of an interrupted run, what is left of it.
    pub range: TopicRange,
    /// Whether it is the rest of an interrupted run.
    pub resumed: bool,
    /// Why the backfill would be refused, if it would.
    pub refused: Option<String>,
    /// Records that were left out because of their timestamps.
    pub left_out: u64,
    /// The rule of the preview.
    pub rule: Rule,
    /// What the rule of the environment gives, if it is another.
    pub current: Option<CurrentRule>,
    /// The records by outcome.
    pub preview: Preview,
    /// Distinct eligible orders: the vouchers to issue.
    pub orders: u64,
    /// How the vouchers compare with the rows of the table, with a database.
    pub rows: Option<RowCounts>,
    /// Whether a key was set, so that codes were compared too.
    pub codes_compared: bool,
    /// How long the preview took.
    pub took: Duration,
    /// How the preview was paced.
    pub pacing: Pacing,
}

impl PreviewReport {
    /// Prints the report to standard output.
    ///
    /// # Errors
    /// Exit code 1 for a sum that no decimal holds; see [`output::print()`].
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        let overflow = || Failure::failed("the sum of the vouchers has more than 28 digits");
        let total = sum(self.orders, self.rule.amount).ok_or_else(overflow)?;
        let current = match &self.current {
            None => None,
            Some(current) => {
                let total = sum(current.orders, current.rule.amount).ok_or_else(overflow)?;
                Some((current, total))
            }
        };
        if as_json {
            output::print_line(&self.json(total, current).to_string())
        } else {
            self.text(total, current).print()
        }
    }

    fn text(&self, total: Decimal, current: Option<(&CurrentRule, Decimal)>) -> ReportLines {
        let Self { preview, rule, .. } = self;
        let mut report = ReportLines::default();
        report.line("range", range_text(&self.range));
        if self.resumed {
            report.line("resumed", "this is the rest of an interrupted run");
        }
        let records = preview.records();
        report.records(records, &speed(records, self.took), self.left_out);
        self.pacing.lines(&mut report);
        report.line(
            "eligible",
            format_args!(
                "{} of {}",
                count(preview.eligible, "record"),
                count(self.orders, "order")
            ),
        );
        skipped_lines(&mut report, |skip| preview.skipped.get(&skip).copied());
        for (reason, (count, example)) in &preview.dead {
            report.line(
                "unusable",
                format_args!(
                    "{count} {}, such as {}-{}-{}: {}",
                    reason.as_str(),
                    self.range.topic,
                    example.partition,
                    example.offset,
                    printable(&example.message)
                ),
            );
        }
        let currency = rule.currency.as_str();
        report.line(
            "vouchers",
            format_args!(
                "{} to issue, {} {currency} in all",
                self.orders,
                money(total)
            ),
        );
        if let Some(rows) = self.rows {
            let note = match self.codes_compared {
                true => "",
                false => " (codes not compared: no key)",
            };
            report.line("of these", format_args!("{rows}{note}"));
        }
        if let Some((current, total)) = current {
            report.line(
                "today's rule",
                format_args!(
                    "{}, {} {}: this rule gives {} more and {} fewer",
                    count(current.orders, "voucher"),
                    money(total),
                    current.rule.currency.as_str(),
                    current.gained,
                    current.lost
                ),
            );
        }
        if let Some(why) = &self.refused {
            report.line(
                "refused",
                format_args!("the backfill would end with: {why}"),
            );
        }
        report.line("written", "nothing: this is a preview");
        report
    }

    fn json(&self, total: Decimal, current: Option<(&CurrentRule, Decimal)>) -> Value {
        let Self { preview, rule, .. } = self;
        let dead: Map<String, Value> = preview
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
            "existing": self.rows.map(|rows| {
                let mut rows = rows.json();
                rows["codes_compared"] = json!(self.codes_compared);
                rows
            }),
            "today": current.map(|(current, total)| json!({
                "vouchers": current.orders, "sum": money(total), "more": current.gained,
                "fewer": current.lost,
            })),
            "seconds": seconds(self.took),
            "pace": self.pacing.json(),
        })
    }
}

fn money(sum: Decimal) -> String {
    decimal::as_money(sum).to_string()
}
