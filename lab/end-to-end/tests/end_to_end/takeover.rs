//! A takeover of transactional ids leaves the transactions of other producers alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use end_to_end::backends::three_brokers;
use end_to_end::system::TestSystem;
use end_to_end::wait;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use runtime::kafka::{
    GroupOffsets, KafkaSettings, Outgoing, Producer, Producers, Subscription, TransactionError,
    TransactionScope,
};
use runtime::record::Positions;

/// A hanging transaction, whose markers were lost in a restart of the broker, cannot be produced at will
/// (`lab/chaos` sees one in a hundred restarts). `hanging_transactions/tests.rs` covers that case.
#[tokio::test]
async fn a_takeover_beside_a_busy_sibling_writes_nothing() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), false).await?;
    let settings = KafkaSettings {
        kafka_bootstrap_servers: system.brokers().to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let group = system.processor_group();
    let vouchers = system.topics.vouchers.as_str();
    let done = |result: Result<(), TransactionError>| result.map_err(|error| anyhow!("{error}"));
    let id = |role| settings.transactional_producer(&format!("{role}-{}", system.name));
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", system.brokers())
        .set("isolation.level", "read_uncommitted")
        .create()?;
    let end = || -> Result<i64> {
        let ends = (0..4).map(|partition| {
            let (_, end) = observer.fetch_watermarks(vouchers, partition, wait::DEADLINE)?;
            Ok(end)
        });
        ends.sum()
    };
    let take_over = || {
        let scope = TransactionScope {
            group: group.clone(),
            source: system.topics.order_status.clone(),
            topics: vec![
                vouchers.to_owned(),
                system.topics.order_status_dead_letters(),
            ],
        };
        let mut producers = Producers::new(vec![id("one")?, id("other")?])
            .ending_hanging_transactions(&settings, scope);
        producers.open()?;
        let give_up = Instant::now() + wait::DEADLINE;
        loop {
            match producers.init(Duration::from_millis(500)) {
                Err(TransactionError::Retriable(_)) if Instant::now() < give_up => {}
                ended => return done(ended),
            }
        }
    };

    take_over()?;
    assert_eq!(end()?, 0, "nothing was open, and nothing is written");

    let config = settings.consumer(&group)?;
    let member = Subscription::join(&config, &system.topics.order_status)?;
    let nobody: BaseConsumer = config.create()?;
    let nobody = nobody.group_metadata().context("no group")?;
    let mut of_sibling = id("sibling")?;
    // Longer than the test takes.
    of_sibling.set("transaction.timeout.ms", "60000");
    let sibling = Producer::new(&of_sibling)?;
    done(sibling.init(wait::DEADLINE))?;
    done(sibling.begin())?;
    let voucher = Outgoing {
        topic: vouchers,
        key: Some(b"1"),
        value: Some(b"{}"),
        headers: &[],
    };
    done(sibling.send(&voucher, wait::DEADLINE))?;
    done(sibling.drain(wait::DEADLINE))?;
    take_over()?;
    assert_eq!(end()?, 1, "records alone hold nothing back");

    let offsets = GroupOffsets::new(member.list(&Positions::from([(0, 1)]))?, nobody);
    done(sibling.send_offsets(offsets, wait::DEADLINE))?;
    take_over()?;
    assert_eq!(
        end()?,
        1,
        "the sibling's offsets are held back, and are its own"
    );

    done(sibling.commit(wait::DEADLINE))?;
    assert_eq!(system.voucher_records().await?.len(), 1);
    let then = end()?;
    take_over()?;
    assert_eq!(end()?, then, "all has ended");
    Ok(())
}
