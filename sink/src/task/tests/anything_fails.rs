//! Any records, any faults: the table is as if the records were written one by one.

use proptest::prelude::*;
use runtime::record::OwnedRecord;

use super::model::{Fault, Run, World, avro, record, voucher};

/// All records of a key are in one partition, as a partitioner places them. Partitions never share a
/// code, because Kafka promises no order between partitions.
fn records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    let one = (0..2_i32, 0..5_u8, 0..6_u8, 0..10_u8).prop_map(|(partition, order, code, kind)| {
        let order = format!("{partition}-{order}");
        let code = format!("code-{partition}-{code}");
        match kind {
            0 => record(partition, &order, None),
            1 => record(partition, &order, Some(b"junk")),
            2 => avro(partition, &order, &code, 7),
            3 => avro(partition, &order, &code, 9),
            4 => voucher(partition, &order, &code, 13),
            5 => voucher(partition, &order, &code, 7),
            _ => voucher(partition, &order, &code, 5),
        }
    });
    prop::collection::vec(one, 0..40)
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let one = prop_oneof![
        8 => Just(Fault::None),
        2 => Just(Fault::Slow),
        1 => Just(Fault::Away),
        1 => Just(Fault::AnswerLost),
        1 => Just(Fault::Conflict),
        1 => Just(Fault::Race),
        1 => Just(Fault::Rebalance),
        1 => Just(Fault::Fatal),
        1 => Just(Fault::KilledAfter),
        1 => Just(Fault::KilledBefore),
    ];
    prop::collection::vec(one, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// The model asserts that no offset is committed past a record without an outcome.
    #[test]
    fn whatever_fails_the_table_is_as_if_the_records_were_written_one_by_one(
        records in records(),
        faults in faults(),
        markers: bool,
    ) {
        let mut world = World::new(records);
        world.faults = faults.into();
        world.markers = markers;
        let world = Run::new(world).finish();
        prop_assert_eq!(&world.rows, &world.expected_rows());
        for record in world.inputs.values().flatten() {
            prop_assert!(world.is_done(record), "{:?}", record);
        }
    }

    #[test]
    fn without_faults_every_record_is_counted_once_and_no_dead_letter_is_repeated(records in records()) {
        let total = records.len() as u64;
        let world = Run::new(World::new(records)).finish();
        prop_assert_eq!(world.tallies.records(), total);
        prop_assert_eq!(world.dead_letters.len() as u64, world.tallies.dead.values().sum::<u64>());
        prop_assert_eq!(world.rows.len() as u64, world.tallies.inserted);
    }

    /// The offsets are reset to the beginning, with and without emptying the table.
    #[test]
    fn a_rebuild_from_the_topic_gives_the_same_table(records in records(), emptied: bool) {
        let first = Run::new(World::new(records.clone())).finish();
        let mut again = World::new(records);
        if !emptied {
            again.rows = first.rows.clone();
        }
        let again = Run::new(again).finish();
        prop_assert_eq!(again.rows, first.rows);
    }
}
