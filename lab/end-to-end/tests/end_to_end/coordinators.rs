//! On three brokers: the coordinator of the group or of the transactions goes away while orders flow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::backends::three_brokers_alone;
use end_to_end::coordinator::{Coordinates, coordinator};
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use stack::{Backend, Service};

use crate::load;

const PARTITIONS: u32 = 4;

/// The deadline for the flow to resume after a broker has gone away: the broker's session (6 s), and the
/// time to find the next coordinator on a loaded machine.
const RESUMED: Duration = Duration::from_secs(30);

/// Returns the ids of the orders, one for each partition, whose rows show that the flow continues after a
/// fault. Those of the load are lower.
fn markers(round: u32) -> Vec<u32> {
    let numbers = round * PARTITIONS..(round + 1) * PARTITIONS;
    // Multiples of five are eligible, as in the load.
    numbers.map(|number| 1_000_000 + 5 * number).collect()
}

#[derive(Clone, Copy, Debug)]
enum Away {
    Killed,
    Paused,
    Restarted,
}

#[tokio::test]
async fn a_coordinator_goes_away_and_the_flow_resumes_without_it() -> Result<()> {
    let cluster = three_brokers_alone().await;
    let backends = cluster.backends();
    let system = TestSystem::on(cluster.backends(), false).await?;
    let processor = system.processor().await?;
    let sink = system.sink().await?;
    let (processors, sinks) = (system.processor_group(), system.sink_group());
    let transactional_id = format!("{processors}/1/0");
    let faults = [
        (Coordinates::Group(&processors), Away::Killed),
        (Coordinates::Transactions(&transactional_id), Away::Paused),
        (Coordinates::Group(&sinks), Away::Restarted),
        (Coordinates::Group(&processors), Away::Paused),
        (Coordinates::Transactions(&transactional_id), Away::Killed),
    ];

    let stop = AtomicBool::new(false);
    let play = async {
        for (round, (of, away)) in (0..).zip(faults) {
            let broker = backends.broker(coordinator(system.brokers(), of).await?)?;
            take_away(broker, away).await?;
            resumes(&system, &markers(round), &format!("{of:?} {away:?}")).await?;
            give_back(broker, away).await?;
            stays(&processor)?;
            stays(&sink)?;
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let ((), orders) = futures::try_join!(play, write_until(&stop, &system))?;
    ensure!(orders > 1_000, "only {orders} orders: too little load");

    system.settled().await;
    load::assert_each_eligible_record_has_one_voucher_record(&system).await?;
    let mut with_row: Vec<u32> = system
        .vouchers()
        .await?
        .iter()
        .map(|row| row.order_id.parse())
        .collect::<Result<_, _>>()?;
    with_row.sort_unstable();
    let eligible: Vec<u32> = (0..orders)
        .filter(|id| load::is_eligible(*id))
        .chain((0..5).flat_map(markers))
        .collect();
    assert_eq!(with_row, eligible, "one row for each eligible order");
    assert!(system.dead_letters().await?.is_empty());
    Ok(())
}

async fn take_away(broker: &Backend, away: Away) -> Result<()> {
    match away {
        Away::Killed => broker.kill().await,
        Away::Paused => broker.pause(),
        Away::Restarted => broker.stop().await,
    }
}

async fn give_back(broker: &Backend, away: Away) -> Result<()> {
    match away {
        Away::Killed | Away::Restarted => broker.start().await,
        Away::Paused => {
            broker.resume()?;
            broker.wait_ready().await
        }
    }
}

/// Writes one order to each partition, and waits for their rows.
async fn resumes(system: &TestSystem, markers: &[u32], what: &str) -> Result<()> {
    let ids: Vec<String> = markers.iter().map(u32::to_string).collect();
    let records = (0..).zip(&ids).map(|(partition, id)| NewRecord {
        partition: Some(partition),
        ..NewRecord::new(
            id.as_str(),
            format!(r#"{{"order_id":"{id}","status":"SENT","total":100}}"#),
        )
    });
    system.write_orders(records.collect()).await?;
    let rows = || async {
        sqlx::query_scalar("select count(*) from vouchers where order_id = any($1)")
            .bind(&ids)
            .fetch_one(system.vouchers_database())
            .await
            .unwrap_or(0_i64)
    };
    wait::until_within(
        RESUMED,
        &format!("a row of each partition after {what}"),
        rows,
        |rows| *rows == i64::from(PARTITIONS),
    )
    .await;
    Ok(())
}

/// Checks that a service has not ended: it waits until the coordinator is back.
fn stays(service: &Service) -> Result<()> {
    ensure!(
        service.exit_status().is_none(),
        "{} ended; its log: {}",
        service.name(),
        service.log().display()
    );
    Ok(())
}

/// Writes orders until `stop` is set; returns their number.
async fn write_until(stop: &AtomicBool, system: &TestSystem) -> Result<u32> {
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let mut orders = 0;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let some = load::orders(orders..orders + 50);
        topic::write(system.brokers(), &system.topics.order_status, some).await?;
        orders += 50;
    }
    Ok(orders)
}
