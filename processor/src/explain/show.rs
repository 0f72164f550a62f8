//! Shows what was found about an order, as text.

use runtime::dead_letter::{DeadLetter, DeadLetterState};
use runtime::text_table::aligned;
use schemas::{KeyForm, printable};

use super::searched::SearchedTopic;
use super::trace::{
    IngressOrder, OrderTrace, RecordPosition, StatusRecord, VoucherRecord, VoucherRow,
};

/// Replaces a code without `--reveal`.
const MASKED: &str = "****";

impl OrderTrace {
    /// Formats a table each for the records, the vouchers, the rows and the dead letters.
    pub(super) fn text(&self, reveal: bool) -> String {
        let topic = &self.order_status;
        let mut text = format!(
            "order {}: partition {} of the {} of {} (murmur2 of the key){}\n",
            self.order_id,
            topic.home,
            topic.partitions,
            topic.name,
            also_read(topic)
        );
        text += &self.ingress_line();
        text += &table(
            match topic.is_complete(&self.order_id) {
                true => "no record in the topic",
                false => "no record was found",
            },
            &["record", "written", "status", "total", "verdict"],
            self.statuses.iter().map(|status| self.status_cells(status)),
        );
        text += &table(
            match self.vouchers_topic.is_complete(&self.order_id) {
                true => "no voucher",
                false => "no voucher was found",
            },
            &[
                "voucher record",
                "written",
                "role",
                "campaign",
                "amount",
                "code",
                "from",
            ],
            self.vouchers
                .iter()
                .map(|record| self.voucher_cells(record, reveal)),
        );
        if let Some(rows) = &self.rows {
            text += &table(
                "no row in the table",
                &["row of campaign", "amount", "code", "issued", "expires"],
                rows.iter().map(|row| row_cells(row, reveal)),
            );
        }
        if !self.dead_letters.is_empty() {
            text += &table(
                "",
                &["dead letter", "group", "attempts", "state", "why"],
                self.dead_letters
                    .iter()
                    .map(|(dead_letter, state)| dead_letter_cells(dead_letter, state.as_ref())),
            );
        }
        text += &self.misplaced_line();
        text += &self.other_forms();
        text += &lines(self.missing().iter().map(ToString::to_string));
        text += &self.search_lines();
        text + &lines(self.gaps.iter().map(ToString::to_string))
    }

    /// Returns a line about the order at the ingress.
    fn ingress_line(&self) -> String {
        let Some(order) = &self.ingress else {
            return String::new();
        };
        let sent = match order.sent_at {
            Some(at) => format!(", sent {at}"),
            None => String::new(),
        };
        let IngressOrder {
            status,
            version,
            created_at,
            updated_at,
            ..
        } = order;
        let status = printable(status);
        format!(
            "\nat the ingress: {status}, version {version}, placed {created_at}{sent}, last changed \
             {updated_at}\n"
        )
    }

    fn status_cells(&self, status: &StatusRecord) -> Vec<String> {
        let field = |name| status.explanation.field(name).unwrap_or("-").to_owned();
        vec![
            place(&self.order_status, &status.at),
            status.at.written.clone().unwrap_or_default(),
            field("status"),
            field("total"),
            status.explanation.to_string(),
        ]
    }

    fn voucher_cells(&self, record: &VoucherRecord, reveal: bool) -> Vec<String> {
        let (campaign, amount, code) = match &record.voucher {
            Ok(voucher) => (
                voucher.campaign.clone(),
                voucher.amount.clone(),
                shown(&voucher.code, reveal),
            ),
            Err(why) => (why.clone(), String::new(), String::new()),
        };
        let mut from = record.source.clone().unwrap_or_default();
        if let Some(run) = &record.run {
            from += &format!(" by {run}");
        }
        vec![
            place(&self.vouchers_topic, &record.at),
            record.at.written.clone().unwrap_or_default(),
            record.role.as_str().to_owned(),
            campaign,
            amount,
            code,
            from,
        ]
    }

    /// Returns a line about the records that are in another partition than that of their key.
    fn misplaced_line(&self) -> String {
        let misplaced = self.statuses.iter().filter(|status| status.is_misplaced);
        match misplaced.count() {
            0 => String::new(),
            count => format!(
                "\n{count} of the records are in other partitions than their key belongs to: a \
                 writer uses another partitioner, so that the sequence of this order's statuses is \
                 lost\n"
            ),
        }
    }

    /// Returns a line about each form of the key that is not the id's own bytes.
    fn other_forms(&self) -> String {
        let mut text = String::new();
        for form in KeyForm::ALL {
            let mut records = self.statuses.iter().filter(|status| status.key == form);
            let Some(first) = records.next().filter(|_| form != KeyForm::Plain) else {
                continue;
            };
            text += &format!(
                "\nkey of {}{}: {}. For Kafka it differs from the order id's own bytes: its records \
                 are compacted separately, and may be in another partition. In its writer: {}\n",
                place(&self.order_status, &first.at),
                match records.count() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                },
                form.in_words(),
                form.advice()
            );
        }
        text
    }

    /// Returns a line about each topic of which only a part was read.
    fn search_lines(&self) -> String {
        let topics = [&self.order_status, &self.vouchers_topic];
        let notes = topics.map(|topic| topic.note(&self.order_id));
        lines(notes.into_iter().flatten())
    }
}

/// Returns each sentence as a paragraph.
fn lines(sentences: impl Iterator<Item = String>) -> String {
    let lines = sentences.map(|sentence| format!("\n{}\n", printable(&sentence)));
    lines.collect()
}

/// Returns a blank line and the table; without rows, the sentence `none`.
fn table(none: &str, heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<_> = rows.collect();
    match rows.is_empty() {
        true => format!("\n{none}\n"),
        false => format!("\n{}", aligned(heading, rows)),
    }
}

