//! What the loop reports about its lag, and about the times of what it commits.

use runtime::record::OwnedRecord;

use super::model::Fault;
use super::records::{WRITTEN, record, sent};
use super::{Guarantee, kafka, run};
use crate::batch::headers::SOURCE_RUN;

#[test]
fn a_record_is_unsettled_until_its_voucher_is_committed_whatever_call_fails_in_between() {
    for calls in 0..15 {
        let mut faults = vec![Fault::None; calls];
        faults.push(Fault::Abortable);
        let (_, watch) = run(kafka(vec![sent(0, 0, 150)], faults), Guarantee::ExactlyOnce);
        assert_eq!(watch.unsettled, [None, Some(WRITTEN), None], "{calls}");
    }
}

#[test]
fn a_record_that_earns_nothing_is_unsettled_until_its_offset_is_committed() {
    let (_, watch) = run(
        kafka(vec![sent(0, 0, 20)], Vec::new()),
        Guarantee::ExactlyOnce,
    );
    assert_eq!(watch.unsettled, [None, Some(WRITTEN), None]);
}

#[test]
fn of_the_records_that_are_read_the_oldest_counts() {
    let inputs = vec![written(sent(0, 0, 150), 7), written(sent(1, 0, 150), 3)];
    let (_, watch) = run(kafka(inputs, Vec::new()), Guarantee::ExactlyOnce);
    assert_eq!(watch.unsettled, [None, Some(WRITTEN + 3), None]);
}

#[test]
fn the_oldest_and_the_newest_order_with_a_voucher_are_measured_unless_they_are_replayed() {
    let mut replayed = written(sent(1, 1, 150), 1);
    let run_header = (SOURCE_RUN.to_owned(), Some(b"may".to_vec()));
    replayed.headers.push(run_header);
    let inputs = vec![
        written(sent(0, 0, 20), 2),
        written(sent(0, 1, 150), 7),
        written(sent(0, 2, 150), 5),
        written(record(0, 3, None), 11),
        written(sent(1, 0, 150), 9),
        replayed,
    ];
    let (_, watch) = run(kafka(inputs, Vec::new()), Guarantee::ExactlyOnce);
    let ranges: Vec<_> = watch.vouchers.iter().map(|times| times.range()).collect();
    assert_eq!(ranges, [Some((WRITTEN + 5, WRITTEN + 9))]);
}

/// Makes a record younger by `later` milliseconds.
fn written(mut record: OwnedRecord, later: i64) -> OwnedRecord {
    record.timestamp_millis = Some(WRITTEN + later);
    record
}
