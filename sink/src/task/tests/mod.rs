//! The loop against a small model of Kafka and Postgres: each rule by itself, then all rules under
//! faults at any call.

mod anything_fails;
mod lag;
mod model;
mod set_aside;

use std::time::Duration;

use runtime::dead_letter;
use runtime::record::{OwnedRecord, Positions};
use schemas::Reason;

use super::State;
use crate::limits::{IDLE_POLL, MAX_BATCH_RECORDS};
use crate::ports::WriteError;
use model::{Fault, Port, Run, World, avro, record, refused_amount, voucher};

fn run(records: Vec<OwnedRecord>) -> World {
    Run::new(World::new(records)).finish()
}

fn with_faults(records: Vec<OwnedRecord>, port: Port, faults: Vec<Fault>) -> World {
    let mut world = World::new(records);
    world.faults_at.insert(port, faults.into());
    world
}

fn run_with(records: Vec<OwnedRecord>, port: Port, faults: Vec<Fault>) -> World {
    Run::new(with_faults(records, port, faults)).finish()
}

fn many(count: usize) -> Vec<OwnedRecord> {
    (0..count)
        .map(|n| voucher(0, &format!("{n}"), &format!("code-{n}"), 5))
        .collect()
}

fn reasons(world: &World) -> Vec<String> {
    world
        .dead_letters
        .iter()
        .map(|dead_letter| dead_letter.header(dead_letter::REASON))
        .collect()
}

#[test]
fn vouchers_of_one_batch_are_one_statement_and_one_commit() {
    let world = run(many(100));
    assert_eq!(world.rows, world.expected_rows());
    assert_eq!(world.statements, [100]);
    assert_eq!((world.commits, world.tallies.inserted), (1, 100));
}

#[test]
fn a_record_that_comes_alone_is_written_at_once() {
    let mut run = Run::new(World::new(Vec::new()));
    run.until("joined", |world| world.partitions > 0);
    let before = run.world().now;
    let mut more = World::new(many(1));
    run.world().inputs = std::mem::take(&mut more.inputs);
    run.until("committed", |world| world.commits == 1);
    let took = run.world().now - before;
    // After the first record no poll has a timeout, so the one that finds the queue empty does not wait.
    assert!(took < IDLE_POLL, "{took:?}");
}

#[test]
fn a_long_queue_is_written_in_bounded_batches() {
    let world = run(many(MAX_BATCH_RECORDS * 2 + 1));
    assert_eq!(world.statements, [MAX_BATCH_RECORDS, MAX_BATCH_RECORDS, 1]);
}

/// The script of the polls that bring the assignment, three records, and then an empty queue.
fn three_records() -> Vec<Fault> {
    [vec![Fault::None; 4], vec![Fault::Slow]].concat()
}

#[test]
fn the_next_batch_is_read_while_one_is_written_and_waits_for_it() {
    let mut world = with_faults(many(100), Port::Poll, three_records());
    world
        .faults_at
        .insert(Port::Table, vec![Fault::Slow; 10].into());
    let mut run = Run::new(world);
    run.until("polls of the statement", |world| {
        world.faults_at[&Port::Table].len() < 8
    });
    assert_eq!(
        (run.task.machine.batch.rows(), run.task.machine.next.rows()),
        (3, 97)
    );
    assert_eq!(run.world().statements, [3]);
    let world = run.finish();
    assert_eq!(world.statements, [3, 97]);
    assert_eq!(world.rows, world.expected_rows());
}

#[test]
fn a_consumer_that_is_lost_during_a_write_is_replaced_after_it() {
    let faults = [three_records(), vec![Fault::Fatal]].concat();
    let world = run_with(many(10), Port::Poll, faults);
    assert_eq!(world.statements, [3, 10], "nothing was committed");
    assert_eq!((world.tallies.inserted, world.tallies.existing), (10, 3));
}

#[test]
fn a_circuit_that_opens_undoes_the_next_batch_too() {
    let refused = |n| voucher(0, &format!("{n}"), &format!("{n}"), 13);
    let mut records: Vec<_> = (0..1200).map(refused).collect();
    records.extend((1200..1300).map(|n| voucher(0, &format!("{n}"), &format!("{n}"), 5)));
    let polls = [vec![Fault::None; 1201], vec![Fault::Slow]].concat();
    let mut run = Run::new(with_faults(records, Port::Poll, polls));
    run.until("open", |world| world.circuit_openings == 1);
    assert!(run.task.machine.batch.is_empty() && run.task.machine.next.is_empty());
    let world = run.world();
    assert_eq!(
        (world.commits, world.dead_letters.len(), world.rows.len()),
        (0, 0, 0)
    );
}

