//! Whether the cluster itself accepts what the product writes: independently of the product, with
//! clients that know no earlier leaders and coordinators.
//!
//! A round is one transaction for each partition of the transaction log, with the offsets of a group
//! for each partition of the offsets topic, and records in every partition of a topic that has
//! leaders on every broker, with `acks=all`. All clients of a round are new: a stale coordinator is
//! the client's fault, not the cluster's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::coordinator::partition_of;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::oneshot;

/// The number of partitions of each internal topic, one for each broker; set in `stage`.
pub(crate) const INTERNAL_PARTITIONS: i32 = 3;

/// Two for each broker.
const PARTITIONS: i32 = 6;

/// A cluster that needs longer is not available.
const DEADLINE: Duration = Duration::from_secs(3);

const TOPIC: &str = "chaos-probe";

/// Probes the cluster.
#[derive(Debug)]
pub(crate) struct Probe {
    brokers: String,
}

impl Probe {
    /// Creates the probe's topic.
    pub(crate) async fn create(brokers: &str) -> Result<Self> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()?;
        // The broker's default numbers of replicas and of replicas in sync, as for our topics.
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        for created in admin.create_topics([&topic], &options).await? {
            created.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
        }
        Ok(Self {
            brokers: brokers.to_owned(),
        })
    }

    /// Runs one round. An error says what the cluster did not do in time.
    pub(crate) async fn round(&self) -> Result<()> {
        let transactions = (0..INTERNAL_PARTITIONS).map(|partition| {
            let (answer, answered) = oneshot::channel();
            let brokers = self.brokers.clone();
            // Own threads: a call that hangs must not block the end of the program.
            std::thread::spawn(move || {
                let _ = answer.send(transaction(&brokers, partition));
            });
            async move {
                tokio::time::timeout(DEADLINE, answered)
                    .await
                    .with_context(|| format!("no answer for {} s", DEADLINE.as_secs()))?
                    .context("the thread ended")?
            }
        });
        futures::future::try_join_all(transactions).await?;
        Ok(())
    }
}

/// Commits a transaction whose coordinator, and whose group's coordinator, is the leader of this
/// partition of the internal topics.
fn transaction(brokers: &str, coordinated_by: i32) -> Result<()> {
    let name = name_in(coordinated_by);
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", brokers)
        .set("log_level", "0")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "200");
    let consumer: BaseConsumer = client.clone().set("group.id", &name).create()?;
    let group = consumer.group_metadata().context("no group")?;
    let producer: BaseProducer = client
        .set("transactional.id", &name)
        .set("transaction.timeout.ms", "5000")
        .set("message.timeout.ms", "3000")
        .create()?;
    producer.init_transactions(DEADLINE)?;
    producer.begin_transaction()?;
    let mut offsets = TopicPartitionList::new();
    for partition in (0..PARTITIONS).filter(|at| at % INTERNAL_PARTITIONS == coordinated_by) {
        let record = BaseRecord::<str, str>::to(TOPIC)
            .partition(partition)
            .payload("probe");
        producer.send(record).map_err(|(error, _)| error)?;
        offsets.add_partition_offset(TOPIC, partition, Offset::Offset(1))?;
    }
    producer.flush(DEADLINE)?;
    producer.send_offsets_to_transaction(&offsets, &group, DEADLINE)?;
    producer.commit_transaction(DEADLINE)?;
    ensure!(producer.in_flight_count() == 0, "records are left");
    Ok(())
}

/// Returns a name that Kafka stores in this partition of an internal topic.
fn name_in(partition: i32) -> String {
    let mut number = 0_u32;
    loop {
        let name = format!("{TOPIC}-{number}");
        if partition_of(&name, INTERNAL_PARTITIONS) == partition {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_a_name() {
        let names: Vec<_> = (0..INTERNAL_PARTITIONS).map(name_in).collect();
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once);
    }
}
