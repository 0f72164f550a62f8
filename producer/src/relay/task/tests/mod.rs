//! The relay against a small model of Postgres and Kafka: invariants that hold under all faults.

mod model;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use runtime::metrics::{Count, RetryClass};

use super::State;
use crate::relay::Row;
use crate::relay::limits::{COLLECTION_PER_ROW, MAX_COLLECTION, MAX_WITHOUT_PROGRESS};
use model::{Fault, ModelRelay, Shared, World, relay, settle};

/// Returns a row with this id.
pub(in crate::relay) fn row_of(id: i64) -> Row {
    model::row(id, 1, 1)
}

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    /// An order changes; the transaction stays open.
    Insert(usize),
    /// One of the open transactions commits.
    CommitInsert(usize),
    /// A relay takes some steps.
    Steps(usize, usize),
    /// A relay's process is killed and started again.
    Kill(usize),
    /// The server ends the session that holds the lock; its relay sleeps and does not notice.
    EndHolder,
    /// Postgres crashes, with this number of deletes not on disk.
    CrashPostgres(usize),
    /// A commit that was in the network arrives.
    Arrive,
    /// Time passes.
    Pass(u64),
    /// The call after this many others meets this fault.
    Fault(usize, Fault),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let fault = prop_oneof![
        2 => Just(Fault::Refused),
        1 => Just(Fault::Broken),
        2 => Just(Fault::DoneThenBroken),
        1 => Just(Fault::Late),
        2 => Just(Fault::InTheNetwork),
    ];
    let event = prop_oneof![
        10 => (0..4_usize).prop_map(Event::Insert),
        9 => (0..4_usize).prop_map(Event::CommitInsert),
        22 => (0..2_usize, 1..12_usize).prop_map(|(relay, steps)| Event::Steps(relay, steps)),
        1 => (0..2_usize).prop_map(Event::Kill),
        3 => Just(Event::EndHolder),
        1 => (0..4_usize).prop_map(Event::CrashPostgres),
        2 => Just(Event::Arrive),
        1 => (1..20_000_u64).prop_map(Event::Pass),
        8 => (0..8_usize, fault).prop_map(|(after, fault)| Event::Fault(after, fault)),
    ];
    proptest::collection::vec(event, 1..400)
}

fn world() -> Shared {
    Rc::new(RefCell::new(World::default()))
}

fn happens(world: &Shared, relays: &mut [ModelRelay], event: &Event) {
    match *event {
        Event::Insert(order) => world.borrow_mut().insert(order),
        Event::CommitInsert(which) => world.borrow_mut().commit_insert(which),
        Event::Steps(which, steps) => {
            for _ in 0..steps {
                step(&mut relays[which]);
            }
        }
        Event::Kill(which) => {
            // The sockets close with the process, so its session ends.
            relays[which].stop();
            relays[which] = relay(world);
        }
        Event::EndHolder => world.borrow_mut().end_session_of_holder(),
        Event::CrashPostgres(lost) => world.borrow_mut().crash_postgres(lost),
        Event::Arrive => world.borrow_mut().deliver_stragglers(),
        Event::Pass(millis) => world.borrow_mut().now += Duration::from_millis(millis),
        Event::Fault(after, fault) => {
            let faults = &mut world.borrow_mut().faults;
            while faults.len() < after {
                faults.push_back(None);
            }
            faults.push_back(Some(fault));
        }
    }
    assert!(
        world.borrow().violations.is_empty(),
        "{:?} after {event:?}; the topic: {:?}",
        world.borrow().violations,
        world.borrow().committed
    );
}

