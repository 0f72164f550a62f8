//! The model of Kafka behaves as Kafka's documentation says: one short history for each subject.

use std::time::Duration;

use runtime::record::Positions;
use simulator::world::kafka::log::Record;
use simulator::world::kafka::transactions::Refused;
use simulator::world::kafka::{Broker, ORDER_STATUS, VOUCHERS};

fn record(key: &str) -> Record {
    Record {
        key: Some(key.into()),
        value: Some(b"x".to_vec()),
        headers: Vec::new(),
    }
}

const NOW: Duration = Duration::ZERO;

#[test]
fn a_record_is_read_once_its_transaction_is_committed_and_the_marker_takes_an_offset() {
    let mut broker = Broker::new(1);
    let one = broker.init("one", true);
    broker.produce(one, VOUCHERS, record("a"), NOW).unwrap();
    broker.append(VOUCHERS, record("b"));
    assert_eq!(broker.log(VOUCHERS, 0).stable_end(), 0);
    assert!(
        broker.log(VOUCHERS, 0).read(0).is_none(),
        "nor what is behind it"
    );
    broker.end(one, true).unwrap();
    let read = |from| broker.log(VOUCHERS, 0).read(from).map(|(offset, _)| offset);
    assert_eq!((read(0), read(1), read(2)), (Some(0), Some(1), None));
    assert_eq!(broker.log(VOUCHERS, 0).stable_end(), 3);
}

#[test]
fn an_aborted_record_is_never_read() {
    let mut broker = Broker::new(1);
    let one = broker.init("one", true);
    broker.produce(one, VOUCHERS, record("a"), NOW).unwrap();
    broker.end(one, false).unwrap();
    assert!(broker.log(VOUCHERS, 0).read(0).is_none());
    assert!(broker.log(VOUCHERS, 0).read_uncommitted(0).is_some());
}

#[test]
fn a_takeover_aborts_what_is_open_and_fences_for_good() {
    let mut broker = Broker::new(1);
    let old = broker.init("one", true);
    broker.produce(old, VOUCHERS, record("a"), NOW).unwrap();
    let new = broker.init("one", true);
    assert_eq!(broker.end(old, true), Err(Refused::Fenced));
    let late = broker.produce(old, VOUCHERS, record("b"), NOW);
    assert_eq!(late, Err(Refused::Fenced));
    broker.produce(new, VOUCHERS, record("c"), NOW).unwrap();
    broker.end(new, true).unwrap();
    let read = broker.log(VOUCHERS, 0).read(0).unwrap();
    assert_eq!(read.1.key.as_deref(), Some(b"c".as_slice()));
}

#[test]
fn offsets_in_a_transaction_are_held_back_and_come_with_its_commit() {
    let mut broker = Broker::new(1);
    let one = broker.init("one", true);
    for (commit, offset, then) in [(false, 5, 0), (true, 7, 7)] {
        let positions = Positions::from([(0, offset)]);
        broker
            .add_offsets(one, ORDER_STATUS, &positions, NOW)
            .unwrap();
        assert_eq!(broker.groups[ORDER_STATUS].stable_offset(0), None);
        broker.end(one, commit).unwrap();
        assert_eq!(broker.groups[ORDER_STATUS].stable_offset(0), Some(then));
    }
}

#[test]
fn a_late_end_of_the_same_epoch_ends_the_next_transaction() {
    let mut broker = Broker::new(1);
    let one = broker.init("one", true);
    broker.produce(one, VOUCHERS, record("a"), NOW).unwrap();
    broker.end(one, true).unwrap();
    broker.end(one, true).unwrap();
    broker.produce(one, VOUCHERS, record("b"), NOW).unwrap();
    broker.end(one, true).unwrap();
    assert!(!broker.log(VOUCHERS, 0).has_open_transaction());
    assert_eq!(broker.end(one, false), Err(Refused::InvalidState));
}

#[test]
fn compaction_keeps_the_last_stable_record_of_a_key_at_its_offset() {
    let mut broker = Broker::new(1);
    for key in ["a", "b", "a"] {
        broker.append(ORDER_STATUS, record(key));
    }
    let one = broker.init("one", true);
    broker.produce(one, ORDER_STATUS, record("b"), NOW).unwrap();
    broker.log_mut(ORDER_STATUS, 0).compact();
    let kept: Vec<_> = broker
        .log(ORDER_STATUS, 0)
        .committed()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(kept, [1, 2]);
}
