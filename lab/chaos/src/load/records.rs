//! Records written directly to the topic of order statuses, as a person at the console would.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::flow::watch::Watch;
use crate::journal::{Entry, Expected, Journal};

/// A record, and what must become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRecord {
    key: String,
    value: Vec<u8>,
    expected: Expected,
}

impl NewRecord {
    /// Draws the `number`th record at random.
    pub(crate) fn draw(number: u64, random: &mut StdRng) -> Self {
        let key = format!("console-{number}");
        let (value, expected) = match random.random_range(0..100) {
            0..60 => (order(&key, "SENT", "150"), Expected::Voucher),
            60..70 => (order(&key, "sent", "99.99"), Expected::Skip),
            70..80 => (order(&key, "PENDING", "150"), Expected::Skip),
            80..84 => (order(&key, "SENT", "\"12O.00\""), Expected::DeadLetter),
            84..88 => (order(&key, "LOST", "150"), Expected::DeadLetter),
            88..92 => (order("another", "SENT", "150"), Expected::DeadLetter),
            92..95 => (order(&key, "SENT", "-1"), Expected::DeadLetter),
            95..97 => (order(&key, "SENT", "150}{"), Expected::DeadLetter),
            97..99 => (String::new(), Expected::DeadLetter),
            _ => (
                "\0\u{1}\u{2}\u{3}\u{4}avro".to_owned(),
                Expected::DeadLetter,
            ),
        };
        Self {
            key,
            value: value.into_bytes(),
            expected,
        }
    }
}

fn order(id: &str, status: &str, total: &str) -> String {
    format!(r#"{{"order_id":"{id}","status":"{status}","total":{total}}}"#)
}

/// Writes records to one topic.
pub(crate) struct Records {
    producer: FutureProducer,
    topic: String,
    journal: Arc<Journal>,
    watch: Arc<Watch>,
}

impl Records {
    pub(crate) fn new(
        brokers: &str,
        topic: &str,
        journal: Arc<Journal>,
        watch: Arc<Watch>,
    ) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            // A killed broker is running again by then.
            .set("message.timeout.ms", "60000")
            .set("reconnect.backoff.max.ms", "1000")
            .set("log_level", "0")
            .create()?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            journal,
            watch,
        })
    }

    /// Writes one record, and records in the journal whether it was acknowledged.
    pub(crate) async fn write(&self, written: NewRecord) -> Result<()> {
        let record = FutureRecord::to(&self.topic)
            .key(&written.key)
            .payload(&written.value);
        let sent = self.producer.send(record, Duration::from_secs(60)).await;
        if sent.is_ok() && written.expected == Expected::Voucher {
            self.watch.expect(&written.key);
        }
        self.journal.add(Entry::Write {
            place: sent
                .ok()
                .map(|delivery| (delivery.partition, delivery.offset)),
            key: written.key.into_bytes(),
            value: written.value,
            expected: written.expected,
        })
    }
}
