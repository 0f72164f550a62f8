//! Faults of a cluster of several brokers: restarts in turn, leaders that move, most brokers killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use stack::{Backend, Backends};

/// Stops and starts all brokers in turn, as a rolling upgrade does: each one when the one before is
/// in sync again.
pub(crate) async fn restart_in_turn(backends: &Backends) -> Result<()> {
    for broker in backends.brokers() {
        broker.stop().await?;
        broker.start().await?;
    }
    Ok(())
}

/// Kills all brokers but one, so that every partition has too few replicas in sync.
pub(crate) async fn kill_all_but(
    backends: &Backends,
    survivor: usize,
    lasts: Duration,
) -> Result<()> {
    let others: Vec<&Backend> = (0..)
        .zip(backends.brokers())
        .filter_map(|(index, broker)| (index != survivor).then_some(broker))
        .collect();
    try_join_all(others.iter().map(|broker| broker.kill())).await?;
    tokio::time::sleep(lasts).await;
    try_join_all(others.iter().map(|broker| broker.start())).await?;
    Ok(())
}

/// Moves the leadership of every partition to another replica, and so the coordination of every group
/// and transaction to another broker: rotates the replicas of each partition by `rotation` places and
/// elects the first ones.
pub(crate) async fn move_leaders(backends: &Backends, rotation: usize) -> Result<()> {
    let brokers = backends.bootstrap_servers().to_owned();
    let replicas = tokio::task::spawn_blocking(move || replicas(&brokers)).await??;
    let partitions: Vec<Value> = replicas
        .into_iter()
        .map(|((topic, partition), mut replicas)| {
            let by = rotation % replicas.len().max(1);
            replicas.rotate_left(by);
            json!({"topic": topic, "partition": partition, "replicas": replicas})
        })
        .collect();
    let plan = backends.directory().join("leaders.json");
    let text = json!({"version": 1, "partitions": partitions}).to_string();
    tokio::fs::write(&plan, text)
        .await
        .with_context(|| format!("{} cannot be written", plan.display()))?;
    let reassign = ["--execute", "--reassignment-json-file", path(&plan)?];
    run(backends, "kafka-reassign-partitions", &reassign).await?;
    let elect = ["--election-type", "preferred", "--all-topic-partitions"];
    run(backends, "kafka-leader-election", &elect).await
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

async fn run(backends: &Backends, tool: &str, arguments: &[&str]) -> Result<()> {
    let output = backends
        .run_tool(tool, arguments.iter().copied(), b"")
        .await?;
    ensure!(
        output.status.success(),
        "{tool}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Returns the replicas of each partition of each topic, the preferred leader first.
fn replicas(brokers: &str) -> Result<BTreeMap<(String, i32), Vec<i32>>> {
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let metadata = observer.fetch_metadata(None, Duration::from_secs(20))?;
    Ok(metadata
        .topics()
        .iter()
        .flat_map(|topic| {
            topic.partitions().iter().map(|partition| {
                let place = (topic.name().to_owned(), partition.id());
                (place, partition.replicas().to_vec())
            })
        })
        .collect())
}
