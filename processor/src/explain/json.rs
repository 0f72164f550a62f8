//! Shows what was found about an order, as JSON.

use schemas::Timestamp;
use serde_json::{Value, json};

use super::searched::SearchedTopic;
use super::show::shown;
use super::trace::{IngressOrder, OrderTrace, Role, VoucherFields};

impl OrderTrace {
    /// Returns everything that was found, and how it was searched.
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
                "own": self.owns(dead_letter),
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
                fields["partition"] = json!(row.record.map(|(partition, _)| partition));
                fields["offset"] = json!(row.record.map(|(_, offset)| offset));
                fields
            });
            rows.collect::<Vec<_>>()
        });
        let missing = self.missing();
        let missing = missing
            .iter()
            .map(|one| json!({ "record": one.at.to_string(), "why": one.why.as_str() }));
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
            "partitions_read": self.order_status.partitions_read(),
            "complete": self.is_complete(),
            "records_read": self.records_read(),
            "searched": self.searched_json(),
            "ingress": self.ingress.as_ref().map(ingress_json),
            "records": statuses.collect::<Vec<_>>(),
            "vouchers": vouchers.collect::<Vec<_>>(),
            "rows": rows,
            "dead_letters": dead_letters.collect::<Vec<_>>(),
            "missing": missing.collect::<Vec<_>>(),
            "not_looked_at": gaps.collect::<Vec<_>>(),
        })
    }

    /// Returns whether everything that is expected to hold records of the order was read: the
    /// partitions of its key from beginning to end, all dead letters, and the tables that were named.
    fn is_complete(&self) -> bool {
        let topics = [&self.order_status, &self.vouchers_topic];
        self.gaps.is_empty() && topics.iter().all(|topic| topic.is_complete(&self.order_id))
    }

    fn records_read(&self) -> u64 {
        let topics = [&self.order_status, &self.vouchers_topic];
        let dead_letters = self.dead_letter_topics.iter().map(|(_, records)| records);
        topics.iter().map(|topic| topic.records_read).sum::<u64>() + dead_letters.sum::<u64>()
    }

    fn searched_json(&self) -> Vec<Value> {
        let topics = [&self.order_status, &self.vouchers_topic].map(|topic| {
            json!({
                "topic": topic.name,
                "how": topic.how.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "complete": topic.is_complete(&self.order_id),
                "records_read": topic.records_read,
                "partitions": partitions_json(topic),
            })
        });
        let dead_letters = self.dead_letter_topics.iter().map(|(name, records)| {
            json!({
                "topic": name,
                "how": ["whole partitions"],
                "complete": true,
                "records_read": records,
                "partitions": null,
            })
        });
        topics.into_iter().chain(dead_letters).collect()
    }
}

/// Returns what was read of each partition, and what it held.
fn partitions_json(topic: &SearchedTopic) -> Vec<Value> {
    let read = topic.read.iter().map(|(partition, spans)| {
        let held = topic.held.get(partition);
        let read: Vec<_> = spans
            .iter()
            .map(|span| json!({ "from": span.from, "to": span.to }))
            .collect();
        json!({
            "partition": partition,
            "begins": held.map(|held| held.from),
            "ends": held.map(|held| held.to),
            "read": read,
        })
    });
    read.collect()
}

