//! Which sampled records are reported for their spans, and when.

use runtime::record::OwnedRecord;
use runtime::trace_context::TRACEPARENT;

use super::model::Fault;
use super::records::{record, sent};
use super::{Guarantee, kafka, run};

/// Gives a record a trace with these flags.
fn traced(mut record: OwnedRecord, flags: &str) -> OwnedRecord {
    let trace = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    let header = (TRACEPARENT.to_owned(), Some(trace.into_bytes()));
    record.headers.push(header);
    record
}

fn inputs() -> Vec<OwnedRecord> {
    vec![
        traced(sent(0, 0, 150), "01"),
        traced(sent(0, 1, 20), "01"),
        traced(record(0, 2, Some(b"x".to_vec())), "01"),
        traced(sent(1, 0, 150), "00"),
        sent(1, 1, 150),
    ]
}

#[test]
fn a_sampled_record_is_reported_once_its_outcome_is_durable_whatever_call_fails_before() {
    for calls in 0..15 {
        let mut faults = vec![Fault::None; calls];
        faults.push(Fault::Abortable);
        let (_, watch) = run(kafka(inputs(), faults), Guarantee::ExactlyOnce);
        let mut seen = watch.sampled;
        seen.sort_unstable();
        let expected = [(0, 0, "voucher"), (0, 1, "skipped"), (0, 2, "dead_letter")];
        assert_eq!(seen, expected, "{calls}");
    }
}

#[test]
fn without_a_transaction_it_is_reported_when_its_voucher_is_acknowledged() {
    let (_, watch) = run(kafka(inputs(), Vec::new()), Guarantee::AtLeastOnce);
    assert_eq!(watch.sampled.len(), 3, "{:?}", watch.sampled);
}
