//! What was found about an order, for the tests of how it is shown.

use runtime::kafka::Span;
use schemas::KeyForm;

use super::searched::SearchedTopic;
use super::trace::{OrderTrace, RecordPosition, StatusRecord, VoucherFields, VoucherRow};
use crate::explainer::Explanation;

/// The code of the voucher's row.
pub(super) const CODE: &str = "A527-R3XF-YDHK-X2AD";

/// An order that was below the threshold, and has a row nevertheless. All partitions of its key were
/// read.
pub(super) fn trace() -> OrderTrace {
    OrderTrace {
        order_id: "17".to_owned(),
        order_status: topic("order-status"),
        vouchers_topic: topic("vouchers"),
        statuses: vec![StatusRecord {
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
        }],
        rows: Some(vec![VoucherRow {
            voucher: VoucherFields {
                campaign: "order-reward".to_owned(),
                code: CODE.to_owned(),
                amount: "5.00 EUR".to_owned(),
                issued_at: "2026-11-23T09:30:00Z".to_owned(),
                expires_at: None,
            },
            created_at: "2026-11-23T09:30:00.250Z".to_owned(),
            record: None,
        }]),
        ..OrderTrace::default()
    }
}

/// A topic of 12 partitions with 100 offsets each. Those of the order's key are read, and partition 3.
fn topic(name: &str) -> SearchedTopic {
    let whole = Span { from: 0, to: 100 };
    let mut topic = SearchedTopic {
        name: name.to_owned(),
        partitions: 12,
        home: 3,
        held: (0..12).map(|partition| (partition, whole)).collect(),
        ..SearchedTopic::default()
    };
    let mut partitions = topic.homes("17");
    partitions.insert(3);
    for partition in partitions {
        topic.note_read(partition, whole);
    }
    topic
}
