//! The consumer against librdkafka's mock cluster: coordinators that are slow, requests that are
//! refused, logs that have lost their end.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use runtime::kafka::rdkafka;
use runtime::kafka::{
    AssignmentChange, Blocked, CommitError, GroupConsumer as _, KafkaSettings, Polled, Subscription,
};
use runtime::record::{InputRecord as _, Offset, Partition, Positions};

const TOPIC: &str = "order-status";
const GROUP: &str = "processor";
const DEADLINE: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_millis(50);

/// A cluster of one broker, and a topic of two partitions.
struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 2, 1).unwrap();
        Self(cluster)
    }

    fn settings(&self) -> KafkaSettings {
        KafkaSettings {
            kafka_bootstrap_servers: self.0.bootstrap_servers(),
            kafka_properties: None,
            kafka_properties_file: None,
        }
    }

    fn member(&self) -> Subscription {
        let config = self.settings().consumer(GROUP).unwrap();
        Subscription::join(&config, TOPIC).unwrap()
    }

    fn write(&self, partition: Partition, records: usize) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.0.bootstrap_servers())
            .create()
            .unwrap();
        for _ in 0..records {
            let record = BaseRecord::to(TOPIC).partition(partition);
            producer.send(record.key("1").payload("{}")).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }

    /// Commits offsets of the group, which has no member.
    fn commit(&self, offsets: &Positions) {
        let config = self.settings().consumer(GROUP).unwrap();
        let client: BaseConsumer = config.create().unwrap();
        let mut list = rdkafka::TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(TOPIC, *partition, rdkafka::Offset::Offset(*offset))
                .unwrap();
        }
        client
            .commit(&list, rdkafka::consumer::CommitMode::Sync)
            .unwrap();
    }
}

/// Reads until `done` returns true for the records read so far and the blocked partitions.
fn read_until(
    member: &mut Subscription,
    what: &str,
    mut done: impl FnMut(&BTreeSet<(Partition, Offset)>, &[Blocked]) -> bool,
) -> BTreeSet<(Partition, Offset)> {
    let end = Instant::now() + DEADLINE;
    let mut read = BTreeSet::new();
    loop {
        let blocked = member.blocked();
        if done(&read, &blocked) {
            return read;
        }
        assert!(
            Instant::now() < end,
            "waited for {what}; read {read:?}, blocked {blocked:?}"
        );
        match member.poll(SLICE) {
            Polled::Record(record) => {
                read.insert((record.partition(), record.offset()));
            }
            Polled::Nothing => {}
            Polled::Fatal(why) => panic!("waiting for {what}: {why}"),
        }
    }
}

fn blocked_for(blocked: &[Blocked], partition: Partition, reason: &str) -> bool {
    blocked
        .iter()
        .any(|one| one.partition == Some(partition) && one.cause.as_str() == reason)
}

