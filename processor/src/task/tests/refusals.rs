//! Records that the broker refuses because of the records themselves.

use std::time::Duration;

use runtime::metrics::{Count, PROCESSOR_TRANSACTIONS, RetryClass};
use runtime::record::OwnedRecord;

use super::model::{Fault, Kafka};
use super::records::{record, sent};
use super::watch::Watch;
use super::{Guarantee, expected, kafka, run};

/// Larger than a small part of a dead letter.
fn large_junk(offset: i64) -> OwnedRecord {
    record(0, offset, Some([b"x".as_slice(), &[0xff; 20_000]].concat()))
}

fn all_is_written_once(kafka: &Kafka) {
    let mut written = kafka.written.clone();
    written.sort();
    assert_eq!(written, expected(kafka));
}

fn with_limit(inputs: Vec<OwnedRecord>, max_bytes: usize, guarantee: Guarantee) -> (Kafka, Watch) {
    let mut kafka = kafka(inputs, Vec::new());
    kafka.max_bytes = Some(max_bytes);
    run(kafka, guarantee)
}

#[test]
fn a_dead_letter_that_does_not_fit_is_written_with_what_fits() {
    let inputs = vec![
        sent(0, 0, 150),
        large_junk(1),
        sent(0, 2, 150),
        sent(1, 0, 150),
    ];
    let (kafka, watch) = with_limit(inputs, 18_000, Guarantee::ExactlyOnce);
    all_is_written_once(&kafka);
    assert_eq!((watch.reduced, watch.refused), (1, 0));
    assert_eq!(
        kafka.aborted.len(),
        1,
        "one attempt finds the refused record"
    );
    assert_eq!(watch.reasons, [""; 0], "ready all the time");
}

#[test]
fn a_large_dead_letter_is_reduced_without_transactions_too() {
    let inputs = vec![sent(0, 0, 150), large_junk(1), sent(0, 2, 150)];
    let (mut kafka, watch) = with_limit(inputs, 18_000, Guarantee::AtLeastOnce);
    kafka.written.sort();
    kafka.written.dedup();
    all_is_written_once(&kafka);
    assert_eq!((watch.reduced, watch.refused), (1, 0));
}

#[test]
fn a_dead_letter_carries_nothing_of_its_original_where_even_small_parts_do_not_fit() {
    let mut junk = large_junk(0);
    junk.headers = vec![("small".to_owned(), Some(vec![0; 15_000]))];
    let (kafka, watch) = with_limit(vec![junk], 2_000, Guarantee::ExactlyOnce);
    all_is_written_once(&kafka);
    assert_eq!((watch.reduced, kafka.aborted.len()), (2, 2));
}

#[test]
fn a_small_dead_letter_keeps_its_value_beside_a_large_one() {
    let inputs = vec![record(0, 0, Some(b"x".to_vec())), large_junk(1)];
    let (kafka, watch) = with_limit(inputs, 18_000, Guarantee::ExactlyOnce);
    all_is_written_once(&kafka);
    assert_eq!(watch.reduced, 1);
}

fn refusing(inputs: Vec<OwnedRecord>, times: usize) -> (Kafka, Watch) {
    let mut kafka = kafka(inputs, Vec::new());
    kafka.refused_dead_letters = times;
    run(kafka, Guarantee::ExactlyOnce)
}

#[test]
fn a_record_that_is_refused_again_and_again_waits_longer_and_leaves_nothing_behind() {
    let junk = record(0, 50, Some(b"x".to_vec()));
    let mut inputs: Vec<_> = (0..50).map(|offset| sent(0, offset, 150)).collect();
    inputs.push(junk);
    inputs.extend((51..100).map(|offset| sent(0, offset, 150)));
    inputs.extend((0..50).map(|offset| sent(1, offset, 150)));
    let (kafka, watch) = refusing(inputs, 12);
    all_is_written_once(&kafka);
    assert_eq!(watch.refused, 12);
    let (left_behind, times): (Vec<_>, Vec<_>) = kafka.aborted.iter().copied().unzip();
    assert!(
        left_behind[0] > 0,
        "the first attempt had other records too"
    );
    assert_eq!(left_behind[1..], [0; 11]);
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[10] >= Duration::from_secs(15), "{pauses:?}");
    assert!(pauses[10] < Duration::from_secs(32), "{pauses:?}");
}

