//! What must hold at the end of every run, whatever happened.

use std::collections::{BTreeMap, BTreeSet};

use processor::task::Guarantee;
use runtime::dead_letter;
use runtime::record::{Offset, Partition};
use schemas::{Payload, ValueFormat, Voucher};

use crate::world::World;
use crate::world::kafka::log::{PartitionLog, Record};
use crate::world::kafka::relayed::version_of;
use crate::world::kafka::{
    Broker, ORDER_STATUS, ORDER_STATUS_DLQ, RELAYED, VOUCHERS, VOUCHERS_DLQ,
};
use crate::world::workload::{Expected, Workload};

/// The campaign of the simulated processor.
pub(super) const CAMPAIGN: &str = "order-reward";

type Place = (Partition, Offset);

/// Returns whether everything is drained: both groups have committed past the last record of every
/// partition, no transaction is open, and the outbox is empty. A group that a late commit has set back
/// afterwards counts as drained: its members do not read again.
pub(super) fn is_drained(world: &World) -> bool {
    let broker = &world.broker;
    let read = [ORDER_STATUS, VOUCHERS].into_iter().all(|topic| {
        broker.topic(topic).iter().zip(0..).all(|(log, partition)| {
            let group = &broker.groups[topic];
            let highest = group.highest_offset(partition);
            let committed = group.stable_offset(partition);
            !log.has_open_transaction()
                && committed.is_some_and(|offset| log.read(offset.max(highest)).is_none())
        })
    });
    let relay_rests = broker
        .topic(RELAYED)
        .iter()
        .all(|log| !log.has_open_transaction());
    read && relay_rests && world.outbox.is_empty()
}

/// Checks all invariants.
///
/// # Errors
/// The first that does not hold.
pub(super) fn check(world: &World, workload: &Workload) -> Result<(), String> {
    outcomes(world, workload)?;
    rows(world, workload)?;
    relayed(world)?;
    junk(&world.broker, workload)
}

/// Checks that every order status has exactly one outcome: voucher, skip or dead letter. Under
/// at-least-once a voucher or dead letter may be repeated.
fn outcomes(world: &World, workload: &Workload) -> Result<(), String> {
    let broker = &world.broker;
    let vouchers = places(broker, VOUCHERS, "source.partition", "source.offset");
    let dead_letters = places(
        broker,
        ORDER_STATUS_DLQ,
        dead_letter::PARTITION,
        dead_letter::OFFSET,
    );
    for (partition, offset, expected) in &workload.written {
        let place = (*partition, *offset);
        let original = broker
            .log(ORDER_STATUS, *partition)
            .committed()
            .find(|(at, _)| at == offset)
            .map(|(_, record)| record);
        let found = (count(&vouchers, place), count(&dead_letters, place));
        let repeats = world.guarantee == Guarantee::AtLeastOnce;
        let expected_count = match expected {
            Expected::Voucher => (1, 0),
            Expected::Skip => (0, 0),
            Expected::Dead => (0, 1),
        };
        // Compaction may have removed the record before the processor read it.
        let compacted = original.is_none() && found == (0, 0);
        let whole = if repeats {
            (found.0.min(1), found.1.min(1))
        } else {
            found
        };
        if whole != expected_count && !compacted {
            return Err(format!(
                "order status {partition}/{offset}: expected {expected:?}, found {} vouchers and {} dead letters",
                found.0, found.1
            ));
        }
        if let (Some(original), Some(dead_letter)) = (
            original,
            dead_letters.get(&place).and_then(|all| all.first()),
        ) && !is_original(original, dead_letter)
        {
            return Err(format!(
                "the dead letter of {partition}/{offset} is not the original's bytes"
            ));
        }
    }
    let known: BTreeSet<Place> = workload.written.iter().map(|(p, o, _)| (*p, *o)).collect();
    let from_nowhere = vouchers
        .keys()
        .chain(dead_letters.keys())
        .find(|place| !known.contains(place));
    from_nowhere.map_or(Ok(()), |place| {
        Err(format!(
            "an outcome of {place:?}, which was never committed"
        ))
    })
}

