//! Ranges of a topic, which are read outside of any group: which records they have, and that reading ends.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use runtime::kafka::{Bound, KafkaSettings, RangeEvent, RangeReader, TopicRange};
use runtime::record::{InputRecord, Positions};

fn settings(system: &TestSystem) -> KafkaSettings {
    KafkaSettings {
        kafka_bootstrap_servers: system.brokers().to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    }
}

async fn resolve(system: &TestSystem, from: Bound, to: Bound) -> Result<TopicRange> {
    let (settings, topic) = (settings(system), system.topics.order_status.clone());
    Ok(tokio::task::spawn_blocking(move || {
        TopicRange::resolve(&settings, &topic, &from, &to, None)
    })
    .await??)
}

/// Returns the keys of a range, by partition and offset.
async fn keys(system: &TestSystem, range: &TopicRange) -> Result<Vec<String>> {
    let (settings, range) = (settings(system), range.clone());
    tokio::task::spawn_blocking(move || {
        let mut reader = RangeReader::open(&settings, "ranges", &range)?;
        let (mut keys, mut done, mut idle) = (Vec::new(), BTreeSet::new(), 0);
        loop {
            match reader.next(Duration::from_millis(100))? {
                RangeEvent::Record(record) => {
                    let key = InputRecord::key(&record).unwrap_or_default();
                    keys.push((
                        InputRecord::partition(&record),
                        InputRecord::offset(&record),
                        String::from_utf8_lossy(key).into_owned(),
                    ));
                }
                RangeEvent::PartitionDone(partition) => assert!(done.insert(partition)),
                RangeEvent::Nothing => idle += 1,
                RangeEvent::Done => break,
            }
            if idle > 300 {
                bail!("the range does not end; done are {done:?}");
            }
        }
        assert!(done.iter().eq(range.spans.keys()), "{done:?}");
        keys.sort();
        Ok(keys.into_iter().map(|(_, _, key)| key).collect())
    })
    .await?
}

fn record(key: &str) -> NewRecord {
    NewRecord::new(key, "{}")
}

/// Writes one record in a transaction and calls `end`. A transaction that `end` leaves open lasts as long
/// as the returned producer.
fn transact(
    system: &TestSystem,
    key: &str,
    end: impl FnOnce(&BaseProducer) -> rdkafka::error::KafkaResult<()>,
) -> Result<BaseProducer> {
    let wait = Duration::from_secs(20);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", system.brokers())
        .set("transactional.id", format!("{}/{key}", system.name))
        .create()?;
    producer.init_transactions(wait)?;
    producer.begin_transaction()?;
    let sent = producer.send(
        BaseRecord::to(&system.topics.order_status)
            .partition(0)
            .key(key)
            .payload("{}"),
    );
    if let Err((error, _)) = sent {
        return Err(error.into());
    }
    producer.flush(wait)?;
    end(&producer)?;
    Ok(producer)
}

#[tokio::test]
async fn a_range_ends_behind_aborted_committed_and_open_transactions() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let empty = resolve(&system, Bound::Earliest, Bound::Latest).await?;
    assert_eq!(empty.offsets(), 0);
    assert!(keys(&system, &empty).await?.is_empty());

    let wait = Duration::from_secs(20);
    transact(&system, "committed", |producer| {
        producer.commit_transaction(wait)
    })?;
    transact(&system, "aborted", |producer| {
        producer.abort_transaction(wait)
    })?;
    let before = end_to_end::wait::until(
        "the markers of both transactions",
        || async { resolve(&system, Bound::Earliest, Bound::Latest).await },
        |range| range.as_ref().is_ok_and(|range| range.offsets() == 4),
    )
    .await?;
    let open = transact(&system, "open", |_| Ok(()))?;
    system
        .write_orders((0..100).map(|id| record(&id.to_string())).collect())
        .await?;

    // The records of partition 0 from the open transaction on are not part of the range; those of other
    // partitions are.
    let range = resolve(&system, Bound::Earliest, Bound::Latest).await?;
    assert_eq!(range.spans[&0].to, before.spans[&0].to);
    let found = keys(&system, &range).await?;
    assert_eq!(found[0], "committed");
    assert!(!found.iter().any(|key| key == "aborted" || key == "open"));
    // A range that was resolved earlier has the same records after the topic has grown.
    assert_eq!(keys(&system, &before).await?, ["committed"]);
    drop(open);
    Ok(())
}

#[tokio::test]
async fn a_range_is_chosen_by_time_and_by_offsets() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let at = |key: &str, millis: i64| NewRecord {
        timestamp_millis: Some(millis),
        ..record(key)
    };
    let start = 1_780_000_000_000;
    let all: Vec<_> = (0..200)
        .map(|id| at(&id.to_string(), start + i64::from(id)))
        .collect();
    system.write_orders(all).await?;

    let range = resolve(&system, Bound::Time(start + 50), Bound::Time(start + 150)).await?;
    let mut found: Vec<i32> = keys(&system, &range)
        .await?
        .iter()
        .map(|key| key.parse())
        .collect::<Result<_, _>>()?;
    found.sort_unstable();
    assert_eq!(found, (50..150).collect::<Vec<_>>());

    // Timestamps are not in order: records of that time follow later ones and precede earlier ones.
    let astray = [
        ("astray", start + 60),
        ("later", start + 900),
        ("before", start - 900),
    ];
    system
        .write_orders(astray.map(|(key, millis)| at(key, millis)).to_vec())
        .await?;
    let range = resolve(&system, Bound::Time(start + 50), Bound::Time(start + 150)).await?;
    let found = keys(&system, &range).await?;
    assert_eq!(found.len(), 101);
    assert!(found.iter().any(|key| key == "astray"));

    let later = resolve(&system, Bound::Time(start + 1000), Bound::Latest).await?;
    assert_eq!(
        later.offsets(),
        0,
        "a time that no record reaches is the end"
    );

    let named = Bound::Offsets(Positions::from([(1, 3), (2, 1_000_000)]));
    let range = resolve(&system, named, Bound::Latest).await?;
    assert_eq!(range.spans.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(range.spans[&1].from, 3);
    assert_eq!(range.spans[&2].offsets(), 0);
    assert_eq!(keys(&system, &range).await?.len() as u64, range.offsets());
    Ok(())
}
