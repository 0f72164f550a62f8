//! Whether Kafka takes work.

use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Succeeds when Kafka answers and its group coordinator works.
pub(super) async fn answers(servers: String) -> Result<()> {
    ask(servers, |_| Ok(())).await
}

/// Succeeds when this broker answers, finds a working group coordinator, and is in sync in every
/// partition of which it has a replica.
pub(super) async fn is_in_sync(address: String, id: i32) -> Result<()> {
    ask(address, move |metadata| {
        if metadata.brokers().iter().all(|broker| broker.id() != id) {
            bail!("broker {id} has not registered yet");
        }
        let behind = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
            .filter(|partition| {
                partition.replicas().contains(&id) && !partition.isr().contains(&id)
            })
            .count();
        if behind > 0 {
            bail!("broker {id} is not in sync in {behind} partitions yet");
        }
        Ok(())
    })
    .await
}

async fn ask(
    servers: String,
    check: impl FnOnce(&Metadata) -> Result<()> + Send + 'static,
) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "stack-ready")
            .set("log_level", "0")
            // A broker that is starting refuses connections: the next try comes soon.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "50")
            .create()?;
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(2))?;
        if metadata.brokers().is_empty() {
            bail!("no broker has registered yet");
        }
        check(&metadata)?;
        // Makes the broker create its offsets topic, if that is missing.
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset("stack-ready", 0, Offset::Invalid)?;
        consumer.committed_offsets(asked, Duration::from_secs(10))?;
        Ok(())
    })
    .await?
}
