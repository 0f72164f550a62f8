//! What became of the records, read from Postgres and from the topics themselves.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::PgPool;

use crate::backends::Topics;

/// Waiting ends when nothing has changed for this long.
const MAX_IDLE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A dead letter, as it is in its topic.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    pub(super) topic: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) key: String,
    /// The original bytes.
    pub(super) value: Vec<u8>,
}

/// A voucher row to show.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) order_id: String,
    /// The first group of the code; the other groups are a secret.
    pub(super) masked_code: String,
    pub(super) amount: String,
    pub(super) issued_at: String,
}

/// Counts the vouchers, except those of some orders.
pub(super) async fn vouchers_except(vouchers: &PgPool, orders: &[String]) -> Result<i64> {
    Ok(
        sqlx::query_scalar("SELECT count(*) FROM vouchers WHERE order_id <> ALL($1)")
            .bind(orders)
            .fetch_one(vouchers)
            .await?,
    )
}

async fn rows(vouchers: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM vouchers")
        .fetch_one(vouchers)
        .await?)
}

/// Runs `work` and shows the number of new rows meanwhile.
pub(super) async fn while_showing<T>(
    work: impl Future<Output = Result<T>>,
    vouchers: &PgPool,
    before: i64,
    show: impl Fn(i64),
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => show(rows(vouchers).await? - before),
        }
    }
}

/// Waits until there are `expected` rows more than `before`. Returns what is missing when no more
/// rows come.
pub(super) async fn wait_for_rows(
    vouchers: &PgPool,
    before: i64,
    expected: usize,
    show: impl Fn(i64),
) -> Result<Option<String>> {
    let expected = i64::try_from(expected)?;
    let (mut last, mut changed) = (-1, Instant::now());
    loop {
        let now = rows(vouchers).await? - before;
        show(now);
        if now >= expected {
            return Ok(None);
        }
        if now != last {
            (last, changed) = (now, Instant::now());
        }
        if changed.elapsed() > MAX_IDLE {
            return Ok(Some(format!(
                "{now} of {expected} vouchers came, and no more for {} s",
                MAX_IDLE.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the number of vouchers per order.
pub(super) async fn rows_per_order(vouchers: &PgPool) -> Result<HashMap<String, i64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT order_id, count(*) FROM vouchers GROUP BY order_id")
            .fetch_all(vouchers)
            .await?;
    Ok(rows.into_iter().collect())
}

/// Returns the newest rows.
pub(super) async fn samples(vouchers: &PgPool) -> Result<Vec<Sample>> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT order_id, split_part(code, '-', 1), round(amount, greatest(scale(amount), 2))::text || ' ' || currency, \
                to_char(issued_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS \"UTC\"') \
         FROM vouchers ORDER BY created_at DESC, order_id LIMIT 3",
    )
    .fetch_all(vouchers)
    .await?;
    let sample = |(order_id, first, amount, issued_at): (String, String, String, String)| Sample {
        order_id,
        masked_code: format!("{first}-····-····-····"),
        amount,
        issued_at,
    };
    Ok(rows.into_iter().map(sample).collect())
}

/// Returns a consumer that joins no group and commits nothing; `group` only names whose offsets it
/// reads.
fn reader(servers: &str, group: &str) -> Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        // The end of a partition is reported when a fetch finds nothing.
        .set("fetch.wait.max.ms", "20")
        .set("log_level", "0")
        .create()?)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    Ok(metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
        .collect())
}

/// Returns the current ends of topics.
pub(super) async fn ends(servers: &str, topics: &[String]) -> Result<Vec<(String, i32, i64)>> {
    let (servers, topics) = (servers.to_owned(), topics.to_vec());
    tokio::task::spawn_blocking(move || {
        let consumer = reader(&servers, "stack-demo")?;
        let mut ends = Vec::new();
        for topic in topics {
            for partition in partitions(&consumer, &topic)? {
                let (_, end) = consumer.fetch_watermarks(&topic, partition, TIMEOUT)?;
                ends.push((topic.clone(), partition, end));
            }
        }
        Ok(ends)
    })
    .await?
}

/// Returns the dead letters after `begin`.
pub(super) async fn dead_letters(
    servers: &str,
    begin: Vec<(String, i32, i64)>,
) -> Result<Vec<DeadLetter>> {
    let servers = servers.to_owned();
    tokio::task::spawn_blocking(move || {
        let consumer = reader(&servers, "stack-demo")?;
        let mut from = TopicPartitionList::new();
        for (topic, partition, offset) in begin {
            from.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
        }
        let mut dead_letters = Vec::new();
        read_to_the_end(&consumer, &from, |message| {
            let header = |name: &str| {
                message
                    .headers()
                    .and_then(|headers| headers.iter().find(|header| header.key == name)?.value)
                    .map(|value| String::from_utf8_lossy(value).into_owned())
                    .unwrap_or_default()
            };
            dead_letters.push(DeadLetter {
                topic: message.topic().to_owned(),
                reason: header("dlq.reason"),
                message: header("dlq.message"),
                key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                value: message.payload().unwrap_or_default().to_vec(),
            });
            true
        })?;
        Ok(dead_letters)
    })
    .await?
}

/// Waits until the processor and the sink have committed offsets past the last record of their
/// topics. Returns what they have not read when that takes too long. The end offset cannot be
/// compared, because transaction markers follow the last record.
pub(super) async fn wait_until_read(servers: &str, topics: &Topics) -> Result<Option<String>> {
    for (group, topic) in [
        ("processor", &topics.order_status),
        ("sink", &topics.vouchers),
    ] {
        let begun = Instant::now();
        while let Some(behind) = a_partition_behind(servers, group, topic).await? {
            if begun.elapsed() > MAX_IDLE {
                return Ok(Some(format!(
                    "{group} has not read partition {behind} of {topic} to its end within {} s",
                    MAX_IDLE.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(None)
}

async fn a_partition_behind(
    servers: &str,
    group: &'static str,
    topic: &str,
) -> Result<Option<i32>> {
    let (servers, topic) = (servers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer = reader(&servers, group)?;
        let mut asked = TopicPartitionList::new();
        for partition in partitions(&consumer, &topic)? {
            asked.add_partition(&topic, partition);
        }
        let committed = consumer.committed_offsets(asked, TIMEOUT)?;
        let mut from = TopicPartitionList::new();
        for element in committed.elements() {
            let offset = match element.offset() {
                Offset::Offset(offset) => Offset::Offset(offset),
                _ => Offset::Beginning,
            };
            from.add_partition_offset(element.topic(), element.partition(), offset)?;
        }
        let mut behind = None;
        read_to_the_end(&consumer, &from, |message| {
            behind = Some(message.partition());
            false
        })?;
        Ok(behind)
    })
    .await?
}

/// Passes each record up to the ends of the partitions to `each`, until that returns `false`.
fn read_to_the_end(
    consumer: &BaseConsumer,
    from: &TopicPartitionList,
    mut each: impl FnMut(&rdkafka::message::BorrowedMessage<'_>) -> bool,
) -> Result<()> {
    consumer.assign(from)?;
    let mut open = from.count();
    let mut last = Instant::now();
    while open > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                last = Instant::now();
                if !each(&message) {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                last = Instant::now();
                open -= 1;
            }
            // Other errors are transient: the client retries by itself.
            Some(Err(_)) | None => {
                if last.elapsed() > TIMEOUT {
                    bail!("Kafka gave no records for {} s", TIMEOUT.as_secs());
                }
            }
        }
    }
    consumer.unassign()?;
    Ok(())
}