fn ingress_json(order: &IngressOrder) -> Value {
    json!({
        "status": order.status,
        "version": order.version,
        "created_at": order.created_at.to_string(),
        "sent_at": order.sent_at.map(|at| at.to_string()),
        "updated_at": order.updated_at.to_string(),
    })
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

impl Role {
    /// Returns the name, in lower case.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Voucher => "voucher",
            Self::Echo => "echo",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runtime::dead_letter::DeadLetter;
    use runtime::kafka::Span;
    use runtime::record::OwnedRecord;
    use schemas::KeyForm;

    use super::super::sample::{CODE, trace};
    use super::super::searched::How;
    use super::super::trace::Gap;
    use super::*;

    #[test]
    fn a_code_is_shown_only_with_reveal() {
        for (reveal, seen) in [(false, false), (true, true)] {
            assert_eq!(trace().json(reveal).to_string().contains(CODE), seen);
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
        let of_another = DeadLetter {
            group: Some("other".to_owned()),
            ..dead_letter.clone()
        };
        trace
            .dead_letters
            .extend([(dead_letter, None), (of_another, None)]);
        let own = ("order-status".to_owned(), "processor".to_owned());
        trace.groups = BTreeMap::from([own]);
        trace.ingress = Some(IngressOrder {
            status: "SENT".to_owned(),
            version: 2,
            created_at: Timestamp::from_millis(1_795_426_199_000),
            sent_at: None,
            updated_at: Timestamp::from_millis(1_795_426_200_000),
        });
        let json = trace.json(false);
        let record = &json["records"][0];
        assert_eq!(record["written"], "2026-11-23T09:30:00Z");
        assert_eq!(record["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(json["rows"][0]["created_at"], "2026-11-23T09:30:00.250Z");
        assert_eq!(
            json["dead_letters"][0]["written"],
            "2026-11-23T09:30:00.100Z"
        );
        let owns = |number: usize| json["dead_letters"][number]["own"].clone();
        assert_eq!((owns(0), owns(1)), (json!(true), json!(false)));
        assert_eq!(json["ingress"]["version"], 2);
        assert_eq!(json["ingress"]["created_at"], "2026-11-23T09:29:59Z");
        assert_eq!(json["ingress"]["sent_at"], Value::Null);
        assert_eq!(json["ingress"]["updated_at"], "2026-11-23T09:30:00Z");
    }

    #[test]
    fn json_has_the_form_of_a_key_and_what_was_not_read() {
        let mut trace = trace();
        trace.statuses[0].key = KeyForm::Quoted;
        trace.gaps.push(Gap {
            what: "the vouchers' table".to_owned(),
            why: "no server".to_owned(),
        });
        let json = trace.json(false);
        assert_eq!(json["records"][0]["key_form"], "quoted");
        assert_eq!(json["not_looked_at"][0]["why"], "no server");
        assert_eq!(json["complete"], false);
    }

    #[test]
    fn json_says_how_each_topic_was_searched() {
        let mut trace = trace();
        trace.dead_letter_topics = vec![("order-status.dlq".to_owned(), 7)];
        trace.order_status.records_read = 100;
        let whole = trace.json(false);
        assert_eq!(
            (&whole["complete"], &whole["ingress"]),
            (&json!(true), &Value::Null)
        );
        assert_eq!(whole["records_read"], 107);
        assert_eq!(whole["rows"][0]["offset"], Value::Null);

        if let Some(row) = trace.rows.iter_mut().flatten().next() {
            row.record = Some((3, 40));
        }
        let topic = &mut trace.vouchers_topic;
        topic.read = BTreeMap::new();
        topic.note_read(3, Span { from: 40, to: 60 });
        topic.how.extend([How::Row, How::Whole]);
        topic.records_read = 3;
        let near = trace.json(false);
        assert_eq!(
            (&near["complete"], &near["records_read"]),
            (&json!(false), &json!(110))
        );
        assert_eq!(
            near["searched"][1],
            json!({
                "topic": "vouchers", "how": ["by the row", "whole partitions"], "complete": false,
                "records_read": 3,
                "partitions": [
                    {"partition": 3, "begins": 0, "ends": 100, "read": [{"from": 40, "to": 60}]}
                ],
            })
        );
        assert_eq!(near["searched"][2]["topic"], "order-status.dlq");
        assert_eq!(
            near["missing"],
            json!([{"record": "vouchers/3/40", "why": "removed"}])
        );
        let row = &near["rows"][0];
        assert_eq!((&row["partition"], &row["offset"]), (&json!(3), &json!(40)));
    }
}
