//! Shows what was found about an order, as text or JSON.

use runtime::dead_letter::{DeadLetter, DeadLetterState};
use runtime::text_table::aligned;
use schemas::{KeyForm, Timestamp, printable};
use serde_json::{Value, json};

use super::trace::{
    OrderTrace, RecordPosition, Role, SearchedTopic, StatusRecord, VoucherFields, VoucherRecord,
    VoucherRow,
};

/// Replaces a code without `--reveal`.
const MASKED: &str = "****";

impl OrderTrace {
    /// Formats one table for the records, the vouchers, the rows and the dead letters each.
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
        text += &table(
            "no record in the topic",
            &["record", "written", "status", "total", "verdict"],
            self.statuses.iter().map(|status| self.status_cells(status)),
        );
        text += &table(
            "no voucher",
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
        text + &self.misplaced_line() + &self.other_forms() + &self.gap_lines()
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

    fn gap_lines(&self) -> String {
        let lines = self
            .gaps
            .iter()
            .map(|gap| format!("\n{}\n", printable(&gap.to_string())));
        lines.collect()
    }

    pub(super) fn json(&self, reveal: bool) -> Value {
        let statuses = self.statuses.iter().map(|status| {
            let fields: serde_json::Map<_, _> = status
                .explanation
                .fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            json!({
                "partition": status.at.partition,
                "offset": status.at.offset,
                "written": status.at.written,
                "trace_id": status.at.trace_id,
                "key_form": status.key.as_str(),
                "verdict": status.explanation.verdict,
                "reason": status.explanation.reason,
                "words": status.explanation.message,
                "fields": fields,
            })
        });
        let vouchers = self.vouchers.iter().map(|record| {
            json!({
                "partition": record.at.partition,
                "offset": record.at.offset,
                "written": record.at.written,
                "trace_id": record.at.trace_id,
                "role": record.role.as_str(),
                "source": record.source,
                "run": record.run,
                "voucher": record.voucher.as_ref().ok().map(|voucher| fields_json(voucher, reveal)),
                "fault": record.voucher.as_ref().err(),
            })
        });
        let dead_letters = self.dead_letters.iter().map(|(dead_letter, state)| {
            json!({
                "letter": dead_letter.id.origin.to_string(),
                "digest": dead_letter.id.digest.to_string(),
                "group": dead_letter.group,
                "reason": dead_letter.reason,
                "message": dead_letter.message,
                "written": dead_letter
                    .written_millis
                    .map(|millis| Timestamp::from_millis(millis).to_string()),
                "attempts": dead_letter.attempts_now(state.as_ref()),
                "open": dead_letter.is_open(state.as_ref()),
                "state": state,
            })
        });
        let rows = self.rows.as_ref().map(|rows| {
            let rows = rows.iter().map(|row| {
                let mut fields = fields_json(&row.voucher, reveal);
                fields["created_at"] = json!(row.created_at);
                fields
            });
            rows.collect::<Vec<_>>()
        });
        let gaps = self
            .gaps
            .iter()
            .map(|gap| json!({ "what": gap.what, "why": gap.why }));
        json!({
            "order_id": self.order_id,
            "found": self.is_found(),
            "topic": self.order_status.name,
            "partitions": self.order_status.partitions,
            "partition": self.order_status.home,
            "partitions_read": self.order_status.read,
            "records": statuses.collect::<Vec<_>>(),
            "vouchers": vouchers.collect::<Vec<_>>(),
            "rows": rows,
            "dead_letters": dead_letters.collect::<Vec<_>>(),
            "not_looked_at": gaps.collect::<Vec<_>>(),
        })
    }
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Voucher => "voucher",
            Self::Echo => "echo",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Returns a blank line and the table; without rows, the sentence `none`.
fn table(none: &str, heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<_> = rows.collect();
    match rows.is_empty() {
        true => format!("\n{none}\n"),
        false => format!("\n{}", aligned(heading, rows)),
    }
}

/// Returns a note about the partitions that were read beside that of the key.
fn also_read(topic: &SearchedTopic) -> String {
    let mut others = topic.read.clone();
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

fn shown(code: &str, reveal: bool) -> String {
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
        Some(state) => state.resolution.to_string(),
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

fn fields_json(voucher: &VoucherFields, reveal: bool) -> Value {
    json!({
        "campaign": voucher.campaign,
        "code": shown(&voucher.code, reveal),
        "amount": voucher.amount,
        "issued_at": voucher.issued_at,
        "expires_at": voucher.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use runtime::record::OwnedRecord;

    use super::super::trace::Gap;
    use super::*;
    use crate::explainer::Explanation;

    fn trace() -> OrderTrace {
        let mut trace = OrderTrace {
            order_id: "17".to_owned(),
            order_status: SearchedTopic {
                name: "order-status".to_owned(),
                partitions: 12,
                home: 3,
                read: [3].into(),
            },
            vouchers_topic: SearchedTopic {
                name: "vouchers".to_owned(),
                partitions: 12,
                home: 3,
                read: [3].into(),
            },
            ..OrderTrace::default()
        };
        trace.statuses.push(StatusRecord {
            at: RecordPosition {
                partition: 3,
                offset: 41,
                written: Some("2026-11-23T09:30:00Z".to_owned()),
                trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
            },
            key: KeyForm::Plain,
            is_misplaced: false,
            explanation: Explanation {
                verdict: "skipped",
                reason: Some("threshold"),
                message: "total 99.99 EUR is below 100.00".to_owned(),
                fields: vec![
                    ("status", "SENT".to_owned()),
                    ("total", "99.99 EUR".to_owned()),
                ],
            },
        });
        trace.rows = Some(vec![VoucherRow {
            voucher: VoucherFields {
                campaign: "order-reward".to_owned(),
                code: "A527-R3XF-YDHK-X2AD".to_owned(),
                amount: "5.00 EUR".to_owned(),
                issued_at: "2026-11-23T09:30:00Z".to_owned(),
                expires_at: None,
            },
            created_at: "2026-11-23T09:30:00.250Z".to_owned(),
        }]);
        trace
    }

    #[test]
    fn a_code_is_shown_only_with_reveal() {
        for (reveal, seen) in [(false, false), (true, true)] {
            let code = "A527-R3XF-YDHK-X2AD";
            assert_eq!(trace().text(reveal).contains(code), seen);
            assert_eq!(trace().json(reveal).to_string().contains(code), seen);
        }
    }

    #[test]
    fn json_says_when_each_hop_was_written() {
        let mut trace = trace();
        let dead_letter = DeadLetter {
            id: "order-status/3/41@00112233445566ff".parse().unwrap(),
            reason: "invalid_total".to_owned(),
            message: String::new(),
            service: "processor".to_owned(),
            group: None,
            attempts: 1,
            place: (0, 0),
            written_millis: Some(1_795_426_200_100),
            original: OwnedRecord::default(),
            omitted: None,
        };
        trace.dead_letters.push((dead_letter, None));
        let json = trace.json(false);
        let record = &json["records"][0];
        assert_eq!(record["written"], "2026-11-23T09:30:00Z");
        assert_eq!(record["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(json["rows"][0]["created_at"], "2026-11-23T09:30:00.250Z");
        assert_eq!(
            json["dead_letters"][0]["written"],
            "2026-11-23T09:30:00.100Z"
        );
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
        assert_eq!(trace.json(false)["records"][0]["key_form"], "quoted");
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
        assert_eq!(trace.json(false)["not_looked_at"][0]["why"], "no server");
    }
}