#[test]
fn the_first_record_of_an_identity_is_the_row_whatever_its_echoes_say() {
    let records = vec![
        voucher(0, "17", "first", 5),
        voucher(0, "17", "first", 5),
        voucher(0, "17", "other", 5),
        voucher(0, "17", "first", 7),
    ];
    // In one batch, and in a batch each.
    let one_by_one = [Fault::None, Fault::Slow].repeat(60);
    for faults in [Vec::new(), one_by_one] {
        let world = run_with(records.clone(), Port::Poll, faults);
        assert_eq!(world.rows, world.expected_rows());
        let tally = &world.tallies;
        assert_eq!(
            (tally.inserted, tally.existing, tally.different),
            (1, 1, 2),
            "{:?}",
            world.statements
        );
        assert!(world.dead_letters.is_empty());
    }
}

#[test]
fn tombstones_are_skipped_and_counted_and_delete_nothing() {
    let world = run(vec![voucher(0, "17", "a", 5), record(0, "17", None)]);
    assert_eq!((world.rows.len(), world.tallies.tombstones), (1, 1));
}

#[test]
fn a_record_that_cant_be_used_is_a_dead_letter_as_it_came() {
    let junk = record(0, "17", Some(b"\xffjunk"));
    let world = run(vec![
        voucher(0, "1", "a", 5),
        junk.clone(),
        voucher(0, "2", "b", 5),
    ]);
    assert_eq!(world.rows.len(), 2, "the records around it flow");
    let [dead_letter] = &world.dead_letters[..] else {
        panic!("{:?}", world.dead_letters);
    };
    assert_eq!(
        (&dead_letter.key, &dead_letter.value),
        (&junk.key, &junk.value)
    );
    assert_eq!(dead_letter.headers[0], junk.headers[0]);
    assert_eq!(dead_letter.header(dead_letter::REASON), "invalid_json");
    assert_eq!(dead_letter.header(dead_letter::TOPIC), "vouchers");
    assert_eq!(dead_letter.header(dead_letter::OFFSET), "1");
    assert_eq!(dead_letter.header(dead_letter::SERVICE), "sink");
    assert_eq!(world.tallies.dead[&Reason::InvalidJson], 1);
}

#[test]
fn a_row_has_the_trace_context_of_its_record_unless_it_is_malformed() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut traced = voucher(0, "1", "a", 5);
    let header = |value: &str| ("traceparent".to_owned(), Some(value.into()));
    traced.headers.push(header(traceparent));
    let mut broken = voucher(0, "2", "b", 5);
    broken.headers.push(header("drop table"));
    let world = run(vec![traced, broken]);
    let traces: Vec<_> = world.rows.values().map(|row| row.2.as_str()).collect();
    assert_eq!(traces, [traceparent, ""]);
}

#[test]
fn sampled_vouchers_are_reported_when_they_are_durable_with_what_became_of_them() {
    let trace =
        |flags: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    let traced = |mut record: OwnedRecord, flags: &str| {
        let header = ("traceparent".to_owned(), Some(trace(flags).into_bytes()));
        record.headers.push(header);
        record
    };
    let world = run(vec![
        traced(voucher(0, "1", "a", 5), "01"),
        traced(voucher(0, "2", "b", 5), "00"),
        traced(record(0, "3", Some(b"junk")), "01"),
        // The database refuses this row.
        traced(voucher(0, "4", "c", 13), "01"),
        voucher(0, "5", "d", 5),
    ]);
    let expected = [(0, "row"), (2, "dead_letter"), (3, "dead_letter")];
    assert_eq!(world.sampled, expected);
    assert!(world.offsets_committed > 0);
}

#[test]
fn a_row_that_the_database_refuses_is_found_alone_and_its_neighbours_dont_suffer() {
    let mut records = many(64);
    records[40] = voucher(0, "40", "secret-code", 13);
    let world = run(records);
    assert_eq!(world.rows.len(), 63);
    assert_eq!(reasons(&world), ["rejected_by_database"]);
    assert!(world.statements.len() <= 13, "{:?}", world.statements);
    assert_eq!(world.failed_for_data, 6);
    let message = world.dead_letters[0].header(dead_letter::MESSAGE);
    assert!(message.contains("no 13, says the trigger"), "{message}");
    assert!(!message.contains("secret-code"), "{message}");
}

