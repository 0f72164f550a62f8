//! The peak memory of each service while millions of records wait for it.

use anyhow::Result;
use end_to_end::system::{STOP, ready};

use super::ingress::fill_outbox;
use super::{processor, relay, sink};
use crate::figure::{Figure, Target};
use crate::rig::{self, Rig};
use crate::usage;

const LEG: &str = "memory";

/// A service that needs more holds its backlog in memory: 5,000,000 records are 900 MiB.
const BOUND_MIB: f64 = 160.0;

/// Delays each statement, as if the table were remote and busy.
const SLOW_TABLE: [&str; 2] = [
    "CREATE FUNCTION wait_a_while() RETURNS trigger LANGUAGE plpgsql
     AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END'",
    "CREATE TRIGGER slow BEFORE INSERT ON vouchers
     FOR EACH STATEMENT EXECUTE FUNCTION wait_a_while()",
];

/// Measures the three services, each with its backlog.
///
/// # Errors
/// When one does not drain.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let (system, format) = rig.system(true).await?;
    let orders = rig.records(5_000_000);
    rig::write_orders(&system, orders, format).await?;
    let group = system.processor_group();
    let command = processor::command(&system, "exactly_once", &group).await?;
    let drained = rig::drain(&system, command, &group, &system.topics.order_status).await?;
    let processor = peak(
        &format!("processor, {orders} orders"),
        drained.usage.peak_mib,
    );

    // Its vouchers are the sink's backlog.
    ready(system.sink_command("first").await?)
        .await?
        .kill()
        .await?;
    system.execute_on_vouchers("TRUNCATE vouchers").await?;
    for statement in SLOW_TABLE {
        system.execute_on_vouchers(statement).await?;
    }
    let drained = sink::run(&system, "slow").await?;
    let sink = peak(
        &format!("sink, {} vouchers, a slow table", orders / 5),
        drained.usage.peak_mib,
    );
    Ok(vec![processor, sink, producer(rig, orders).await?])
}

/// Measures an outbox that filled while the relay was not running.
async fn producer(rig: &Rig, rows: u32) -> Result<Figure> {
    let (system, _) = rig.system(true).await?;
    ready(system.producer_command("first").await?)
        .await?
        .terminate(STOP)
        .await?;
    fill_outbox(&system, rows).await?;
    let producer = ready(system.producer_command("bench").await?).await?;
    relay::published(&system).await?;
    let peak_mib = usage::of(producer.pid())?.peak_mib;
    producer.terminate(STOP).await?;
    Ok(peak(&format!("producer, {rows} outbox rows"), peak_mib))
}

fn peak(case: &str, mib: f64) -> Figure {
    Figure::new(LEG, case, "peak RSS", "MiB", &[mib]).should(Target::AtMost(BOUND_MIB))
}
