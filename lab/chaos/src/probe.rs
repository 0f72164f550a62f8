//! Whether the cluster itself could take what the product writes: apart from the product, and by
//! clients that know nothing of earlier leaders and coordinators.
//!
//! A round is one transaction for each partition of the transactions' log, with the offsets of a
//! group for each partition of the offsets' log, and records in every partition of a topic that
//! has leaders on every broker, `acks=all`. All clients of a round are new: what a client remembers
//! of a coordinator that is gone is the client's fault, not the cluster's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::coordinator::partition_of;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::oneshot;

/// How many partitions each of the internal topics has: set so in `stage`, one for each broker.
pub(crate) const INTERNAL_PARTITIONS: i32 = 3;

/// Two for each broker.
const PARTITIONS: i32 = 6;

/// A cluster that needs longer is not able.
const DEADLINE: Duration = Duration::from_secs(3);

const TOPIC: &str = "chaos-probe";

/// Asks the cluster.
#[derive(Debug)]
pub(crate) struct Probe {
    brokers: String,
}

impl Probe {
    /// With its topic.
    pub(crate) async fn create(brokers: &str) -> Result<Self> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()?;
        // As many replicas, and as many in sync, as the broker has by default: as for our topics.
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        for created in admin.create_topics([&topic], &options).await? {
            created.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
        }
        Ok(Self {
            brokers: brokers.to_owned(),
        })
    }

    /// One round; an error says what the cluster did not do in time.
    pub(crate) async fn round(&self) -> Result<()> {
        let transactions = (0..INTERNAL_PARTITIONS).map(|partition| {
            let (answer, answered) = oneshot::channel();
            let brokers = self.brokers.clone();
            // Threads of their own: a call that hangs must not hold up the end of the program.
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

/// One transaction whose coordinator, and whose group's coordinator, lead this partition of the
/// internal topics.
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

/// A name that Kafka puts into this partition of an internal topic.
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