#[test]
fn a_code_of_another_order_is_a_dead_letter_that_names_the_order() {
    let world = run(vec![voucher(0, "1", "same", 5), voucher(0, "2", "same", 5)]);
    assert_eq!(world.rows, world.expected_rows());
    assert_eq!(reasons(&world), ["code_taken"]);
    let dead_letter = &world.dead_letters[0];
    assert_eq!(
        dead_letter.header(dead_letter::OFFSET),
        "1",
        "the later record"
    );
    let message = dead_letter.header(dead_letter::MESSAGE);
    assert!(
        message.contains("order 1 of campaign order-reward"),
        "{message}"
    );
    assert!(!message.contains("same"), "{message}");
}

#[test]
fn two_writers_of_one_voucher_that_meet_make_no_dead_letter() {
    let world = run_with(many(1), Port::Table, vec![Fault::Race; 2]);
    assert_eq!((world.rows.len(), world.dead_letters.len()), (1, 0));
    assert_eq!(world.statements.len(), 3);
}

#[test]
fn when_the_first_record_is_refused_the_next_of_its_identity_has_its_turn() {
    let world = run(vec![
        voucher(0, "1", "a", 13),
        voucher(0, "1", "a", 5),
        voucher(0, "1", "a", 7),
    ]);
    assert_eq!(world.rows, world.expected_rows());
    assert_eq!(world.rows.len(), 1);
    assert_eq!(reasons(&world), ["rejected_by_database"]);
    assert_eq!(world.tallies.different, 1);
}

#[test]
fn a_database_that_is_away_is_waited_for_and_nothing_is_dead() {
    for error in [
        WriteError::Unavailable("connection refused".to_owned()),
        WriteError::NeedsPerson("relation \"vouchers\" does not exist".to_owned()),
        WriteError::Unavailable("the trigger is full of code-3 and code-7".to_owned()),
    ] {
        let mut world = World::new(many(10));
        world.database = Some(error);
        let mut run = Run::new(world);
        run.until("20 seconds", |world| world.now > Duration::from_secs(20));
        {
            let mut world = run.world();
            let blocked = world.blocked.clone().unwrap();
            assert!(!blocked.contains("code-"), "{blocked}");
            assert!(world.kept_alive > 100, "the group is polled");
            assert!(world.statements.len() < 30, "with longer and longer pauses");
            assert_eq!((world.commits, world.dead_letters.len()), (0, 0));
            world.database = None;
        }
        assert!(run.task.is_idle(), "a stop does not wait for it");
        let world = run.finish();
        assert_eq!(world.rows.len(), 10);
        assert_eq!(world.blocked, None, "ready again");
    }
}

#[test]
fn a_statement_without_an_answer_lets_the_group_be_polled() {
    let slow = vec![Fault::Slow; 200];
    let mut run = Run::new(with_faults(many(10), Port::Table, slow));
    let left = |world: &World| world.faults_at[&Port::Table].len();
    run.until("half a second", |world| left(world) < 190);
    assert_eq!(
        run.world().kept_alive,
        0,
        "a quick statement needs no poll of the group"
    );
    run.until("ten seconds", |world| left(world) < 5);
    assert!(run.world().kept_alive > 100);
    assert!(run.world().blocked.is_some(), "not ready");
    assert!(matches!(run.task.state, State::Writing { .. }));
    let world = run.finish();
    assert_eq!((world.statements.len(), world.rows.len()), (1, 10));
}

#[test]
fn rows_whose_answer_was_lost_are_written_once() {
    let world = run_with(many(10), Port::Table, vec![Fault::AnswerLost]);
    assert_eq!(world.rows.len(), 10);
    assert_eq!(world.tallies.existing, 10, "{:?}", world.tallies);
}

#[test]
fn offsets_wait_until_the_dead_letters_are_acknowledged() {
    let mut world = World::new(vec![record(0, "1", Some(b"junk")), voucher(0, "2", "b", 5)]);
    world.broker_refuses_dead_letters = true;
    let mut run = Run::new(world);
    run.until("20 seconds", |world| world.now > Duration::from_secs(20));
    {
        let mut world = run.world();
        assert_eq!((world.commits, world.rows.len()), (0, 1));
        assert!(world.blocked.is_some(), "not ready");
        world.broker_refuses_dead_letters = false;
    }
    let world = run.finish();
    assert_eq!(world.dead_letters.len(), 1);
}

#[test]
fn offsets_that_the_broker_did_not_take_are_committed_later() {
    let world = run_with(many(10), Port::Commit, vec![Fault::Away; 3]);
    assert_eq!((world.commits, world.statements.len()), (1, 1));
    assert_eq!(world.tallies.inserted, 10);
}

#[test]
fn offsets_refused_between_two_generations_are_committed_and_reported_once_all_is_read() {
    // Partition 1 stays here while partition 0 moves.
    let records = vec![voucher(1, "1", "a", 5)];
    let world = run_with(records, Port::Commit, vec![Fault::Rebalance]);
    assert_eq!((world.commits, world.statements.len()), (1, 1));
    assert_eq!(world.offsets_committed, 1);
}

