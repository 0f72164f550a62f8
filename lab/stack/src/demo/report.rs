//! What the demo prints in the end.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::Running;
use super::latency::{Latency, PER_SECOND};
use super::outcome::{DeadLetter, Sample};
use crate::up;

/// Everything that the demo has seen.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) over_http: usize,
    /// Orders typed into the console producer.
    pub(super) typed: usize,
    /// Typed lines that are no order.
    pub(super) malformed: usize,
    pub(super) orders: usize,
    pub(super) sent: usize,
    pub(super) eligible: usize,
    pub(super) judgement: Judgement,
    /// What was still missing when waiting was given up.
    pub(super) incomplete: Option<String>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) latency: Latency,
    pub(super) samples: Vec<Sample>,
}

/// The rows against what was expected, per order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Rows of this run's orders.
    pub(super) vouchers: i64,
    /// What is wrong, order by order.
    pub(super) wrong: Vec<String>,
}

/// Compares; a row of an order that wasn't placed is wrong when the table was empty `before`.
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
                .push(format!("order {order} was never placed and has {count}"));
        }
    }
    judgement.wrong.sort();
    judgement
}

impl Report {
    /// Whether every eligible order has its one voucher and no other has any.
    pub(super) const fn is_right(&self) -> bool {
        self.judgement.wrong.is_empty() && self.incomplete.is_none()
    }

    /// One line for programs.
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

    /// For people.
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
            "original bytes kept",
        );
        for letter in self.dead_letters.iter().take(5) {
            let _ = writeln!(
                text,
                "                 {}: {}",
                letter.reason, letter.message
            );
            let _ = writeln!(
                text,
                "                 {}  {} -> {}",
                shortened(&String::from_utf8_lossy(&letter.value)),
                letter.key,
                letter.topic
            );
        }
        if let (Some(p50), Some(p99)) = (self.latency.percentile(50), self.latency.percentile(99)) {
            let _ = writeln!(
                text,
                "  latency      p50 {} ms, p99 {} ms   from the start of the PATCH to SENT until a SELECT\n\
                 {:26}sees the row; {} orders at {PER_SECOND} changes a second, looked for every ms",
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

/// The addresses, as lines to paste.
pub(super) fn to_play_with(running: &Running) -> String {
    let producer = running.system.producer.http_addr();
    format!(
        "\n  to play with, in another shell\n\
         \x20   . {env}\n\
         \x20   curl -s http://{producer}/orders -H 'content-type: application/json' \\\n\
         \x20        -d '{{\"order_id\":\"mine-1\",\"total\":\"100.00\",\"currency\":\"EUR\",\"products\":[]}}'\n\
         \x20   curl -s -X PATCH http://{producer}/orders/mine-1 -H 'content-type: application/json' -d '{{\"status\":\"SENT\"}}'\n\
         \x20   psql \"$VOUCHERS_DATABASE_URL\" -c 'SELECT order_id, amount, currency, created_at FROM vouchers ORDER BY created_at DESC LIMIT 5'\n\
         \x20   printf '42\\t{{\"id\":42,\"status\":\"SENT\",\"total\":150}}\\n' | cargo stack tool kafka-console-producer -- --topic order-status --reader-property parse.key=true\n\
         \x20   cargo stack tool kafka-console-consumer -- --topic order-status.dlq --from-beginning --formatter-property print.headers=true\n\
         \n  API documentation: http://{producer}/docs   logs: {logs}\n\
         \n  Ctrl-C stops everything.\n",
        env = up::relative(running.file.path()),
        logs = up::relative(&running.backends.directory().join("logs")),
    )
}

/// Milliseconds with one decimal.
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
    fn equal_totals_don_t_hide_a_wrong_order() {
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
