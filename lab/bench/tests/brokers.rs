//! Legs can run on a cluster of several brokers, and what Kafka uses is what all of them use.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bench::drain;
use bench::rig::{self, Rig};
use bench::usage;

#[tokio::test(flavor = "multi_thread")]
async fn on_three_brokers_a_topic_is_read_and_the_cpu_of_all_is_counted() {
    const ORDERS: u32 = 1_000;
    let rig = Rig::start(true, 3).await;
    let (system, format) = rig.system(false).await.unwrap();
    rig::write_orders(&system, ORDERS, format).await.unwrap();
    let (brokers, topic) = (
        system.brokers().to_owned(),
        system.topics.order_status.clone(),
    );
    tokio::task::spawn_blocking(move || drain::bare(&brokers, &topic, ORDERS.into()))
        .await
        .unwrap()
        .unwrap();

    let each: Vec<Duration> = system
        .backends
        .brokers()
        .iter()
        .map(|broker| usage::of_family(broker.pid().unwrap()).unwrap())
        .collect();
    assert_eq!(each.len(), 3);
    let all: Duration = each.iter().sum();
    let counted = rig::kafka_cpu(&system).unwrap();
    assert!(counted >= all, "{counted:?} of {each:?}");
}