#[test]
fn a_record_whose_schema_is_not_known_yet_waits_and_those_before_it_do_not() {
    let mut run = Run::new(World::new(vec![
        voucher(0, "1", "a", 5),
        avro(0, "2", "b", 7),
        voucher(0, "3", "c", 5),
    ]));
    run.until("the first row", |world| world.rows.len() == 1);
    let world = run.finish();
    assert_eq!(world.statements, [1, 2]);
    assert_eq!(world.rows, world.expected_rows());
}

#[test]
fn an_unknown_schema_is_a_dead_letter() {
    assert_eq!(
        reasons(&run(vec![avro(0, "1", "a", 9)])),
        ["unknown_schema"]
    );
}

#[test]
fn when_most_records_are_dead_letters_the_task_pauses_until_the_cause_is_fixed() {
    let junk = (0..1001).map(|_| record(0, "1", Some(b"junk"))).collect();
    let mut run = Run::new(World::new(junk));
    run.until("two rounds", |world| world.now > Duration::from_secs(15));
    {
        let world = run.world();
        assert_eq!((world.commits, world.dead_letters.len()), (0, 0));
        assert_eq!(world.circuit_openings, 2);
        let why = world.blocked.clone().unwrap();
        assert!(why.contains("invalid_json 1000"), "{why}");
        assert!(world.kept_alive > 100, "the group is polled");
    }
    // The cause is fixed: as if an operator had deleted the junk.
    let fixed = World::new(many(1001));
    run.world().inputs = fixed.inputs;
    let world = run.finish();
    assert_eq!((world.rows.len(), world.dead_letters.len()), (1001, 0));
    assert_eq!(world.blocked, None);
}

#[test]
fn a_person_can_accept_the_dead_letters() {
    let junk = (0..1001).map(|_| record(0, "1", Some(b"junk"))).collect();
    let world = Run::with_breaker(World::new(junk), true).finish();
    assert_eq!(
        (world.dead_letters.len(), world.circuit_openings),
        (1001, 0)
    );
}

#[test]
fn a_database_that_refuses_most_rows_opens_the_circuit_too() {
    let refused = (0..1200)
        .map(|n| voucher(0, &format!("{n}"), &format!("{n}"), 13))
        .collect();
    assert_eq!(refused_amount(), 13.into());
    let mut run = Run::new(World::new(refused));
    run.until("open", |world| world.circuit_openings == 1);
    let world = run.world();
    assert_eq!((world.commits, world.dead_letters.len()), (0, 0));
    let why = world.blocked.clone().unwrap();
    assert!(why.contains("rejected_by_database"), "{why}");
}

#[test]
fn a_partition_that_is_taken_away_during_a_write_is_committed_by_its_next_owner() {
    let records = vec![
        record(0, "1", Some(b"junk")),
        voucher(0, "2", "b", 5),
        voucher(1, "3", "c", 5),
    ];
    let slow = vec![Fault::Slow; 40];
    let mut run = Run::new(with_faults(records, Port::Table, slow));
    run.until("a statement", |world| !world.statements.is_empty());
    run.world().revoke();
    run.until("both rows", |world| world.rows.len() == 2);
    assert_eq!(
        run.world().dead_letters.len(),
        0,
        "only the next owner writes the dead letter"
    );
    run.until("a commit", |world| world.commits == 1);
    {
        let world = run.world();
        assert_eq!(world.committed, Positions::from([(0, 2), (1, 1)]));
        assert_eq!(
            world.dead_letters.len(),
            1,
            "the next owner, here the same task, wrote it"
        );
    }
    assert_eq!(run.finish().tallies.existing, 1);
}

#[test]
fn an_idle_task_steps_over_the_markers_at_the_end() {
    let mut world = World::new(many(3));
    world.markers = true;
    let world = Run::new(world).finish();
    assert_eq!(world.committed, Positions::from([(0, 4)]));
}

#[test]
fn a_consumer_that_cant_go_on_is_replaced() {
    let faults = [vec![Fault::None; 6], vec![Fault::Fatal]].concat();
    let world = run_with(many(10), Port::Poll, faults);
    assert_eq!(world.rows.len(), 10);
}

#[test]
fn a_task_without_partitions_is_ready_once_it_has_joined() {
    let mut run = Run::new(World::new(Vec::new()));
    run.world().blocked = Some("joining the group".to_owned());
    run.until("joined", |world| world.partitions == 2);
    run.step();
    assert_eq!(run.world().blocked, None);
    assert!(run.task.is_idle());
}
