//! Memory behind a backlog: what each service holds at most while millions of records wait for it.

use anyhow::Result;
use end_to_end::shop::{STOP, ready};

use super::ingress::fill_outbox;
use super::{processor, relay, sink};
use crate::figure::{Figure, Target};
use crate::rig::{self, Rig};
use crate::usage;

const LEG: &str = "memory";

/// Beyond this a service holds its backlog instead of a part of it: 5,000,000 records are 900 MiB.
const BOUND_MIB: f64 = 160.0;

/// What each statement waits for before it writes, as if the table were far away and busy.
const SLOW_TABLE: [&str; 2] = [
    "CREATE FUNCTION wait_a_while() RETURNS trigger LANGUAGE plpgsql
     AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END'",
    "CREATE TRIGGER slow BEFORE INSERT ON vouchers
     FOR EACH STATEMENT EXECUTE FUNCTION wait_a_while()",
];

/// The three services, each with its backlog.
///
/// # Errors
/// When one does not drain.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let (shop, format) = rig.shop(true).await?;
    let orders = rig.records(5_000_000);
    rig::write_orders(&shop, orders, format).await?;
    let group = shop.processor_group();
    let command = processor::command(&shop, "exactly_once", &group).await?;
    let drained = rig::drain(&shop, command, &group, &shop.topics.order_status).await?;
    let processor = peak(
        &format!("processor, {orders} orders"),
        drained.usage.peak_mib,
    );

    // Its vouchers are the sink's backlog.
    ready(shop.sink_command("first").await?)
        .await?
        .kill()
        .await?;
    shop.execute_on_vouchers("TRUNCATE vouchers").await?;
    for statement in SLOW_TABLE {
        shop.execute_on_vouchers(statement).await?;
    }
    let drained = sink::run(&shop, "slow").await?;
    let sink = peak(
        &format!("sink, {} vouchers, a slow table", orders / 5),
        drained.usage.peak_mib,
    );
    Ok(vec![processor, sink, producer(rig, orders).await?])
}

/// An outbox that filled while the relay was away.
async fn producer(rig: &Rig, rows: u32) -> Result<Figure> {
    let (shop, _) = rig.shop(true).await?;
    ready(shop.producer_command("first").await?)
        .await?
        .terminate(STOP)
        .await?;
    fill_outbox(&shop, rows).await?;
    let producer = ready(shop.producer_command("bench").await?).await?;
    relay::published(&shop).await?;
    let peak_mib = usage::of(producer.pid())?.peak_mib;
    producer.terminate(STOP).await?;
    Ok(peak(&format!("producer, {rows} outbox rows"), peak_mib))
}

fn peak(case: &str, mib: f64) -> Figure {
    Figure::new(LEG, case, "peak RSS", "MiB", &[mib]).should(Target::AtMost(BOUND_MIB))
}
