//! Whoever takes over a transactional id ends what the broker forgot to end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use end_to_end::shop::{Shop, three_brokers};
use end_to_end::wait;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use runtime::kafka::{
    KafkaSettings, Outgoing, Producer, Producers, Reach, Subscription, TransactionError,
};
use runtime::record::Positions;

/// Another's open transaction stands for one of ours that lost its markers in a restart of the
/// broker, which can't be had at will (`lab/chaos` meets it once in a hundred restarts).
#[tokio::test]
async fn what_is_open_is_aborted_at_a_takeover_and_only_then() -> Result<()> {
    let cluster = three_brokers().await;
    let shop = Shop::on(cluster.backends(), false).await?;
    let settings = KafkaSettings {
        kafka_bootstrap_servers: shop.brokers().to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let group = shop.processor_group();
    let vouchers = shop.topics.vouchers.as_str();
    let done = |result: Result<(), TransactionError>| result.map_err(|error| anyhow!("{error}"));
    let id = |role| settings.transactional_producer(&format!("{role}-{}", shop.name));
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", shop.brokers())
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
        let reach = Reach {
            group: group.clone(),
            source: shop.topics.order_status.clone(),
            topics: vec![vouchers.to_owned(), shop.topics.order_status_dead_letters()],
        };
        let producers = Producers::new(&[id("one")?, id("other")?])?;
        let mut producers = producers.aborting_leftovers(&settings, reach)?;
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
    let member = Subscription::join(&config, &shop.topics.order_status)?;
    let nobody: BaseConsumer = config.create()?;
    let nobody = nobody.group_metadata().context("no group")?;
    let holder = Producer::new(&id("holder")?)?;
    done(holder.init(wait::DEADLINE))?;
    done(holder.begin())?;
    let voucher = Outgoing {
        topic: vouchers,
        key: Some(b"1"),
        value: Some(b"{}"),
        headers: &[],
    };
    done(holder.send(&voucher, wait::DEADLINE))?;
    done(holder.drain(wait::DEADLINE))?;
    take_over()?;
    assert_eq!(end()?, 1, "its offsets may count, and so may its vouchers");

    let offsets = member.list(&Positions::from([(0, 1)]))?;
    done(holder.send_offsets(&offsets, &nobody, wait::DEADLINE))?;
    take_over()?;
    let each_ids_record_and_its_marker = 2 * 2;
    assert_eq!(end()?, 1 + each_ids_record_and_its_marker);
    done(holder.abort(wait::DEADLINE))?;
    assert!(shop.voucher_records().await?.is_empty());

    let then = end()?;
    take_over()?;
    assert_eq!(end()?, then, "all has ended");
    Ok(())
}