/// Asserts that everything that was committed in Postgres is in the topic, in order.
fn assert_complete(world: &Shared) {
    let world = world.borrow();
    assert_eq!(world.violations, [] as [String; 0]);
    let expected: Vec<_> = world
        .versions
        .iter()
        .filter(|(_, version)| **version > 0)
        .collect();
    assert_eq!(world.newest().iter().collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_ever_goes_back_and_nothing_is_lost_whatever_fails(events in events()) {
        let world = world();
        let mut relays = [relay(&world), relay(&world)];
        for event in &events {
            happens(&world, &mut relays, event);
        }
        world.borrow_mut().faults.clear();
        world.borrow_mut().commit_all_inserts();
        settle(&world, &mut relays);
        assert_complete(&world);
    }
}

/// Inserts and commits a change of each order, in this order.
fn changes(world: &Shared, orders: &[usize]) {
    for order in orders {
        world.borrow_mut().insert(*order);
        world.borrow_mut().commit_all_inserts();
    }
}

fn step(relay: &mut ModelRelay) {
    assert!(relay.step().is_ok(), "a relay waits for everything");
}

fn step_until(relay: &mut ModelRelay, state: State) {
    for _ in 0..1_000 {
        if relay.state == state {
            return;
        }
        step(relay);
    }
    panic!("the relay is {:?}, not {state:?}", relay.state);
}

#[test]
fn without_faults_every_row_is_published_once_in_the_order_of_ids() {
    let world = world();
    let mut relays = [relay(&world)];
    step_until(&mut relays[0], State::Idle);
    changes(&world, &[1, 2, 1, 3, 1, 2, 3]);
    settle(&world, &mut relays);
    let expected: Vec<Vec<(usize, i64)>> = vec![
        vec![(1, 1), (2, 1), (1, 2)],
        vec![(3, 1), (1, 3), (2, 2)],
        vec![(3, 2)],
    ];
    assert_eq!(world.borrow().committed, expected);
}

#[test]
fn rows_are_collected_only_at_a_high_rate() {
    let world = world();
    let mut relay = relay(&world);
    step_until(&mut relay, State::Idle);
    changes(&world, &[1]);
    step_until(&mut relay, State::Publishing);
    let read_at = relay.machine.heard_at - Duration::from_millis(3);
    assert_eq!(relay.machine.collect_until, read_at + COLLECTION_PER_ROW);
    step_until(&mut relay, State::Idle);
    assert!(world.borrow().now > relay.machine.collect_until);

    changes(&world, &[1, 2]);
    step_until(&mut relay, State::Deleting);
    // As if the last read had returned many rows.
    let collected = world.borrow().now + MAX_COLLECTION;
    relay.machine.collect_until = collected;
    step_until(&mut relay, State::Reading);
    changes(&world, &[3]);
    step_until(&mut relay, State::Publishing);
    assert!(world.borrow().now >= collected);

    // After a full read there are more rows, which have waited already: the next read is not delayed.
    step_until(&mut relay, State::Idle);
    changes(&world, &[1, 2, 3, 4]);
    step_until(&mut relay, State::Publishing);
    assert!(relay.machine.collect_until < world.borrow().now);
}

#[test]
fn a_row_is_deleted_only_after_its_transaction_is_committed() {
    let world = world();
    changes(&world, &[1]);
    let mut relay = relay(&world);
    step_until(&mut relay, State::Committing);
    assert_eq!(world.borrow().backlog(), 1);
    step_until(&mut relay, State::Deleting);
    assert_eq!(world.borrow().committed.len(), 1);
    assert_eq!(world.borrow().backlog(), 1);
    step_until(&mut relay, State::Idle);
    assert_eq!(world.borrow().backlog(), 0);
}

#[test]
fn only_one_of_two_instances_publishes() {
    let world = world();
    let (mut first, mut second) = (relay(&world), relay(&world));
    step_until(&mut first, State::Idle);
    for _ in 0..50 {
        step(&mut second);
        assert_eq!(second.state, State::StandingBy);
        step(&mut first);
    }
}

#[test]
fn a_zombie_that_wakes_up_before_its_commit_is_refused() {
    let world = world();
    let (mut zombie, mut successor) = (relay(&world), relay(&world));
    changes(&world, &[1]);
    step_until(&mut zombie, State::Committing);
    world.borrow_mut().end_session_of_holder();
    changes(&world, &[1]);
    step_until(&mut successor, State::Idle);
    let before = world.borrow().committed.clone();
    assert_eq!(before, vec![vec![(1, 1), (1, 2)]]);
    step_until(&mut zombie, State::StandingBy);
    assert_eq!(world.borrow().committed, before);
}

#[test]
fn a_zombie_that_wakes_up_before_its_fence_asks_again_for_its_lock() {
    let world = world();
    let (mut zombie, mut successor) = (relay(&world), relay(&world));
    changes(&world, &[1]);
    step_until(&mut zombie, State::Committing);
    // Its batch may be committed or not: it is about to build a new producer and try again.
    world.borrow_mut().faults.push_back(Some(Fault::Broken));
    step_until(&mut zombie, State::Opening);
    world.borrow_mut().end_session_of_holder();
    changes(&world, &[1]);
    step_until(&mut successor, State::Idle);
    for _ in 0..100 {
        step(&mut zombie);
        assert_ne!(zombie.state, State::Publishing);
    }
    settle(&world, &mut [zombie, successor]);
    assert_complete(&world);
}

#[test]
fn a_zombies_late_delete_takes_only_what_it_published() {
    let world = world();
    let (mut zombie, mut successor) = (relay(&world), relay(&world));
    changes(&world, &[1, 2]);
    step_until(&mut zombie, State::Deleting);
    // The zombie is paused, and the server has not ended its session yet. A row is committed before it
    // wakes up.
    changes(&world, &[1]);
    step(&mut zombie);
    assert_eq!(world.borrow().backlog(), 1);
    zombie.stop();
    step_until(&mut successor, State::Idle);
    assert_complete(&world);
}

#[test]
fn rows_that_turn_up_late_do_not_split_the_rows_of_an_order() {
    let world = world();
    let (mut first, mut second) = (relay(&world), relay(&world));
    // Orders 7 and 8 have the lowest ids, and are committed last.
    world.borrow_mut().insert(7);
    world.borrow_mut().insert(8);
    for _ in 0..2 {
        world.borrow_mut().insert(1);
        world.borrow_mut().commit_insert(2);
    }
    step_until(&mut first, State::Deleting);
    assert_eq!(world.borrow().committed, vec![vec![(1, 1), (1, 2)]]);
    first.stop();
    world.borrow_mut().commit_all_inserts();
    step_until(&mut second, State::Idle);
    for transaction in &world.borrow().committed {
        let of_order_1: Vec<_> = transaction
            .iter()
            .filter(|(order, _)| *order == 1)
            .collect();
        assert!(
            of_order_1.is_empty() || of_order_1.len() == 2,
            "{transaction:?}"
        );
    }
    assert_complete(&world);
}

#[test]
fn an_order_with_more_rows_than_a_read_of_the_backlog_is_published_whole() {
    let world = world();
    changes(&world, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    let mut relays = [relay(&world)];
    settle(&world, &mut relays);
    let of_order_1 = |(order, _): &&(usize, i64)| *order == 1;
    let first = world.borrow().committed[0]
        .iter()
        .filter(of_order_1)
        .count();
    assert_eq!(first, 9);
    assert_complete(&world);
}

#[test]
fn a_commit_without_an_answer_is_asked_for_again_and_then_the_producer_is_replaced() {
    let world = world();
    let mut relay = relay(&world);
    changes(&world, &[1]);
    step_until(&mut relay, State::Committing);
    world
        .borrow_mut()
        .faults
        .extend([Some(Fault::InTheNetwork), Some(Fault::Late)]);
    step_until(&mut relay, State::Deleting);
    step_until(&mut relay, State::Opening);
    step_until(&mut relay, State::Idle);
    assert_eq!(world.borrow().committed.len(), 1);
}

#[test]
fn a_delete_that_is_refused_is_repeated_without_publishing_again() {
    let world = world();
    let mut relays = [relay(&world)];
    changes(&world, &[1]);
    step_until(&mut relays[0], State::Deleting);
    world
        .borrow_mut()
        .faults
        .extend([Some(Fault::Refused), Some(Fault::Refused)]);
    settle(&world, &mut relays);
    assert_eq!(world.borrow().committed.len(), 1);
    let retries = [Count::retry(RetryClass::Postgres); 2];
    assert_eq!(world.borrow().counts, retries);
}

#[test]
fn the_lock_is_kept_while_the_broker_keeps_a_transaction_waiting() {
    let world = world();
    let (mut holder, mut other) = (relay(&world), relay(&world));
    changes(&world, &[1]);
    step_until(&mut holder, State::Draining);
    let until = world.borrow().now + Duration::from_secs(9);
    while world.borrow().now < until {
        world.borrow_mut().kafka_is_away = true;
        step(&mut holder);
        world.borrow_mut().kafka_is_away = false;
        step(&mut other);
        assert_eq!(holder.state, State::Draining);
        assert_eq!(other.state, State::StandingBy);
    }
    step_until(&mut holder, State::Idle);
    assert_complete(&world);
}

#[test]
fn a_relay_that_sleeps_past_its_session_loses_the_lock() {
    let world = world();
    let (mut sleeper, mut other) = (relay(&world), relay(&world));
    step_until(&mut sleeper, State::Idle);
    world.borrow_mut().now += Duration::from_secs(7);
    step_until(&mut other, State::Idle);
    changes(&world, &[1, 1]);
    step(&mut sleeper);
    step(&mut sleeper);
    assert_eq!(sleeper.state, State::StandingBy);
    settle(&world, &mut [sleeper, other]);
    assert_eq!(world.borrow().committed, vec![vec![(1, 1), (1, 2)]]);
}

#[test]
fn a_holder_that_cannot_reach_the_broker_lets_another_instance_try() {
    let world = world();
    let (mut cut_off, mut other) = (relay(&world), relay(&world));
    step_until(&mut cut_off, State::Fencing);
    let until = world.borrow().now + MAX_WITHOUT_PROGRESS * 2;
    world.borrow_mut().kafka_is_away = true;
    while cut_off.state != State::StandingBy {
        step(&mut cut_off);
        assert!(
            world.borrow().now < until,
            "the relay does not release the lock"
        );
    }
    world.borrow_mut().kafka_is_away = false;
    step_until(&mut other, State::Idle);
}

#[test]
fn a_row_that_turns_up_late_is_read_although_the_mark_has_moved() {
    let world = world();
    let mut relay = relay(&world);
    step_until(&mut relay, State::Idle);
    changes(&world, &[1, 2, 3, 1, 2, 3]);
    for _ in 0..100 {
        step(&mut relay);
    }
    // Order 7 takes its id now and commits much later.
    world.borrow_mut().insert(7);
    let late = 7;
    assert_eq!(
        relay.machine.low_water.mark(),
        late,
        "all rows below it are published"
    );
    for _ in 0..20 {
        for order in [1, 2, 3] {
            world.borrow_mut().insert(order);
            world.borrow_mut().commit_insert(1);
        }
        step_until(&mut relay, State::Deleting);
        step_until(&mut relay, State::Idle);
    }
    assert_eq!(relay.machine.low_water.mark(), late, "it may still turn up");
    world.borrow_mut().commit_all_inserts();
    changes(&world, &[7]);
    settle(&world, std::slice::from_mut(&mut relay));
    assert_complete(&world);
    changes(&world, &[1, 2, 3]);
    settle(&world, std::slice::from_mut(&mut relay));
    for _ in 0..100 {
        step(&mut relay);
    }
    assert!(relay.machine.low_water.mark() > late);
}

#[test]
fn a_competitor_of_the_holder_of_the_lock_is_reported_with_what_to_do() {
    let world = world();
    let mut relay = relay(&world);
    step_until(&mut relay, State::Idle);
    for times in 1..=2 {
        world.borrow_mut().fence();
        changes(&world, &[1]);
        step_until(&mut relay, State::StandingBy);
        settle(&world, std::slice::from_mut(&mut relay));
        step_until(&mut relay, State::Idle);
        let blocked = world.borrow().blocked.clone().unwrap_or_default();
        assert_eq!(blocked.contains("OUTBOX_NAME"), times == 2, "{blocked}");
    }
    assert_complete(&world);
}

#[test]
fn a_relay_that_is_fenced_with_its_lock_lost_reports_no_competitor() {
    let world = world();
    let mut relay = relay(&world);
    step_until(&mut relay, State::Idle);
    for _ in 0..3 {
        changes(&world, &[1]);
        step_until(&mut relay, State::Publishing);
        world.borrow_mut().fence();
        world.borrow_mut().end_session_of_holder();
        step_until(&mut relay, State::StandingBy);
        settle(&world, std::slice::from_mut(&mut relay));
        step_until(&mut relay, State::Idle);
    }
    assert_eq!(world.borrow().blocked, None);
}
