//! The report of the demo, for people and as JSON.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::latency::{Latency, PER_SECOND};
use super::outcome::{DeadLetter, Sample};

/// Everything that the demo has found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) over_http: usize,
    /// Orders typed into the console producer.
    pub(super) typed: usize,
    /// Typed lines that are not an order.
    pub(super) malformed: usize,
    pub(super) orders: usize,
    pub(super) sent: usize,
    pub(super) eligible: usize,
    pub(super) judgement: Judgement,
    /// What was still missing when the demo stopped waiting.
    pub(super) incomplete: Option<String>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) latency: Latency,
    pub(super) samples: Vec<Sample>,
}

/// The comparison of the rows with what was expected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Rows of this run's orders.
    pub(super) vouchers: i64,
    /// One sentence for each wrong order.
    pub(super) wrong: Vec<String>,
}

/// Compares the rows with what was expected. A row of an order that was not placed is wrong if the
/// table was empty before.
pub(super) fn judge(
    expected: &HashMap<String, bool>,
    rows: &HashMap<String, i64>,
    empty_before: bool,
) -> Judgement {
    let mut judgement = Judgement::default();
    for (order, eligible) in expected {
        let count = rows.get(order).copied().unwrap_or_default();
        judgement.vouchers += count;
        match (eligible, count) {
            (true, 1) | (false, 0) => {}
            (true, _) => judgement.wrong.push(format!(
                "order {order} should have one voucher and has {count}"
            )),
            (false, _) => judgement.wrong.push(format!(
                "order {order} should have no voucher and has {count}"
            )),
        }
    }
    if empty_before {
        for (order, count) in rows
            .iter()
            .filter(|(order, _)| !expected.contains_key(*order))
        {
            judgement.vouchers += count;
            judgement
                .wrong
                .push(format!("order {order} was not placed and has {count}"));
        }
    }
    judgement.wrong.sort();
    judgement
}

impl Report {
    /// Returns whether every eligible order has one voucher and no other order has any.
    pub(super) const fn is_right(&self) -> bool {
        self.judgement.wrong.is_empty() && self.incomplete.is_none()
    }

    /// Returns one line of JSON.
    pub(super) fn json(&self) -> Result<String> {
        let time = |percent| match self.latency.percentile(percent) {
            Some(time) => Ok(serde_json::from_str(&millis(time))?),
            None => anyhow::Ok(Value::Null),
        };
        Ok(json!({
            "orders": self.orders,
            "sent": self.sent,
            "eligible": self.eligible,
            "vouchers": self.judgement.vouchers,
            "dead_letters": self.dead_letters.len(),
            "latency_ms": { "p50": time(50)?, "p99": time(99)? },
        })
        .to_string())
    }

    /// Returns the report as people read it.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("\n");
        let mut line = |name: &str, value: &str, note: &str| {
            let _ = writeln!(
                text,
                "{}",
                format!("  {name:<13}{value:>9}   {note}").trim_end()
            );
        };
        let count = |number: usize| HumanCount(number as u64).to_string();
        line(
            "orders",
            &count(self.orders),
            &format!(
                "{} over HTTP, {} typed into Kafka's console producer (and {} that is none)",
                count(self.over_http),
                count(self.typed),
                count(self.malformed)
            ),
        );
        line("sent", &count(self.sent), "");
        line(
            "eligible",
            &count(self.eligible),
            "sent, EUR, 100.00 or more",
        );
        let verdict = if self.is_right() {
            "rows in Postgres: one for each eligible order, none for any other"
        } else {
            "rows in Postgres: WRONG, see below"
        };
        line(
            "vouchers",
            &HumanCount(self.judgement.vouchers.unsigned_abs()).to_string(),
            verdict,
        );
        line(
            "dead letters",
            &count(self.dead_letters.len()),
            "with their original bytes",
        );
        for dead_letter in self.dead_letters.iter().take(5) {
            let _ = writeln!(
                text,
                "                 {}: {}",
                dead_letter.reason, dead_letter.message
            );
            let _ = writeln!(
                text,
                "                 {}  {} -> {}",
                shortened(&String::from_utf8_lossy(&dead_letter.value)),
                dead_letter.key,
                dead_letter.topic
            );
        }
        if let (Some(p50), Some(p99)) = (self.latency.percentile(50), self.latency.percentile(99)) {
            let _ = writeln!(
                text,
                "  latency      p50 {} ms, p99 {} ms   from the start of the PATCH to SENT until a SELECT\n\
                 {:26}sees the row; {} orders at {PER_SECOND} changes a second, polled every ms",
                millis(p50),
                millis(p99),
                "",
                count(self.latency.samples()),
            );
        }
        if !self.samples.is_empty() {
            let _ = writeln!(text, "\n  the newest vouchers (codes masked)");
        }
        for sample in &self.samples {
            let _ = writeln!(
                text,
                "    {}  {}  {:>8}  {}",
                sample.order_id, sample.masked_code, sample.amount, sample.issued_at
            );
        }
        if let Some(incomplete) = &self.incomplete {
            let _ = writeln!(text, "\n  WRONG: {incomplete}");
        }
        for wrong in self.judgement.wrong.iter().take(10) {
            let _ = writeln!(text, "  WRONG: {wrong}");
        }
        if self.judgement.wrong.len() > 10 {
            let _ = writeln!(
                text,
                "  WRONG: and {} more",
                self.judgement.wrong.len() - 10
            );
        }
        text
    }
}

/// Returns milliseconds with one decimal.
fn millis(time: Duration) -> String {
    let tenths = (time.as_micros() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn shortened(text: &str) -> String {
    const MAX_WIDTH: usize = 70;
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect();
    if clean.chars().count() <= MAX_WIDTH {
        return clean;
    }
    clean.chars().take(MAX_WIDTH).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<T: Copy>(entries: &[(&str, T)]) -> HashMap<String, T> {
        entries
            .iter()
            .map(|(order, value)| ((*order).to_owned(), *value))
            .collect()
    }

    #[test]
    fn equal_totals_do_not_hide_a_wrong_order() {
        let expected = map(&[("a", true), ("b", false)]);
        assert_eq!(
            judge(&expected, &map(&[("a", 1)]), true),
            Judgement {
                vouchers: 1,
                wrong: vec![]
            }
        );
        let swapped = judge(&expected, &map(&[("b", 1)]), true);
        assert_eq!((swapped.vouchers, swapped.wrong.len()), (1, 2));
        assert_eq!(judge(&expected, &map(&[("a", 2)]), true).wrong.len(), 1);
        assert_eq!(
            judge(&expected, &map(&[("a", 1), ("c", 1)]), true)
                .wrong
                .len(),
            1
        );
        assert!(
            judge(&expected, &map(&[("a", 1), ("c", 1)]), false)
                .wrong
                .is_empty()
        );
    }

    #[test]
    fn the_json_has_the_promised_fields() {
        let report = Report {
            over_http: 1,
            typed: 0,
            malformed: 0,
            orders: 1,
            sent: 1,
            eligible: 1,
            judgement: Judgement {
                vouchers: 1,
                wrong: vec![],
            },
            incomplete: None,
            dead_letters: vec![],
            latency: Latency::default(),
            samples: vec![],
        };
        assert_eq!(
            report.json().unwrap(),
            r#"{"dead_letters":0,"eligible":1,"latency_ms":{"p50":null,"p99":null},"orders":1,"sent":1,"vouchers":1}"#
        );
        assert_eq!(millis(Duration::from_micros(12_349)), "12.3");
    }
}
