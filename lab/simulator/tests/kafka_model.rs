//! The model of Kafka behaves as Kafka's documentation says: one short history for each subject.

use std::time::Duration;

use processor::task::Guarantee;
use runtime::record::Positions;
use simulator::random::Random;
use simulator::world::kafka::group::{GroupOffsets, MemberId};
use simulator::world::kafka::log::Record;
use simulator::world::kafka::transactions::Refused;
use simulator::world::kafka::{Broker, ORDER_STATUS, VOUCHERS};
use simulator::world::network::Request;
use simulator::world::{ProcessId, World};

fn record(key: &str) -> Record {
    Record {
        key: Some(key.into()),
        value: Some(b"x".to_vec()),
        headers: Vec::new(),
    }
}

const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// A world without faults, and a process whose requests arrive late.
fn world() -> (World, ProcessId) {
    let mut world = World::new(Random::new(1), Broker::new(1), None);
    let process = world.start_process();
    (world, process)
}

fn join(world: &mut World, instance: &str) -> MemberId {
    let World {
        broker,
        random,
        now,
        ..
    } = world;
    let group = &mut broker.groups[ORDER_STATUS];
    let member = group.join(instance, *now, random);
    group
        .sync(member, instance, *now)
        .expect("the member is known");
    member
}

/// Returns an offset as this member sends it now.
fn offsets(world: &World, member: MemberId, offset: i64) -> GroupOffsets {
    GroupOffsets {
        group: ORDER_STATUS,
        member: Some(world.broker.groups[ORDER_STATUS].identity(member)),
        positions: Positions::from([(0, offset)]),
    }
}

fn stable_offset(world: &World) -> Option<i64> {
    world.broker.groups[ORDER_STATUS].stable_offset(0)
}

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
        let offsets = GroupOffsets {
            group: ORDER_STATUS,
            member: None,
            positions: Positions::from([(0, offset)]),
        };
        broker.add_offsets(one, &offsets, NOW).unwrap();
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

#[test]
fn a_late_commit_of_offsets_is_accepted_from_the_same_member() {
    let (mut world, process) = world();
    let member = join(&mut world, "a");
    let late = Request::CommitOffsets(offsets(&world, member, 5));
    world.send_later(process, SECOND, late);
    assert_eq!(stable_offset(&world), Some(0));
    world.advance(SECOND);
    assert_eq!(stable_offset(&world), Some(5));
}

#[test]
fn a_late_commit_of_offsets_is_refused_once_another_member_has_its_instance_id() {
    let (mut world, process) = world();
    let old = join(&mut world, "a");
    let late = Request::CommitOffsets(offsets(&world, old, 5));
    world.send_later(process, SECOND, late);
    let new = join(&mut world, "a");
    world.advance(SECOND);
    assert_eq!(stable_offset(&world), Some(0));
    assert!(world.broker.accepts(&offsets(&world, new, 5)));
}

#[test]
fn a_late_commit_of_offsets_is_refused_in_a_later_generation() {
    let (mut world, process) = world();
    let member = join(&mut world, "a");
    let late = Request::CommitOffsets(offsets(&world, member, 5));
    world.send_later(process, SECOND, late);
    join(&mut world, "b");
    world.advance(SECOND);
    assert_eq!(stable_offset(&world), Some(0));
}

#[test]
fn a_late_commit_may_set_a_group_back_only_where_no_transaction_commits_offsets() {
    for (guarantee, is_violation) in [
        (Guarantee::ExactlyOnce, true),
        (Guarantee::AtLeastOnce, false),
    ] {
        let (mut world, process) = world();
        world.guarantee = guarantee;
        let member = join(&mut world, "a");
        let late = Request::CommitOffsets(offsets(&world, member, 5));
        world.send_later(process, SECOND, late);
        let newer = Positions::from([(0, 9)]);
        world.broker.groups[ORDER_STATUS].commit(&newer);
        world.advance(SECOND);
        assert_eq!(stable_offset(&world), Some(5));
        assert_eq!(world.broker.groups[ORDER_STATUS].highest_offset(0), 9);
        assert_eq!(world.violation.is_some(), is_violation, "{guarantee:?}");
    }
}

#[test]
fn a_late_takeover_aborts_what_is_open_and_fences_its_successor() {
    let (mut world, process) = world();
    world.send_later(process, SECOND, Request::TakeOver("one".to_owned()));
    let one = world.broker.init("one", true);
    world
        .broker
        .produce(one, VOUCHERS, record("a"), NOW)
        .unwrap();
    world.advance(SECOND);
    assert_eq!(world.broker.end(one, true), Err(Refused::Fenced));
    let log = world.broker.log(VOUCHERS, 0);
    assert!(!log.has_open_transaction() && log.read(0).is_none());
}

#[test]
fn late_offsets_are_added_to_what_their_epoch_has_open_and_refused_after_a_takeover() {
    let (mut world, process) = world();
    let member = join(&mut world, "a");
    let one = world.broker.init("one", true);
    let late = Request::AddOffsets {
        identity: one,
        offsets: offsets(&world, member, 5),
    };
    world.send_later(process, SECOND, late.clone());
    world.send_later(process, SECOND * 2, late.clone());
    world.send_later(process, SECOND * 3, late);
    // The next transaction of the same epoch has newer offsets.
    let newer = offsets(&world, member, 7);
    world.broker.add_offsets(one, &newer, NOW).unwrap();
    world.advance(SECOND);
    world.broker.end(one, true).unwrap();
    assert_eq!(stable_offset(&world), Some(5), "and replace its own");
    world.advance(SECOND * 2);
    assert_eq!(stable_offset(&world), None, "they open a transaction");
    world.broker.init("one", true);
    assert_eq!(stable_offset(&world), Some(5));
    world.advance(SECOND * 3);
    assert_eq!(stable_offset(&world), Some(5), "refused");
}
