//! Several processors, and two processors with the same name.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use end_to_end::backends::three_brokers;
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::NewRecord;
use end_to_end::wait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use runtime::kafka::{
    AssignmentChange, GroupConsumer as _, GroupOffsets, KafkaSettings, Membership,
    MembershipObserver, Polled, Producer, Subscription,
};
use runtime::record::{InputRecord as _, Positions};

use crate::load;

#[tokio::test]
async fn rebalances_under_load_lose_nothing_and_repeat_nothing() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), true).await?;
    let first = ready(system.processor_command("a").await?.arg("--tasks=2")).await?;
    let orders = load::orders(0..6_000);
    let writing = tokio::spawn({
        let (brokers, topic) = (
            system.brokers().to_owned(),
            system.topics.order_status.clone(),
        );
        let orders = orders.clone();
        async move {
            for some in orders.chunks(500) {
                end_to_end::topic::write(&brokers, &topic, some.to_vec()).await?;
            }
            anyhow::Ok(())
        }
    });
    let second = ready(system.processor_command("b").await?).await?;
    second.terminate(end_to_end::system::STOP).await?;
    let third = ready(system.processor_command("c").await?).await?;
    first.kill().await?;
    writing.await??;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    load::assert_each_eligible_record_has_one_voucher_record(&system).await?;
    assert!(system.dead_letters().await?.is_empty());
    drop(third);
    Ok(())
}

#[tokio::test]
async fn of_two_processors_with_one_name_the_one_that_loses_says_why() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), true).await?;
    let first = ready(system.processor_command("same").await?).await?;
    let second = system.processor_command("same").await?.start().await?;
    let ended = wait::until(
        "one of the two to end",
        || async { (first.exit_status(), second.exit_status()) },
        |(first, second)| first.is_some() || second.is_some(),
    )
    .await;
    let loser = if ended.0.is_some() { &first } else { &second };
    let status = loser.wait(Duration::from_secs(1)).await?;
    assert_eq!(status.code(), Some(1));
    let log = std::fs::read_to_string(loser.log())?;
    assert!(
        log.contains("PROCESSOR_INSTANCE_ID") && log.contains("/same/0"),
        "{log}"
    );

    // The other processor continues.
    system
        .write_orders(vec![NewRecord::new(
            "1",
            r#"{"order_id":"1","status":"SENT","total":100}"#,
        )])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(system.voucher_records().await?.len(), 1);
    Ok(())
}

/// On a real coordinator, this distinguishes a second process from an earlier run of the same instance.
#[tokio::test]
async fn a_name_is_in_the_group_as_long_as_a_process_heartbeats_it() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let settings = KafkaSettings {
        kafka_bootstrap_servers: system.brokers().to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let group = format!("named-{}", system.name);
    let observer = MembershipObserver::new(&settings, &group)?;
    let slice = Duration::from_secs(1);
    let mut config = settings.consumer(&group)?;
    config.set("group.instance.id", "system-0");
    let mut member = Subscription::join(&config, &system.topics.order_status)?;
    let end = Instant::now() + wait::DEADLINE;
    while observer.membership_of("system-0", slice) != Membership::Present {
        ensure!(Instant::now() < end, "the member is not seen");
        member.keep_alive(Duration::from_millis(100));
    }
    assert_eq!(observer.membership_of("system", slice), Membership::Absent);
    // A static member does not leave its group when it is closed; its heartbeats end here.
    drop(member);
    let mut seen = Membership::Present;
    while seen != Membership::Absent {
        ensure!(Instant::now() < end, "the member is still {seen:?}");
        seen = observer.membership_of("system-0", slice);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A static member of librdkafka keeps its place when it is closed; a sink's leaves all the same.
#[tokio::test]
async fn a_stopped_sink_leaves_its_group_before_it_ends() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let sink = system.sink().await?;
    assert_eq!(members(&system, system.sink_group(), "sink-").await?, 2);
    sink.terminate(end_to_end::system::STOP).await?;
    assert_eq!(members(&system, system.sink_group(), "sink-").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_stopped_processor_leaves_its_group_if_another_can_take_over() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let of_group = |named| members(&system, system.processor_group(), named);
    let first = ready(system.processor_command("a").await?.arg("--tasks=2")).await?;
    let second = ready(system.processor_command("b").await?).await?;
    wait::until(
        "three members",
        || of_group(""),
        |count| count.as_ref().is_ok_and(|count| *count == 3),
    )
    .await?;

    first.terminate(end_to_end::system::STOP).await?;
    assert_eq!(of_group("").await?, 1, "both tasks have left");
    assert_eq!(of_group("b-").await?, 1);

    // As the last instance it stays in the group: nobody else could read its partitions, and a successor
    // takes them back without a rebalance.
    second.terminate(end_to_end::system::STOP).await?;
    assert_eq!(of_group("b-").await?, 1);
    Ok(())
}

/// Returns the number of members of the group, and checks that their names begin with `name`.
async fn members(system: &TestSystem, group: String, name: &str) -> Result<usize> {
    let (brokers, name) = (system.brokers().to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || {
        let observer: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()?;
        let groups = observer
            .client()
            .fetch_group_list(Some(&group), wait::DEADLINE)?;
        let group = groups.groups().first().context("no such group")?;
        for member in group.members() {
            ensure!(
                member.id().starts_with(&name),
                "{} is a member too",
                member.id()
            );
        }
        Ok(group.members().len())
    })
    .await?
}

#[tokio::test]
async fn tasks_without_a_partition_are_ready_to_take_over() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), true).await?;
    let _processor = ready(system.processor_command("many").await?.arg("--tasks=6")).await?;
    Ok(())
}