/// Returns a note about the partitions that were read besides that of the key.
fn also_read(topic: &SearchedTopic) -> String {
    let mut others = topic.partitions_read();
    others.remove(&topic.home);
    if others.is_empty() {
        String::new()
    } else if topic.was_read_whole() {
        "; all were read".to_owned()
    } else {
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        format!(
            "; also read, for other forms of the key: {}",
            others.join(", ")
        )
    }
}

fn place(topic: &SearchedTopic, at: &RecordPosition) -> String {
    format!("{}/{}/{}", topic.name, at.partition, at.offset)
}

/// Returns the code if it is revealed.
pub(super) fn shown(code: &str, reveal: bool) -> String {
    let code = if reveal { code } else { MASKED };
    code.to_owned()
}

fn row_cells(row: &VoucherRow, reveal: bool) -> Vec<String> {
    let voucher = &row.voucher;
    let expires_at = voucher.expires_at.as_deref();
    vec![
        voucher.campaign.clone(),
        voucher.amount.clone(),
        shown(&voucher.code, reveal),
        voucher.issued_at.clone(),
        expires_at.unwrap_or("never").to_owned(),
    ]
}

fn dead_letter_cells(dead_letter: &DeadLetter, state: Option<&DeadLetterState>) -> Vec<String> {
    let condition = match state {
        Some(state) => state.outcome.to_string(),
        None => "open".to_owned(),
    };
    vec![
        dead_letter.id.origin.to_string(),
        dead_letter
            .group
            .clone()
            .unwrap_or_else(|| "unknown".to_owned()),
        dead_letter.attempts_now(state).to_string(),
        condition,
        format!("{}: {}", dead_letter.reason, dead_letter.message),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runtime::kafka::Span;
    use schemas::Timestamp;

    use super::super::sample::{CODE, trace};
    use super::super::searched::How;
    use super::super::trace::Gap;
    use super::*;

    #[test]
    fn a_code_is_shown_only_with_reveal() {
        for (reveal, seen) in [(false, false), (true, true)] {
            assert_eq!(trace().text(reveal).contains(CODE), seen);
        }
    }

    #[test]
    fn each_record_is_one_line_with_its_explanation() {
        let text = trace().text(false);
        assert!(
            text.contains(
                "order-status/3/41  2026-11-23T09:30:00Z  SENT    99.99 EUR  \
                 skipped, threshold: total 99.99 EUR is below 100.00"
            ),
            "{text}"
        );
        assert!(text.starts_with("order 17: partition 3 of the 12 of order-status"));
        assert!(text.contains("\nno voucher\n"));
    }

    #[test]
    fn records_that_another_partitioner_placed_are_reported() {
        let mut trace = trace();
        assert!(!trace.text(false).contains("another partitioner"));
        trace.statuses[0].is_misplaced = true;
        assert!(trace.text(false).contains("another partitioner"));
    }

    #[test]
    fn another_form_of_the_key_is_reported_with_advice() {
        let mut trace = trace();
        assert!(!trace.text(false).contains("key of"));
        trace.statuses[0].key = KeyForm::Quoted;
        let text = trace.text(false);
        assert!(
            text.contains("key of order-status/3/41: a JSON string, in quotes."),
            "{text}"
        );
        assert!(text.contains("StringSerializer"), "{text}");
    }

    #[test]
    fn a_gap_is_reported_beside_the_rest() {
        let mut trace = trace();
        trace.gaps.push(Gap {
            what: "the vouchers' table".to_owned(),
            why: "no server".to_owned(),
        });
        let text = trace.text(false);
        assert!(text.contains("threshold"), "{text}");
        assert!(
            text.ends_with("not read: the vouchers' table, because no server\n"),
            "{text}"
        );
    }

    #[test]
    fn the_order_at_the_ingress_is_one_line() {
        let mut trace = trace();
        assert!(!trace.text(false).contains("at the ingress"));
        trace.ingress = Some(IngressOrder {
            status: "SENT".to_owned(),
            version: 2,
            created_at: Timestamp::from_millis(1_800_000_000_000),
            sent_at: Some(Timestamp::from_millis(1_800_000_001_000)),
            updated_at: Timestamp::from_millis(1_800_000_001_000),
        });
        let text = trace.text(false);
        assert!(
            text.contains(
                "\nat the ingress: SENT, version 2, placed 2027-01-15T08:00:00Z, sent \
                 2027-01-15T08:00:01Z, last changed 2027-01-15T08:00:01Z\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_was_not_read_is_not_claimed_to_be_absent() {
        let mut trace = trace();
        let complete = trace.text(false);
        assert!(!complete.contains("--scan"), "{complete}");
        trace.statuses.clear();
        for topic in [&mut trace.order_status, &mut trace.vouchers_topic] {
            topic.read = BTreeMap::new();
            topic.note_read(3, Span { from: 40, to: 60 });
            topic.how.insert(How::Times);
        }
        let text = trace.text(false);
        for part in [
            "\nno record was found\n",
            "\nno voucher was found\n",
            "\norder-status was searched by the order's times: 20 of the 100 offsets of partition 3.",
            "\nvouchers was searched by the order's times: 20 of the 100 offsets of partition 3.",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }

    #[test]
    fn a_record_that_is_not_where_the_row_says_is_reported() {
        let mut trace = trace();
        if let Some(row) = trace.rows.iter_mut().flatten().next() {
            row.record = Some((3, 40));
        }
        let text = trace.text(false);
        assert!(
            text.contains("\nvouchers/3/40 is no longer in the topic: compaction or retention"),
            "{text}"
        );
    }
}
