//! Orders over HTTP and records beside it, at a bounded rate, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Client, Plan};
use crate::console::{Console, Written};

/// One order every so often; a record to two orders.
const PACE: Duration = Duration::from_millis(50);

/// So many orders are under way at most: while nobody answers, no more come.
const CLIENTS: usize = 64;

/// How many of the last records may be written again.
const REMEMBERED: usize = 200;

/// Works until `stop` says so, then finishes what is under way.
pub(crate) async fn run(
    seed: u64,
    client: Arc<Client>,
    console: Arc<Console>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed ^ 1 << 62);
    let mut tick = tokio::time::interval(PACE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut under_way = JoinSet::new();
    let mut written = Vec::new();
    for number in 0_u64.. {
        tick.tick().await;
        if *stop.borrow() {
            break;
        }
        while let Some(done) = under_way.try_join_next() {
            done??;
        }
        if under_way.len() >= CLIENTS {
            continue;
        }
        let plan = plan(number, &mut random);
        let client = Arc::clone(&client);
        under_way.spawn(async move { client.place(&plan).await });
        if number % 2 == 0 {
            let record = next(number, &mut written, &mut random);
            let console = Arc::clone(&console);
            under_way.spawn(async move { console.write(record).await });
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(())
}

fn plan(number: u64, random: &mut StdRng) -> Plan {
    const TOTALS: [&str; 5] = ["100.00", "120.50", "100000.01", "99.99", "0"];
    const STEPS: [&[&str]; 6] = [
        &["SENT"],
        &["SENT"],
        &["SENT", "DELIVERED"],
        &["SENT", "CANCELLED"],
        &["CANCELLED"],
        &[],
    ];
    Plan {
        name: format!("shop-{number}"),
        named: random.random_bool(0.5),
        total: TOTALS[random.random_range(0..TOTALS.len())],
        steps: STEPS[random.random_range(0..STEPS.len())],
        repeats: random.random_bool(0.25),
    }
}

/// A new record, or one of the last ones again.
fn next(number: u64, written: &mut Vec<Written>, random: &mut StdRng) -> Written {
    if !written.is_empty() && random.random_bool(0.15) {
        return written[random.random_range(0..written.len())].clone();
    }
    let record = Written::draw(number, random);
    if written.len() == REMEMBERED {
        written.swap_remove(random.random_range(0..REMEMBERED));
    }
    written.push(record.clone());
    record
}
