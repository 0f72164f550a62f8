//! Blocked partitions: the service reports topic, partition and offset, and the documented ways to unblock
//! each of them work.

use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use end_to_end::http::{metric, readiness};
use end_to_end::system::{STOP, TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use stack::Service;

/// More bytes than librdkafka decompresses of zstd (`receive.message.max.bytes`, 100,000,000).
const SPACES: usize = 110_000_000;

const BLOCKED: usize = 1;
const NEIGHBOUR: usize = 2;

fn sent(order_id: &str, partition: usize) -> NewRecord {
    let value = format!(r#"{{"order_id":"{order_id}","status":"SENT","total":"150.00"}}"#);
    NewRecord {
        partition: i32::try_from(partition).ok(),
        ..NewRecord::new(order_id, value)
    }
}

/// Writes a record of some kilobytes on the wire that decompresses to [`SPACES`] bytes.
async fn write_too_large_to_unpack(system: &TestSystem, order_id: &'static str) -> Result<()> {
    let (brokers, topic) = (
        system.brokers().to_owned(),
        system.topics.order_status.clone(),
    );
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("compression.type", "zstd")
            .set("message.max.bytes", "1000000000")
            .create()?;
        let spaces = " ".repeat(SPACES);
        let value =
            format!(r#"{{"order_id":"{order_id}",{spaces}"status":"SENT","total":"150.00"}}"#);
        let record = BaseRecord::to(&topic).partition(i32::try_from(BLOCKED)?);
        let sent = producer.send(record.key(order_id).payload(&value));
        sent.map_err(|(error, _)| error)?;
        producer.flush(wait::DEADLINE)?;
        ensure!(producer.in_flight_count() == 0, "not acknowledged");
        Ok(())
    })
    .await?
}

/// Waits until the processor is not ready for this reason, and returns the part of `/readyz` that says so.
async fn blocked(processor: &Service, reason: &str) -> String {
    let (_, parts) = wait::until(
        "the partition to be told as blocked",
        || async { readiness(processor).await.unwrap_or_default() },
        |(code, parts)| *code == 503 && parts["parts"]["task-0"].to_string().contains(reason),
    )
    .await;
    parts["parts"]["task-0"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

async fn has_vouchers(system: &TestSystem, count: usize) -> Result<()> {
    wait::until(
        "the vouchers of what can be read",
        || async {
            system
                .voucher_records()
                .await
                .map_or(0, |records| records.len())
        },
        |written| *written == count,
    )
    .await;
    Ok(())
}

/// Resets the offset of the blocked partition as docs/troubleshooting.md describes, while the processor is
/// stopped.
async fn reset_offset(system: &TestSystem, to: &str) -> Result<()> {
    let group = system.processor_group();
    let partition = format!("{}:{BLOCKED}", system.topics.order_status);
    wait::until(
        "the group to be empty and its offset to be set",
        || async {
            let arguments = [
                "--reset-offsets",
                "--execute",
                "--group",
                group.as_str(),
                "--topic",
                partition.as_str(),
                "--to-offset",
                to,
            ];
            let tool = "kafka-consumer-groups";
            let output = system.backends.run_tool(tool, arguments, b"").await;
            output.map_or_else(
                |error| error.to_string(),
                |output| String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        },
        |said| said.contains(&system.topics.order_status) && !said.contains("Error"),
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_is_told_and_stepped_over() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let processor = system.processor().await?;
    system.write_orders(vec![sent("1", BLOCKED)]).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    write_too_large_to_unpack(&system, "2").await?;
    system
        .write_orders(vec![sent("3", BLOCKED), sent("4", NEIGHBOUR)])
        .await?;

    let sentence = blocked(&processor, "cannot be read").await;
    let place = format!(
        "partition {BLOCKED} of {} is blocked at offset 1",
        system.topics.order_status
    );
    for said in [
        &place,
        "receive.message.max.bytes",
        "docs/troubleshooting.md",
    ] {
        ensure!(sentence.contains(said), "{said} is not in {sentence}");
    }
    let labels = format!(r#"partition="{BLOCKED}",reason="unreadable""#);
    let gauge = metric(&processor, "checkout_processor_partition_blocked", &labels).await?;
    assert_eq!(gauge, 1);
    let log = std::fs::read_to_string(processor.log())?;
    let errors = log
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains(&place));
    assert_eq!(errors.count(), 1, "told once:\n{log}");
    // The other partition flows, and no record after the batch is read before it.
    has_vouchers(&system, 2).await?;

    // With a larger limit the value can be read, at the price of memory.
    processor.terminate(STOP).await?;
    let larger = system
        .processor_command("a")
        .await?
        .env("KAFKA_PROPERTIES", "receive.message.max.bytes=400000000");
    let processor = ready(larger).await?;
    has_vouchers(&system, 4).await?;
    processor.terminate(STOP).await?;

    // Alternatively the offset is reset to the one after the batch.
    reset_offset(&system, "2").await?;
    let processor = ready(system.processor_command("a").await?).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(readiness(&processor).await?.0, 200);
    Ok(())
}

/// librdkafka continues after a batch with a wrong checksum, so the batch's records would be skipped.
#[tokio::test]
async fn a_batch_with_a_wrong_checksum_is_not_skipped_and_is_read_once_it_is_whole() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for order in [
        sent("1", BLOCKED),
        sent("2", BLOCKED),
        sent("3", BLOCKED),
        sent("4", NEIGHBOUR),
    ] {
        // Each order is written in a batch of its own.
        system.write_orders(vec![order]).await?;
    }
    flip_a_bit_of_order_2(&system)?;
    let processor = system.processor_command("a").await?.start().await?;
    let sentence = blocked(&processor, "cannot be read").await;
    ensure!(sentence.contains("is blocked at offset 1:"), "{sentence}");
    has_vouchers(&system, 2).await?;

    flip_a_bit_of_order_2(&system)?;
    has_vouchers(&system, 4).await?;
    wait::until(
        "the processor to be ready",
        || async { readiness(&processor).await.unwrap_or_default() },
        |(code, _)| *code == 200,
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn a_backfill_ends_at_a_batch_that_cannot_be_read_and_names_it() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for order in [sent("1", BLOCKED), sent("2", BLOCKED), sent("3", BLOCKED)] {
        system.write_orders(vec![order]).await?;
    }
    flip_a_bit_of_order_2(&system)?;
    let answer = system
        .run_processor(&["backfill", "--name", "damaged"], &[])
        .await?;
    ensure!(answer.code == 1, "{answer:?}");
    let place = format!("partition {BLOCKED} of {}", system.topics.order_status);
    for said in [&place, "from offset 1", "cannot be read"] {
        ensure!(answer.stderr.contains(said), "{answer:?}");
    }
    Ok(())
}

/// Flips a bit in the broker's segment file, as a bad disk might. A second call restores it.
fn flip_a_bit_of_order_2(system: &TestSystem) -> Result<()> {
    let partition = format!("{}-{BLOCKED}", system.topics.order_status);
    let data = system.backends.directory().join("kafka/1/data");
    let segment = data.join(partition).join("00000000000000000000.log");
    let bytes = std::fs::read(&segment)?;
    // The bit is after the searched text, so that the second call finds the text again.
    let sign = br#""order_id":"2","status":"#;
    let found = bytes.windows(sign.len()).position(|part| part == sign);
    let place = found.context("order 2 is not in the segment")? + sign.len() + 2;
    let file = std::fs::OpenOptions::new().write(true).open(&segment)?;
    file.write_all_at(&[bytes[place] ^ 1], u64::try_from(place)?)?;
    Ok(())
}

#[tokio::test]
async fn an_offset_beyond_the_log_is_told_and_waits_for_a_person() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let processor = system.processor().await?;
    system.write_orders(vec![sent("1", BLOCKED)]).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let end = topic::read(system.brokers(), &system.topics.order_status)
        .await?
        .len();
    assert_eq!(end, 1);
    processor.terminate(STOP).await?;

    // As after an unclean leader election: the group's offset is beyond the end of the log.
    commit_offset(&system, 500).await?;
    let processor = system.processor_command("a").await?.start().await?;
    let sentence = blocked(&processor, "from 0 to before 1").await;
    for said in [
        "offset 500 is not in its log",
        "a person's decision",
        "docs/troubleshooting.md",
    ] {
        ensure!(sentence.contains(said), "{said} is not in {sentence}");
    }
    let place = format!(r#"partition="{BLOCKED}""#);
    let offset = metric(
        &processor,
        "checkout_processor_partition_blocked_offset",
        &place,
    )
    .await?;
    assert_eq!(offset, 500);
    system
        .write_orders(vec![sent("2", NEIGHBOUR), sent("3", BLOCKED)])
        .await?;
    has_vouchers(&system, 2).await?;
    processor.terminate(STOP).await?;

    reset_offset(&system, "1").await?;
    let _processor = ready(system.processor_command("a").await?).await?;
    has_vouchers(&system, 3).await?;
    Ok(())
}

/// Commits an offset beyond the end of the log, which Kafka's own tool refuses to do.
async fn commit_offset(system: &TestSystem, offset: i64) -> Result<()> {
    let (brokers, topic) = (
        system.brokers().to_owned(),
        system.topics.order_status.clone(),
    );
    let group = system.processor_group();
    wait::until(
        "the group to be empty and its offset to be set",
        || {
            let (brokers, topic, group) = (brokers.clone(), topic.clone(), group.clone());
            async move {
                tokio::task::spawn_blocking(move || {
                    commit_blocking(&brokers, &group, &topic, offset)
                })
                .await
                .map_err(anyhow::Error::from)
                .flatten()
                .map_err(|error| error.to_string())
            }
        },
        Result::is_ok,
    )
    .await
    .map_err(anyhow::Error::msg)
}

fn commit_blocking(brokers: &str, group: &str, topic: &str, offset: i64) -> Result<()> {
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .create()?;
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(
        topic,
        i32::try_from(BLOCKED)?,
        rdkafka::Offset::Offset(offset),
    )?;
    client.commit(&list, CommitMode::Sync)?;
    Ok(())
}