#[test]
fn the_task_is_not_ready_and_names_the_record_until_it_is_written() {
    let inputs = vec![sent(0, 0, 150), record(0, 1, Some(b"x".to_vec()))];
    let (kafka, watch) = refusing(inputs, 3);
    all_is_written_once(&kafka);
    assert_eq!(watch.reasons.len(), 3);
    for reason in &watch.reasons {
        assert!(reason.contains("order-status.dlq"), "{reason}");
        assert!(reason.contains("order-status/0/1"), "{reason}");
    }
    assert_eq!(watch.blocked, None, "ready again");
}

#[test]
fn retries_are_counted_by_their_cause_and_transactions_by_their_outcome() {
    let inputs = vec![sent(0, 0, 150), record(0, 1, Some(b"x".to_vec()))];
    let (kafka, watch) = refusing(inputs, 3);
    let times = |event: Count| watch.counts.iter().filter(|count| **count == event).count();
    let ended = |outcome| times(Count::one_of(PROCESSOR_TRANSACTIONS, "outcome", outcome));
    assert_eq!(times(Count::retry(RetryClass::Refused)), 3);
    assert_eq!(times(Count::retry(RetryClass::Kafka)), 0);
    assert_eq!((ended("aborted"), kafka.aborted.len()), (3, 3));
    assert!(ended("committed") > 0);
}

#[test]
fn records_that_were_read_before_a_refused_one_are_committed_without_it() {
    let mut kafka = kafka(
        vec![
            sent(0, 0, 150),
            record(0, 1, Some(b"x".to_vec())),
            sent(0, 2, 150),
        ],
        Vec::new(),
    );
    kafka.refused_dead_letters = 2;
    let (kafka, _) = run(kafka, Guarantee::ExactlyOnce);
    let (topic, ..) = &kafka.written[0];
    assert_eq!((topic.as_str(), kafka.aborted.len()), ("vouchers", 2));
    assert_eq!(kafka.written, expected_in_order(&kafka));
}

/// An idle task that waits for the blocked record to be read again has made no progress.
#[test]
fn a_blocked_record_that_comes_late_is_still_alone_in_its_transaction() {
    let mut kafka = kafka(
        vec![
            sent(0, 0, 150),
            record(0, 1, Some(b"x".to_vec())),
            sent(0, 2, 150),
            sent(1, 0, 150),
        ],
        Vec::new(),
    );
    kafka.refused_dead_letters = 2;
    kafka.late = Some((1, 5));
    let (kafka, watch) = run(kafka, Guarantee::ExactlyOnce);
    all_is_written_once(&kafka);
    assert_eq!(kafka.late, Some((1, 0)));
    let left_behind: Vec<_> = kafka.aborted.iter().map(|(records, _)| *records).collect();
    assert_eq!((left_behind[0], left_behind[1]), (3, 0));
    assert_eq!(watch.refused, 2);
}

fn expected_in_order(kafka: &Kafka) -> Vec<super::Written> {
    let mut expected = expected(kafka);
    expected.sort_by_key(|(_, partition, offset)| (*partition, *offset));
    expected
}

#[test]
fn failures_in_a_row_without_a_commit_make_the_task_not_ready() {
    let aborts = |times| {
        let mut faults = vec![Fault::None; 5];
        for _ in 0..times {
            // Begin, send, offsets and the abort. The batch is then written again, and from the fourth failure
            // on it is read again.
            faults.extend([Fault::Abortable, Fault::None, Fault::None, Fault::None]);
        }
        faults
    };
    let (_, once) = run(
        kafka(vec![sent(0, 0, 150)], aborts(1)),
        Guarantee::ExactlyOnce,
    );
    assert_eq!(once.reasons, [""; 0]);
    let (_, often) = run(
        kafka(vec![sent(0, 0, 150)], aborts(6)),
        Guarantee::ExactlyOnce,
    );
    assert!(!often.reasons.is_empty());
    assert_eq!(often.blocked, None, "ready again");
}