fn is_original(original: &Record, dead_letter: &Record) -> bool {
    dead_letter.key == original.key
        && dead_letter.value == original.value
        && dead_letter.headers.starts_with(&original.headers)
}

fn count(all: &BTreeMap<Place, Vec<&Record>>, place: Place) -> usize {
    all.get(&place).map_or(0, Vec::len)
}

/// Returns the committed records of a topic by the partition and offset that their headers name.
fn places<'a>(
    broker: &'a Broker,
    topic: usize,
    partition: &str,
    offset: &str,
) -> BTreeMap<Place, Vec<&'a Record>> {
    let mut all = BTreeMap::<Place, Vec<&Record>>::new();
    for (_, record) in broker.topic(topic).iter().flat_map(|log| log.committed()) {
        let place = || {
            let partition = record.header(partition)?.parse().ok()?;
            Some((partition, record.header(offset)?.parse().ok()?))
        };
        if let Some(place) = place() {
            all.entry(place).or_default().push(record);
        }
    }
    all
}

/// Checks that the table is the fold of the vouchers topic, in which the first record of an identity is its
/// row, and that the eligible orders and no others have a row.
fn rows(world: &World, workload: &Workload) -> Result<(), String> {
    let mut expected = BTreeMap::new();
    for (_, record) in world
        .broker
        .topic(VOUCHERS)
        .iter()
        .flat_map(|log| log.committed())
    {
        if let Ok(Payload::Unframed(value)) = Payload::of(record.value.as_deref())
            && let Ok(voucher) = Voucher::read(record.key.as_deref(), value, ValueFormat::Json)
        {
            expected
                .entry((voucher.campaign.to_string(), voucher.order_id.to_string()))
                .or_insert_with(|| voucher.code.to_string());
        }
    }
    let found: BTreeMap<_, _> = world
        .database
        .rows()
        .map(|(identity, code, _)| {
            let key = (identity.campaign.clone(), identity.order_id.clone());
            (key, code.to_owned())
        })
        .collect();
    if found != expected {
        let differs = expected
            .iter()
            .find(|(key, code)| found.get(*key) != Some(*code))
            .or_else(|| found.iter().find(|(key, _)| !expected.contains_key(*key)));
        let key = differs.map(|(key, _)| key);
        return Err(format!(
            "the table is not the fold of the vouchers topic: {key:?}"
        ));
    }
    let earned: BTreeSet<&str> = found
        .keys()
        .filter(|(campaign, _)| campaign == CAMPAIGN)
        .map(|(_, order)| order.as_str())
        .collect();
    let eligible: BTreeSet<&str> = workload.eligible.iter().map(String::as_str).collect();
    let wrong = earned.symmetric_difference(&eligible).next();
    wrong.map_or(Ok(()), |order| {
        Err(format!(
            "order {order}: eligible or has a row, but not both"
        ))
    })
}

/// Checks that every unusable voucher record has at least one dead letter.
fn junk(broker: &Broker, workload: &Workload) -> Result<(), String> {
    let dead_letters: BTreeSet<&[u8]> = broker
        .topic(VOUCHERS_DLQ)
        .iter()
        .flat_map(|log| log.committed())
        .filter_map(|(_, record)| record.key.as_deref())
        .collect();
    let junk: BTreeSet<&[u8]> = workload.junk.iter().map(Vec::as_slice).collect();
    if dead_letters == junk {
        Ok(())
    } else {
        Err(format!(
            "{} records are junk, {} have a dead letter",
            junk.len(),
            dead_letters.len()
        ))
    }
}

/// Checks that the last relayed version of each order is its newest version.
fn relayed(world: &World) -> Result<(), String> {
    let mut newest = BTreeMap::<String, i64>::new();
    for (_, record) in world
        .broker
        .topic(RELAYED)
        .iter()
        .flat_map(PartitionLog::committed)
    {
        let order = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        newest.insert(order.into_owned(), version_of(record));
    }
    if newest == *world.outbox.versions() {
        Ok(())
    } else {
        Err("the last relayed versions are not the orders' versions".to_owned())
    }
}