/// librdkafka keeps a partition paused when it is revoked: found by `lab/chaos`, seed 1.
#[tokio::test]
async fn a_partition_that_is_lost_during_a_wait_is_read_again_once_it_is_back() -> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), false).await?;
    let settings = KafkaSettings {
        kafka_bootstrap_servers: system.brokers().to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let config = settings.consumer(&format!("waits-{}", system.name))?;
    let topic = &system.topics.order_status;
    let end = Instant::now() + wait::DEADLINE;
    let slice = Duration::from_millis(100);

    let mut waiting = Subscription::join(&config, topic)?;
    let mut assigned = 0;
    while assigned < 4 {
        ensure!(Instant::now() < end, "only {assigned} partitions came");
        waiting.keep_alive(slice);
        for change in waiting.take_changes() {
            if let AssignmentChange::Assigned(partitions) = change {
                assigned += partitions.len();
            }
        }
    }
    let mut other = Subscription::join(&config, topic)?;
    let mut lost = false;
    while !lost {
        ensure!(Instant::now() < end, "the other member got no partition");
        waiting.keep_alive(slice);
        let _ = other.poll(slice);
        lost = waiting
            .take_changes()
            .iter()
            .any(|change| matches!(change, AssignmentChange::Revoked(_)));
    }
    // The wait is over before the partitions come back.
    let _ = waiting.poll(Duration::ZERO);
    drop(other);

    let records = (0..4).map(|partition| NewRecord {
        partition: Some(partition),
        ..NewRecord::new("1", "{}")
    });
    system.write_orders(records.collect()).await?;
    let mut read = BTreeSet::new();
    while read.len() < 4 {
        ensure!(Instant::now() < end, "only {read:?} were read");
        if let Polled::Record(record) = waiting.poll(slice) {
            read.insert(record.partition());
        }
    }
    Ok(())
}

/// If the assignment changes while an open transaction holds an offset back, librdkafka takes the offset
/// for missing and would read the partition from its beginning. Found by `lab/chaos`, after 300 faults of
/// seed 2026.
#[tokio::test]
async fn a_partition_whose_offset_a_transaction_holds_back_is_not_read_from_its_beginning()
-> Result<()> {
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), false).await?;
    let settings = KafkaSettings {
        kafka_bootstrap_servers: system.brokers().to_owned(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let config = settings.consumer(&format!("held-{}", system.name))?;
    let topic = &system.topics.order_status;
    let end = Instant::now() + wait::DEADLINE;
    let slice = Duration::from_millis(100);
    let one_a_partition = || {
        let records = (0..4).map(|partition| NewRecord {
            partition: Some(partition),
            ..NewRecord::new("1", "{}")
        });
        system.write_orders(records.collect())
    };
    let done: Positions = (0..4).map(|partition| (partition, 1)).collect();

    one_a_partition().await?;
    let mut before = Subscription::join(&config, topic)?;
    let mut read = BTreeSet::new();
    while read.len() < 4 {
        ensure!(Instant::now() < end, "only {read:?} were read");
        if let Polled::Record(record) = before.poll(slice) {
            read.insert(record.partition());
        }
    }
    before
        .commit_offsets(&done)
        .map_err(|error| anyhow!("{error:?}"))?;
    let offsets = before.list(&done)?;
    drop(before);

    // Another producer's open transaction holds back the same offsets.
    let holder =
        Producer::new(&settings.transactional_producer(&format!("held-{}", system.name))?)?;
    let nobody: BaseConsumer = config.create()?;
    let group = nobody.group_metadata().context("no group")?;
    for ready in [
        holder.init(wait::DEADLINE),
        holder.begin(),
        holder.send_offsets(GroupOffsets::new(offsets, group), wait::DEADLINE),
    ] {
        ready.map_err(|error| anyhow!("{error}"))?;
    }

    let mut one = Subscription::join(&config, topic)?;
    let mut other = None;
    let mut read = BTreeSet::new();
    let mut is_shared = false;
    while !is_shared {
        ensure!(Instant::now() < end, "the partitions were not shared out");
        for member in [Some(&mut one), other.as_mut()].into_iter().flatten() {
            if let Polled::Record(record) = member.poll(slice) {
                read.insert((record.partition(), record.offset()));
            }
        }
        let of_one = one.take_changes();
        if other.is_none() && !of_one.is_empty() {
            other = Some(Subscription::join(&config, topic)?);
        }
        let of_other = other.as_mut().map(Subscription::take_changes);
        is_shared = of_other
            .into_iter()
            .flatten()
            .any(|change| matches!(change, AssignmentChange::Assigned(new) if !new.is_empty()));
    }
    holder
        .abort(wait::DEADLINE)
        .map_err(|error| anyhow!("{error}"))?;
    one_a_partition().await?;
    let wanted: BTreeSet<_> = done.into_iter().collect();
    while !read.is_superset(&wanted) {
        ensure!(Instant::now() < end, "only {read:?} were read");
        for member in [Some(&mut one), other.as_mut()].into_iter().flatten() {
            if let Polled::Record(record) = member.poll(slice) {
                read.insert((record.partition(), record.offset()));
            }
        }
    }
    assert_eq!(read, wanted, "what was committed is not read again");
    Ok(())
}
