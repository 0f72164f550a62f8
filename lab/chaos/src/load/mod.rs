//! The load: orders over HTTP and records written to the topic, at a bounded rate.

mod orders;
mod records;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;

use orders::Plan;
use records::NewRecord;

pub(crate) use orders::Orders;
pub(crate) use records::Records;

/// The time between two orders; there is one record for two orders.
const INTERVAL: Duration = Duration::from_millis(50);

/// The number of requests in flight: while none is answered, no more are sent.
const MAX_IN_FLIGHT: usize = 64;

/// The number of recent records that may be written again.
const MAX_REPEATABLE: usize = 200;

/// Runs until `stop` is set, then waits for the requests in flight.
pub(crate) async fn run(
    seed: u64,
    orders: Arc<Orders>,
    records: Arc<Records>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed ^ 1 << 62);
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_flight = JoinSet::new();
    let mut written = Vec::new();
    for number in 0_u64.. {
        tick.tick().await;
        if *stop.borrow() {
            break;
        }
        while let Some(done) = in_flight.try_join_next() {
            done??;
        }
        if in_flight.len() >= MAX_IN_FLIGHT {
            continue;
        }
        let plan = plan(number, &mut random);
        let orders = Arc::clone(&orders);
        in_flight.spawn(async move { orders.place(&plan).await });
        if number % 2 == 0 {
            let record = next(number, &mut written, &mut random);
            let records = Arc::clone(&records);
            in_flight.spawn(async move { records.write(record).await });
        }
    }
    while let Some(done) = in_flight.join_next().await {
        done??;
    }
    Ok(())
}

fn plan(number: u64, random: &mut StdRng) -> Plan {
    const TOTALS: [&str; 5] = ["100.00", "120.50", "100000.01", "99.99", "0"];
    const STATUSES: [&[&str]; 6] = [
        &["SENT"],
        &["SENT"],
        &["SENT", "DELIVERED"],
        &["SENT", "CANCELLED"],
        &["CANCELLED"],
        &[],
    ];
    Plan {
        name: format!("shop-{number}"),
        has_id: random.random_bool(0.5),
        total: TOTALS[random.random_range(0..TOTALS.len())],
        statuses: STATUSES[random.random_range(0..STATUSES.len())],
        repeats: random.random_bool(0.25),
    }
}

/// Returns a new record, or a recent one again.
fn next(number: u64, written: &mut Vec<NewRecord>, random: &mut StdRng) -> NewRecord {
    if !written.is_empty() && random.random_bool(0.15) {
        return written[random.random_range(0..written.len())].clone();
    }
    let record = NewRecord::draw(number, random);
    if written.len() == MAX_REPEATABLE {
        written.swap_remove(random.random_range(0..MAX_REPEATABLE));
    }
    written.push(record.clone());
    record
}