#[test]
fn all_records_are_read_whatever_the_coordinators_latency() {
    let cluster = Cluster::start();
    cluster.write(0, 3);
    cluster.write(1, 3);
    cluster.commit(&Positions::from([(0, 1)]));
    cluster
        .0
        .broker_round_trip_time(1, Duration::from_millis(500))
        .unwrap();
    let mut member = cluster.member();
    let read = read_until(&mut member, "all records", |read, _| read.len() == 5);
    assert_eq!(
        read,
        BTreeSet::from([(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        "from the committed offset, and from the beginning where there is none"
    );
}

#[test]
fn a_rewind_succeeds_whatever_the_coordinators_latency() {
    let cluster = Cluster::start();
    cluster.write(0, 3);
    let mut member = cluster.member();
    read_until(&mut member, "all records", |read, _| read.len() == 3);
    member.commit_offsets(&Positions::from([(0, 2)])).unwrap();
    cluster
        .0
        .broker_round_trip_time(1, Duration::from_millis(700))
        .unwrap();
    let end = Instant::now() + DEADLINE;
    while member.rewind(SLICE).is_err() {
        assert!(Instant::now() < end, "no rewind");
        member.keep_alive(SLICE);
    }
    let read = read_until(&mut member, "the last record again", |read, _| {
        !read.is_empty()
    });
    assert_eq!(read, BTreeSet::from([(0, 2)]));
}

/// Reads a record, and commits its offset to a coordinator that does not answer in time. Returns the
/// outcome, and when the commit began.
fn commit_without_an_answer(
    cluster: &Cluster,
    member: &mut Subscription,
) -> (Result<(), CommitError>, Instant) {
    cluster.write(0, 1);
    read_until(member, "the record", |read, _| read.len() == 1);
    cluster
        .0
        .broker_round_trip_time(1, Duration::from_secs(30))
        .unwrap();
    let began = Instant::now();
    let committed = member.commit_offsets(&Positions::from([(0, 1)]));
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    (committed, began)
}

#[test]
fn a_commit_without_an_answer_returns_after_some_seconds() {
    let cluster = Cluster::start();
    let mut member = cluster.member();
    let (committed, began) = commit_without_an_answer(&cluster, &mut member);
    assert!(
        matches!(committed, Err(CommitError::Unavailable(_))),
        "{committed:?}"
    );
    // Closing does not wait for the coordinator either.
    drop(member);
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
}

/// These offsets may still arrive, after those of a later transaction.
#[test]
fn beside_transactions_a_commit_without_an_answer_makes_the_member_unusable() {
    let cluster = Cluster::start();
    let mut member = cluster.member().beside_transactions();
    let (committed, _) = commit_without_an_answer(&cluster, &mut member);
    assert!(
        matches!(committed, Err(CommitError::ReadAgain(_))),
        "{committed:?}"
    );
    assert_eq!(
        (member.rewind(Duration::from_secs(1)), member.positions()),
        (Ok(()), Positions::new()),
        "a loop gets past its rewind to the poll that returns the failure"
    );
    assert!(matches!(member.poll(Duration::ZERO), Polled::Fatal(_)));
}

/// Polls until the changes of the assignment that were seen meanwhile satisfy `done`.
fn poll_until(
    member: &mut Subscription,
    what: &str,
    done: impl Fn(&[AssignmentChange]) -> bool,
) -> Vec<AssignmentChange> {
    let end = Instant::now() + DEADLINE;
    let mut changes = Vec::new();
    while !done(&changes) {
        assert!(Instant::now() < end, "waited for {what}: {changes:?}");
        if let Polled::Fatal(why) = member.poll(SLICE) {
            panic!("waiting for {what}: {why}");
        }
        changes.extend(member.take_changes());
    }
    changes
}

#[test]
fn a_member_that_was_removed_and_has_lost_its_partitions_goes_on() {
    let cluster = Cluster::start();
    let mut member = cluster.member();
    let assigned = |partitions: &[Partition]| AssignmentChange::Assigned(partitions.to_vec());
    poll_until(&mut member, "the assignment", |changes| {
        changes == [assigned(&[0, 1])]
    });
    let heartbeat_fails = |error| {
        cluster.0.request_errors(RDKafkaApiKey::Heartbeat, &[error]);
    };
    heartbeat_fails(RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
    poll_until(&mut member, "a rebalance that changes nothing", |changes| {
        changes == [assigned(&[])]
    });
    heartbeat_fails(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    let changes = poll_until(&mut member, "its partitions", |changes| {
        changes.last() == Some(&assigned(&[0, 1]))
    });
    assert_eq!(changes[0], AssignmentChange::Revoked(vec![0, 1]));
    assert!(member.is_same_member());
}

/// The client keeps the partitions without a word, and joins again with a newer generation.
#[test]
fn a_member_that_was_removed_during_a_rebalance_cannot_go_on() {
    let cluster = Cluster::start();
    cluster.write(0, 1);
    cluster.write(1, 1);
    let mut member = cluster.member();
    read_until(&mut member, "both records", |read, _| read.len() == 2);
    assert!(member.is_same_member());
    assert_eq!(member.take_changes().len(), 1, "the assignment");
    let mock = &cluster.0;
    mock.request_errors(
        RDKafkaApiKey::JoinGroup,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID],
    );
    mock.request_errors(
        RDKafkaApiKey::Heartbeat,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS],
    );
    let end = Instant::now() + DEADLINE;
    while member.is_same_member() {
        assert!(Instant::now() < end, "waited for a new member id");
        std::thread::sleep(SLICE);
    }
    let committed = member.commit_offsets(&Positions::from([(0, 1)]));
    assert!(
        matches!(committed, Err(CommitError::NotOwner(_))),
        "{committed:?}"
    );
    loop {
        match member.poll(SLICE) {
            Polled::Fatal(why) => break assert!(why.contains("removed this member"), "{why}"),
            Polled::Record(_) | Polled::Nothing => {
                assert!(Instant::now() < end, "waited for the end of this client");
                assert_eq!(
                    member.take_changes(),
                    [],
                    "the client says what it has lost"
                );
            }
        }
    }
}

#[test]
fn an_offset_beyond_the_log_is_reported_and_the_other_partition_is_read() {
    let cluster = Cluster::start();
    cluster.write(0, 2);
    cluster.write(1, 2);
    cluster.commit(&Positions::from([(0, 500)]));
    let mut member = cluster.member();
    let mut sentence = String::new();
    let read = read_until(&mut member, "the offsets of the log", |read, blocked| {
        sentence = blocked.iter().map(ToString::to_string).collect();
        read.len() == 2 && sentence.contains("from 0 to before 2")
    });
    assert_eq!(read, BTreeSet::from([(1, 0), (1, 1)]));
    for part in [
        "partition 0 of order-status is not read",
        "offset 500 is not in its log",
        "docs/troubleshooting.md",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(
        !member.waits_for_offsets(),
        "the offset is known: taking over transactional ids again would not help"
    );
    // New records change nothing: where to go on is a person's decision.
    cluster.write(1, 1);
    read_until(
        &mut member,
        "the next record of the other partition",
        |read, blocked| read.contains(&(1, 2)) && blocked_for(blocked, 0, "out_of_range"),
    );
}

#[test]
fn a_refused_fetch_is_reported_and_the_partition_resumes_once_access_is_granted() {
    let cluster = Cluster::start();
    let mut member = cluster.member();
    cluster.write(0, 1);
    read_until(&mut member, "the first record", |read, _| read.len() == 1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster
        .0
        .request_errors(RDKafkaApiKey::Fetch, &[refused; 1000]);
    read_until(&mut member, "both refusals", |_, blocked| {
        blocked_for(blocked, 0, "refused") && blocked_for(blocked, 1, "refused")
    });
    cluster.0.clear_request_errors(RDKafkaApiKey::Fetch);
    cluster.write(0, 1);
    let read = read_until(&mut member, "the next record", |read, blocked| {
        !read.is_empty() && blocked.is_empty()
    });
    assert_eq!(
        read,
        BTreeSet::from([(0, 1)]),
        "it resumes where it was blocked"
    );
}

#[test]
fn offsets_that_the_coordinator_refuses_are_reported_and_requested_again() {
    let cluster = Cluster::start();
    cluster.write(0, 1);
    cluster.commit(&Positions::from([(1, 0)]));
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cluster
        .0
        .request_errors(RDKafkaApiKey::OffsetFetch, &[refused; 20]);
    let mut member = cluster.member();
    read_until(&mut member, "both reports", |_, blocked| {
        blocked_for(blocked, 0, "offset_unknown") && blocked_for(blocked, 1, "offset_unknown")
    });
    cluster.0.clear_request_errors(RDKafkaApiKey::OffsetFetch);
    read_until(&mut member, "the record", |read, blocked| {
        read.len() == 1 && blocked.is_empty()
    });
}

#[test]
fn a_partition_that_stands_although_its_log_goes_on_is_restarted_at_its_position() {
    let cluster = Cluster::start();
    cluster.write(0, 2);
    let mut member = cluster.member();
    read_until(&mut member, "the first records", |read, _| read.len() == 2);
    // librdkafka checks its position with a new leader, and fetches nothing until it has an answer.
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH;
    cluster
        .0
        .request_errors(RDKafkaApiKey::OffsetForLeaderEpoch, &[fenced; 10_000]);
    cluster.0.partition_leader(TOPIC, 0, Some(1)).unwrap();
    cluster.write(0, 3);
    cluster.write(1, 1);
    let mut was_reported = false;
    let mut returned = Vec::new();
    let end = Instant::now() + DEADLINE;
    while returned.len() < 4 || !member.blocked().is_empty() {
        let blocked = member.blocked();
        was_reported |= blocked_for(&blocked, 0, "no_progress");
        assert!(
            Instant::now() < end,
            "waited for all records; returned {returned:?}, blocked {blocked:?}"
        );
        match member.poll(SLICE) {
            Polled::Record(record) => returned.push((record.partition(), record.offset())),
            Polled::Nothing => {}
            Polled::Fatal(why) => panic!("{why}"),
        }
    }
    assert!(was_reported, "until the partition moves it is blocked");
    returned.sort_unstable();
    assert_eq!(
        returned,
        [(0, 2), (0, 3), (0, 4), (1, 0)],
        "each record once"
    );
    assert_eq!(member.positions(), Positions::from([(0, 5), (1, 1)]));
}
