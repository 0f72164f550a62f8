//! What the loop reports about its lag, and about the times of what it commits.

use runtime::record::OwnedRecord;
use runtime::replay::SOURCE_RUN;

use super::many;
use super::model::{Fault, Port, Run, WRITTEN, World, record, voucher};
use super::{run, with_faults};
use crate::ports::WriteError;

#[test]
fn records_are_unsettled_while_the_database_is_away_and_until_their_rows_are_durable() {
    let mut world = World::new(many(3));
    world.database = Some(WriteError::Unavailable("scripted".to_owned()));
    let mut run = Run::new(world);
    run.until("blocked", |world| world.blocked.is_some());
    assert_eq!(run.world().unsettled, [Some(WRITTEN)]);
    run.world().database = None;
    assert_eq!(run.finish().unsettled, [Some(WRITTEN), None]);
}

#[test]
fn records_that_an_open_circuit_undoes_remain_unsettled() {
    let records = (0..1200).map(|n| record(0, &format!("{n}"), Some(b"junk")));
    let mut run = Run::new(World::new(records.collect()));
    run.until("open", |world| world.circuit_openings == 1);
    assert!(run.task.machine.batch.is_empty() && run.task.machine.next.is_empty());
    assert_eq!(run.world().unsettled, [Some(WRITTEN)]);
}

#[test]
fn records_that_are_read_again_after_a_lost_consumer_were_unsettled_all_the_time() {
    let polls = vec![Fault::None, Fault::None, Fault::Fatal];
    let world = Run::new(with_faults(many(3), Port::Poll, polls)).finish();
    assert_eq!(world.unsettled, [Some(WRITTEN), None]);
}

#[test]
fn the_oldest_and_the_newest_voucher_with_a_row_are_measured_unless_they_are_replayed() {
    let mut replayed = written(voucher(0, "replayed", "a", 5), 1);
    let run_header = (SOURCE_RUN.to_owned(), Some(b"may".to_vec()));
    replayed.headers.push(run_header);
    let world = run(vec![
        replayed,
        // The database refuses this row.
        written(voucher(0, "refused", "b", 13), 2),
        written(record(0, "junk", Some(b"junk")), 3),
        written(record(0, "deleted", None), 4),
        written(voucher(0, "1", "c", 5), 7),
        written(voucher(0, "2", "d", 5), 5),
        written(voucher(1, "3", "e", 5), 9),
    ]);
    let times = world.row_times.iter();
    let ranges: Vec<_> = times
        .map(|times| (times.vouchers.range(), times.orders.range()))
        .collect();
    let vouchers = Some((WRITTEN + 5, WRITTEN + 9));
    // The model's orders were all sent at the same time.
    assert_eq!(ranges, [(vouchers, Some((WRITTEN, WRITTEN)))]);
}

/// Makes a record younger by `later` milliseconds.
fn written(mut record: OwnedRecord, later: i64) -> OwnedRecord {
    record.timestamp_millis = Some(WRITTEN + later);
    record
}
