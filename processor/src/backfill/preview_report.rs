//! The result of a preview, as text or JSON.

use std::fmt::Write;
use std::time::Duration;

use runtime::kafka::TopicRange;
use runtime::lifecycle::Failure;
use runtime::output;
use runtime::plural::count;
use runtime::replay::{Pacing, ReportLines, RowCounts, numbers, seconds, speed};
use rust_decimal::Decimal;
use schemas::{decimal, printable};
use serde_json::{Map, Value, json};

use super::days::Counts;
use super::preview::{Preview, sum};
use super::report::{range_json, range_text, skipped_json, skipped_lines};
use crate::rule::{Rule, money};

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
    /// The range that was read. For an interrupted run: the rest of its range.
    pub range: TopicRange,
    /// Whether it is the rest of an interrupted run.
    pub resumed: bool,
    /// Why the backfill would be refused, if it would.
    pub refused: Option<String>,
    /// Records that were left out because of their timestamps.
    pub left_out: u64,
    /// The rule of the preview.
    pub rule: Rule,
    /// What the rule of the environment gives, if that differs from the rule of the preview.
    pub current: Option<CurrentRule>,
    /// What was found.
    pub preview: Preview,
    /// Whether a database was set, so that the vouchers were compared with the rows of its table.
    pub rows_compared: bool,
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
        if as_json {
            output::print_line(&self.json()?.to_string())
        } else {
            self.text()?.print()
        }
    }

    fn text(&self) -> Result<ReportLines, Failure> {
        let total = self.preview.total();
        let mut report = ReportLines::default();
        report.line("range", range_text(&self.range));
        if self.resumed {
            report.line("resumed", "this is the rest of an interrupted run");
        }
        let records = total.records.records();
        report.records(records, &speed(records, self.took), self.left_out);
        self.pacing.lines(&mut report);
        report.line(
            "eligible",
            format_args!(
                "{} of {}",
                count(total.records.vouchers, "record"),
                count(total.vouchers, "order")
            ),
        );
        skipped_lines(&mut report, |skip| {
            total.records.skipped.get(&skip).copied()
        });
        for (reason, example) in &self.preview.examples {
            report.line(
                "unusable",
                format_args!(
                    "{} {}, such as {}-{}-{}: {}",
                    total.records.dead.get(reason).copied().unwrap_or_default(),
                    reason.as_str(),
                    self.range.topic,
                    example.partition,
                    example.offset,
                    printable(&example.message)
                ),
            );
        }
        report.line(
            "vouchers",
            format_args!(
                "{} to issue, {} in all",
                total.vouchers,
                worth_text(total.vouchers, &self.rule)?
            ),
        );
        if self.rows_compared {
            let note = match self.codes_compared {
                true => "",
                false => " (codes not compared: no key)",
            };
            report.line(
                "of these",
                format_args!(
                    "{}{note}; the new ones are worth {}",
                    total.rows,
                    worth_text(total.rows.new, &self.rule)?
                ),
            );
        }
        self.day_lines(&mut report)?;
        if let Some(current) = &self.current {
            report.line(
                "today's rule",
                format_args!(
                    "{}, {}: this rule gives {} more and {} fewer",
                    count(current.orders, "voucher"),
                    worth_text(current.orders, &current.rule)?,
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
        Ok(report)
    }

    /// Adds a line for each day, month or year.
    fn day_lines(&self, report: &mut ReportLines) -> Result<(), Failure> {
        let days = &self.preview.days;
        let (period, lines) = days.lines();
        if let Some((first, counts)) = days.earlier() {
            let text = self.counts_text(counts)?;
            report.line(period, format_args!("before {first}: {text}"));
        }
        for (line, counts) in &lines {
            let text = self.counts_text(counts)?;
            report.line(period, format_args!("{line}: {text}"));
        }
        if let Some(counts) = days.undated() {
            let text = self.counts_text(counts)?;
            report.line(period, format_args!("unknown: {text}"));
        }
        Ok(())
    }

    fn counts_text(&self, counts: &Counts) -> Result<String, Failure> {
        let mut text = format!(
            "{}, {}",
            count(counts.vouchers, "voucher"),
            worth_text(counts.vouchers, &self.rule)?
        );
        if self.rows_compared {
            let RowCounts {
                new,
                existing,
                different,
            } = counts.rows;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                ", {new} new, {existing} existing, {different} different"
            );
        }
        for (skip, count) in &counts.records.skipped {
            let _ = write!(text, "; skipped {count} {}", skip.as_str());
        }
        for (reason, count) in &counts.records.dead {
            let _ = write!(text, "; unusable {count} {}", reason.as_str());
        }
        Ok(text)
    }

    fn json(&self) -> Result<Value, Failure> {
        let total = self.preview.total();
        let examples = self.preview.examples.iter();
        let dead: Map<String, Value> = examples
            .map(|(reason, example)| {
                let records = total.records.dead.get(reason).copied().unwrap_or_default();
                let example = json!({
                    "topic": self.range.topic, "partition": example.partition,
                    "offset": example.offset, "message": example.message,
                });
                (
                    reason.as_str().to_owned(),
                    json!({ "records": records, "example": example }),
                )
            })
            .collect();
        let today = match &self.current {
            None => None,
            Some(current) => Some(json!({
                "vouchers": current.orders, "sum": worth_json(current.orders, &current.rule)?,
                "more": current.gained, "fewer": current.lost,
            })),
        };
        let mut json = json!({
            "dry_run": true,
            "range": range_json(&self.range),
            "resumed": self.resumed,
            "refused": self.refused,
            "left_out": self.left_out,
            "records": total.records.records(),
            "currency": self.rule.currency.as_str(),
            "by_day": self.by_day_json()?,
            "today": today,
            "seconds": seconds(self.took),
            "pace": self.pacing.json(),
        });
        self.put_counts(&mut json, &total)?;
        // Only the counts of the whole range have an example for each reason.
        json["unusable"] = dead.into();
        if self.rows_compared {
            json["existing"]["codes_compared"] = self.codes_compared.into();
        }
        Ok(json)
    }

    fn by_day_json(&self) -> Result<Value, Failure> {
        let days = &self.preview.days;
        let with_counts = |mut json: Value, counts: &Counts| -> Result<Value, Failure> {
            self.put_counts(&mut json, counts)?;
            Ok(json)
        };
        let apart = days
            .days()
            .iter()
            .map(|(day, counts)| with_counts(json!({ "day": day.to_string() }), counts))
            .collect::<Result<Vec<_>, Failure>>()?;
        let earlier = days
            .earlier()
            .map(|(first, counts)| with_counts(json!({ "before": first.to_string() }), counts));
        let undated = days.undated().map(|counts| with_counts(json!({}), counts));
        Ok(json!({
            "days": apart, "earlier": earlier.transpose()?, "undated": undated.transpose()?,
        }))
    }

    /// Puts the counts into an object: those of the whole range and those of a day have the same
    /// fields.
    fn put_counts(&self, json: &mut Value, counts: &Counts) -> Result<(), Failure> {
        let existing = match self.rows_compared {
            true => {
                let mut rows = counts.rows.json();
                rows["new_sum"] = worth_json(counts.rows.new, &self.rule)?;
                rows
            }
            false => Value::Null,
        };
        json["eligible_records"] = counts.records.vouchers.into();
        json["skipped"] = skipped_json(|skip| counts.records.skipped.get(&skip).copied());
        json["unusable"] = numbers(&counts.records.dead).into();
        json["vouchers"] = counts.vouchers.into();
        json["sum"] = worth_json(counts.vouchers, &self.rule)?;
        json["existing"] = existing;
        Ok(())
    }
}

/// Returns the total worth of this number of vouchers of a rule.
fn worth(vouchers: u64, rule: &Rule) -> Result<Decimal, Failure> {
    sum(vouchers, rule.amount)
        .ok_or_else(|| Failure::failed("the sum of the vouchers has more than 28 digits"))
}

fn worth_text(vouchers: u64, rule: &Rule) -> Result<String, Failure> {
    Ok(money(worth(vouchers, rule)?, rule.currency))
}

/// Returns an amount without its currency, as text: a JSON number may become a binary float.
fn worth_json(vouchers: u64, rule: &Rule) -> Result<Value, Failure> {
    Ok(decimal::as_money(worth(vouchers, rule)?).to_string().into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runtime::kafka::Times;
    use schemas::Reason;

    use super::*;
    use crate::rule::Skip;

    fn report(rows_compared: bool) -> PreviewReport {
        let mut preview = Preview::default();
        let may = preview
            .days
            .at(Some("2026-05-01T10:00:00Z".parse().unwrap()));
        may.records.vouchers = 4;
        may.records.skipped.insert(Skip::Status, 1);
        may.records.dead.insert(Reason::InvalidJson, 2);
        may.vouchers = 3;
        if rows_compared {
            may.rows = RowCounts {
                new: 2,
                existing: 1,
                different: 0,
            };
        }
        let undated = preview.days.at(None);
        undated.records.skipped.insert(Skip::Tombstone, 1);
        PreviewReport {
            range: TopicRange {
                topic: "order-status".to_owned(),
                spans: BTreeMap::new(),
                times: Times::default(),
            },
            resumed: false,
            refused: None,
            left_out: 0,
            rule: Rule {
                campaign: "order-reward".to_owned(),
                min_total: "100".parse().unwrap(),
                amount: "5.05".parse().unwrap(),
                currency: "EUR".parse().unwrap(),
                valid_days: None,
                sent_from: None,
                sent_until: None,
            },
            current: None,
            preview,
            rows_compared,
            codes_compared: true,
            took: Duration::from_secs(1),
            pacing: Pacing::Max,
        }
    }

    #[test]
    fn a_day_has_the_vouchers_their_money_and_the_reasons_of_the_others() {
        let text = |report: PreviewReport| report.counts_text(&report.preview.total()).unwrap();
        let reasons = "; skipped 1 tombstone; skipped 1 status; unusable 2 invalid_json";
        assert_eq!(
            text(report(true)),
            format!("3 vouchers, 15.15 EUR, 2 new, 1 existing, 0 different{reasons}")
        );
        assert_eq!(
            text(report(false)),
            format!("3 vouchers, 15.15 EUR{reasons}")
        );
    }

    #[test]
    fn a_day_has_the_fields_of_the_whole_range() {
        let json = report(true).json().unwrap();
        let (day, undated) = (&json["by_day"]["days"][0], &json["by_day"]["undated"]);
        assert_eq!(
            *day,
            json!({
                "day": "2026-05-01", "eligible_records": 4, "vouchers": 3, "sum": "15.15",
                "existing": { "new": 2, "existing": 1, "different": 0, "new_sum": "10.10" },
                "skipped": {
                    "tombstone": 0, "status": 1, "currency": 0, "threshold": 0,
                    "campaign_dates": 0,
                },
                "unusable": { "invalid_json": 2 },
            })
        );
        assert_eq!(undated["skipped"]["tombstone"], 1);
        assert_eq!(json["by_day"]["earlier"], Value::Null);
        for field in ["eligible_records", "vouchers", "sum"] {
            assert_eq!(json[field], day[field], "{field}");
        }
        assert_eq!(json["records"], 8);
        assert_eq!(report(false).json().unwrap()["existing"], Value::Null);
    }
}
