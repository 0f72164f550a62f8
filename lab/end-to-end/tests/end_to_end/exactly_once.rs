//! Each eligible order has one row, whatever is killed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use end_to_end::backends::three_brokers_alone;
use end_to_end::coordinator::{Coordinates, coordinator};
use end_to_end::system::{START, TestSystem};
use end_to_end::{topic, wait};
use rand::Rng;
use stack::Service;

use crate::load;

const ORDERS: u32 = 20_000;
const KILLS: u32 = 10;

#[tokio::test]
async fn processor_sink_and_broker_are_killed_and_every_eligible_order_has_one_row() -> Result<()> {
    let cluster = three_brokers_alone().await;
    let backends = cluster.backends();
    let system = TestSystem::on(Arc::clone(&backends), true).await?;
    let mut processor = system.processor().await?;
    let mut sink = system.sink().await?;

    // Orders are written during the kills. The writer waits while the broker is down.
    let writing = tokio::spawn({
        let (brokers, topic) = (
            system.brokers().to_owned(),
            system.topics.order_status.clone(),
        );
        async move {
            for some in load::orders(0..ORDERS).chunks(400) {
                topic::write(&brokers, &topic, some.to_vec()).await?;
            }
            anyhow::Ok(())
        }
    });
    for kill in 0..KILLS {
        kill_at_random(&mut processor).await?;
        if kill == KILLS / 2 {
            let group = system.processor_group();
            let broker = coordinator(system.brokers(), Coordinates::Group(&group)).await?;
            let broker = backends.broker(broker)?;
            broker.kill().await?;
            broker.start().await?;
        }
    }
    for _ in 0..KILLS {
        kill_at_random(&mut sink).await?;
    }
    writing.await??;
    processor.wait_ready(START).await?;
    sink.wait_ready(START).await?;
    system.settled().await;

    load::assert_each_eligible_record_has_one_voucher_record(&system).await?;
    load::assert_each_eligible_order_has_one_row(&system, 0..ORDERS).await?;
    assert!(
        system.dead_letters().await?.is_empty(),
        "a fault outside the data is no dead letter"
    );
    Ok(())
}

/// Lets a service work for a random while, kills it, and starts it again at once.
async fn kill_at_random(service: &mut Service) -> Result<()> {
    let moment = Duration::from_millis(rand::rng().random_range(50..1500));
    // The moment of the kill is the fault under test, not a wait for an effect.
    let _ = wait::happens_within(moment, || service.exit_status().is_some()).await;
    service.kill().await?;
    service.restart().await
}
