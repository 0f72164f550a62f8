//! Transactional producers against librdkafka's mock cluster: coordinators that are slow, move, or
//! fail in the middle of a request. Every call has to return in time, and a new producer has to go on
//! whatever the outcome of the last transaction is. A call that hangs is abandoned soon, and one that
//! is only slow gets its time in the end.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use runtime::kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use runtime::kafka::rdkafka::mocking::{MockCluster, MockCoordinator};
use runtime::kafka::rdkafka::producer::DefaultProducerContext;
use runtime::kafka::rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use runtime::kafka::rdkafka::{Offset, TopicPartitionList};
use runtime::kafka::{
    GroupOffsets, KafkaSettings, Outgoing, Producer, Producers, Stage, TransactionError, Unfinished,
};

const TOPIC: &str = "vouchers";
const SOURCE: &str = "order-status";
const GROUP: &str = "processor";
const ID: &str = "processor/test/0";
const SECOND_ID: &str = "processor/test/1";

/// How long the loops wait for one call before they poll their group.
const SLICE: Duration = Duration::from_millis(500);

/// How much longer a call may take on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

/// Time after which the first call that does not return is abandoned.
const ABANDONED: Duration = Duration::from_secs(3);

/// Time within which a call that does not return is abandoned, and a transaction repeated.
const RECOVERED: Duration = Duration::from_secs(7);

/// Time within which new clients take over the ids once their coordinator is back.
const TAKEN_OVER: Duration = Duration::from_secs(10);

const LONG: Duration = Duration::from_secs(30);

struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    settings: KafkaSettings,
}

/// Starts a cluster in which broker 1 leads the topic and the transactions, and broker 2 the group.
fn cluster() -> Cluster {
    let mock = MockCluster::new(3).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    mock.create_topic(SOURCE, 1, 1).unwrap();
    mock.partition_leader(TOPIC, 0, Some(1)).unwrap();
    let settings = KafkaSettings {
        kafka_bootstrap_servers: mock.bootstrap_servers(),
        kafka_properties: None,
        kafka_properties_file: None,
    };
    let cluster = Cluster { mock, settings };
    cluster.move_transactions(1);
    cluster.move_group(2);
    cluster
}

impl Cluster {
    fn move_transactions(&self, broker: i32) {
        for id in [ID, SECOND_ID] {
            let transactions = MockCoordinator::Transaction(id.to_owned());
            self.mock.coordinator(transactions, broker).unwrap();
        }
    }

    fn move_group(&self, broker: i32) {
        let group = MockCoordinator::Group(GROUP.to_owned());
        self.mock.coordinator(group, broker).unwrap();
    }

    /// Makes clients ask broker 1 for everything that does not need another broker.
    fn begin_at_first_broker(&mut self) {
        let servers = self.mock.bootstrap_servers();
        self.settings.kafka_bootstrap_servers = servers.split(',').next().unwrap().to_owned();
    }

    fn producers(&self, ids: &[&str]) -> Producers {
        let config = |id: &&str| self.settings.transactional_producer(id).unwrap();
        let mut producers = Producers::new(ids.iter().map(config).collect());
        producers.open().unwrap();
        producers
    }

    fn offsets(&self) -> GroupOffsets {
        let consumer: BaseConsumer = self.settings.consumer(GROUP).unwrap().create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(SOURCE, 0, Offset::Offset(1))
            .unwrap();
        GroupOffsets::new(offsets, consumer.group_metadata().unwrap())
    }
}

/// A loop, reduced to the calls of its producers. Each call is timed.
struct Writer {
    producers: Producers,
    offsets: GroupOffsets,
    longest: Duration,
    /// How often a call had not returned when the loop had waited for a whole slice.
    unanswered: u32,
}

impl Writer {
    fn not_taken_over(cluster: &Cluster, ids: &[&str]) -> Self {
        Self {
            producers: cluster.producers(ids),
            offsets: cluster.offsets(),
            longest: Duration::ZERO,
            unanswered: 0,
        }
    }

    fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, &[ID])
    }

    fn start_with(cluster: &Cluster, ids: &[&str]) -> Self {
        let mut writer = Self::not_taken_over(cluster, ids);
        writer.take_over(LONG);
        writer
    }

    fn timed<T>(&mut self, call: impl FnOnce(&mut Producers) -> T) -> T {
        let began = Instant::now();
        let result = call(&mut self.producers);
        self.longest = self.longest.max(began.elapsed());
        result
    }

    fn take_over(&mut self, within: Duration) {
        let began = Instant::now();
        loop {
            match self.timed(|producers| producers.init(SLICE)) {
                Ok(()) => return,
                Err(TransactionError::Retriable(_)) if began.elapsed() < within => {}
                Err(error) => panic!("no takeover within {within:?}: {error}"),
            }
        }
    }

    /// Writes one transaction, as the loops do.
    fn transact(&mut self) -> Result<(), TransactionError> {
        self.timed(Producers::begin)?;
        self.timed(|producers| producers.current()?.send(&voucher(), SLICE))?;
        match self.finish() {
            Ok(()) => Ok(()),
            Err(Unfinished { stage, error }) => self.finish_from(stage, error),
        }
    }

    fn finish(&mut self) -> Result<(), Unfinished> {
        let offsets = self.offsets.clone();
        self.producers.current().unwrap().start_finish(offsets);
        loop {
            let outcome =
                self.timed(|producers| producers.current().unwrap().poll_finish(SLICE, SLICE));
            match outcome {
                None => self.unanswered += 1,
                Some(outcome) => return outcome,
            }
        }
    }

    fn finish_from(
        &mut self,
        stage: Stage,
        error: TransactionError,
    ) -> Result<(), TransactionError> {
        let TransactionError::Retriable(_) = error else {
            return Err(error);
        };
        self.unanswered += 1;
        if stage == Stage::SendingOffsets {
            let offsets = self.offsets.clone();
            self.until_returned(|producer| producer.send_offsets(offsets.clone(), SLICE))?;
        }
        self.until_returned(|producer| producer.drain(SLICE))?;
        self.until_returned(|producer| producer.commit(SLICE))
    }

    fn until_returned(
        &mut self,
        call: impl Fn(&Producer) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        loop {
            match self.timed(|producers| call(producers.current()?)) {
                Err(TransactionError::Retriable(_)) => self.unanswered += 1,
                result => return result,
            }
        }
    }

    /// Repeats a transaction with new producers until one is committed.
    fn recover(&mut self, within: Duration) {
        let began = Instant::now();
        loop {
            let error = match self.transact() {
                Ok(()) => return,
                Err(error) => error,
            };
            assert!(
                began.elapsed() < within,
                "nothing was committed within {within:?}; the last error: {error}"
            );
            self.producers.open().unwrap();
            self.take_over(within);
        }
    }

    #[track_caller]
    fn never_blocked(&self) {
        let limit = SLICE + MARGIN;
        assert!(self.longest < limit, "a call took {:?}", self.longest);
    }
}

fn voucher() -> Outgoing<'static> {
    Outgoing {
        topic: TOPIC,
        key: Some(b"1"),
        value: Some(b"{}"),
        headers: &[],
    }
}

#[track_caller]
fn assert_abandoned(error: &TransactionError, call: &str) {
    assert!(matches!(error, TransactionError::Fatal(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(call) && text.contains("is abandoned"),
        "{text}"
    );
}

/// Makes a call on a thread of its own, so that one that never returns fails the test.
fn within_time<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    result
        .recv_timeout(SLICE + MARGIN)
        .unwrap_or_else(|_| panic!("{what} did not return within {:?}", SLICE + MARGIN))
}

#[test]
fn a_group_coordinator_that_is_away_does_not_block_the_caller() {
    let cluster = cluster();
    let config = cluster.settings.transactional_producer(ID).unwrap();
    let producer = Arc::new(Producer::new(&config).unwrap());
    producer.init(LONG).unwrap();
    producer.begin().unwrap();
    producer.send(&voucher(), SLICE).unwrap();
    cluster.mock.broker_down(2).unwrap();
    let offsets = cluster.offsets();
    let shared = Arc::clone(&producer);
    let error =
        within_time("send_offsets", move || shared.send_offsets(offsets, SLICE)).unwrap_err();
    assert!(matches!(error, TransactionError::Retriable(_)), "{error}");
    // Another call waits for the first one, up to its own timeout. Dropping waits for neither.
    let shared = Arc::clone(&producer);
    let error = within_time("abort", move || shared.abort(SLICE)).unwrap_err();
    assert!(matches!(error, TransactionError::Retriable(_)), "{error}");
    within_time("drop", move || drop(producer));
}

#[test]
fn a_call_that_does_not_return_is_abandoned_and_a_new_producer_goes_on() {
    let hanging = || {
        let cluster = cluster();
        let mut writer = Writer::start(&cluster);
        writer.transact().unwrap();
        cluster.mock.broker_down(2).unwrap();
        writer.unanswered = 0;
        match writer.transact().unwrap_err() {
            // The client has asked for the cluster's brokers at this moment, and nothing hangs.
            TransactionError::Abortable(_) => None,
            error => Some((cluster, writer, error)),
        }
    };
    let (cluster, mut writer, error) = (0..5)
        .find_map(|_| hanging())
        .expect("a call that does not return");
    assert_abandoned(&error, "send_offsets_to_transaction");
    assert!(error.to_string().contains(ID), "{error}");
    // No more slices than this fit into the time, however slow the machine is.
    let most = ABANDONED.as_millis() / SLICE.as_millis();
    assert!(
        u128::from(writer.unanswered) <= most,
        "abandoned after {} slices",
        writer.unanswered
    );
    let begun = writer.timed(Producers::begin).unwrap_err();
    assert!(matches!(begun, TransactionError::Fatal(_)), "{begun}");
    // The group has moved, and the old client would never have noticed.
    cluster.move_group(3);
    writer.producers.open().unwrap();
    writer.take_over(LONG);
    writer.transact().unwrap();
    writer.never_blocked();
}

#[test]
fn a_group_coordinator_that_moves_away_stops_the_flow_for_seconds_only() {
    let cluster = cluster();
    let mut writer = Writer::start(&cluster);
    writer.transact().unwrap();
    cluster.move_group(3);
    cluster.mock.broker_down(2).unwrap();
    writer.recover(RECOVERED + MARGIN);
    writer.never_blocked();
}

#[test]
fn a_transaction_coordinator_that_moves_away_stops_the_flow_for_seconds_only() {
    let cluster = cluster();
    let mut writer = Writer::start(&cluster);
    writer.transact().unwrap();
    cluster.move_transactions(3);
    cluster.mock.partition_leader(TOPIC, 0, Some(3)).unwrap();
    cluster.mock.broker_down(1).unwrap();
    writer.recover(RECOVERED + MARGIN);
    writer.never_blocked();
}

#[test]
fn ids_are_taken_over_soon_after_a_coordinator_that_was_away_has_moved() {
    let cluster = cluster();
    cluster.mock.broker_down(1).unwrap();
    let mut writer = Writer::not_taken_over(&cluster, &[ID]);
    // Longer than the timeout after which the clients are replaced.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let error = writer.timed(|producers| producers.init(SLICE)).unwrap_err();
        assert!(matches!(error, TransactionError::Retriable(_)), "{error}");
    }
    cluster.move_transactions(3);
    cluster.mock.partition_leader(TOPIC, 0, Some(3)).unwrap();
    writer.take_over(TAKEN_OVER);
    writer.transact().unwrap();
    writer.never_blocked();
}

#[test]
fn slow_coordinators_do_not_block_the_caller() {
    for round_trip in [50, 200, 500] {
        let cluster = cluster();
        let mut writer = Writer::start(&cluster);
        let round_trip = Duration::from_millis(round_trip);
        cluster.mock.broker_round_trip_time(-1, round_trip).unwrap();
        for _ in 0..2 {
            writer.recover(LONG);
        }
        writer.never_blocked();
    }
}

#[test]
fn calls_that_are_slower_than_the_first_timeout_commit_in_the_end() {
    let mut cluster = cluster();
    cluster.begin_at_first_broker();
    let mut writer = Writer::start_with(&cluster, &[ID, SECOND_ID]);
    // The mock takes two round trips to connect to the group's coordinator, and one to answer: 3.6 s
    // for the first call of a new client.
    let round_trip = Duration::from_millis(1_200);
    cluster.mock.broker_round_trip_time(2, round_trip).unwrap();
    let error = writer.transact().unwrap_err();
    assert_abandoned(&error, "send_offsets_to_transaction");
    writer.producers.open().unwrap();
    writer.take_over(LONG);
    // Both new clients are as slow. The success of the first must not make the timeout short again.
    writer.transact().unwrap();
    writer.transact().unwrap();
    writer.never_blocked();
}

#[test]
fn calls_that_time_out_by_themselves_get_more_time() {
    let cluster = cluster();
    let mut writer = Writer::start(&cluster);
    // The client finds the coordinator only after the call's own first timeout, and says so: no call
    // is abandoned, and a repetition with the same timeout would end in the same way.
    let round_trip = Duration::from_millis(1_200);
    cluster.mock.broker_round_trip_time(-1, round_trip).unwrap();
    writer.recover(LONG);
    writer.never_blocked();
}

#[test]
fn a_request_that_fails_in_the_middle_is_repeated() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT as DISCONNECT,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as LOADING,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR as NOT_COORDINATOR,
    };
    let cluster = cluster();
    let mut writer = Writer::start(&cluster);
    for request in [
        RDKafkaApiKey::AddOffsetsToTxn,
        RDKafkaApiKey::TxnOffsetCommit,
        RDKafkaApiKey::EndTxn,
        RDKafkaApiKey::InitProducerId,
    ] {
        for error in [DISCONNECT, LOADING, NOT_AVAILABLE, NOT_COORDINATOR] {
            cluster.mock.request_errors(request, &[error, error]);
            writer.producers.open().unwrap();
            writer.take_over(TAKEN_OVER);
            writer.recover(RECOVERED + MARGIN);
        }
    }
    writer.never_blocked();
}

#[test]
fn a_fenced_producer_returns_fenced() {
    let cluster = cluster();
    for request in [RDKafkaApiKey::AddOffsetsToTxn, RDKafkaApiKey::EndTxn] {
        let mut writer = Writer::start(&cluster);
        let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
        cluster.mock.request_errors(request, &[fenced]);
        let error = writer.transact().unwrap_err();
        assert!(matches!(error, TransactionError::Fenced(_)), "{error}");
        writer.producers.open().unwrap();
        writer.take_over(LONG);
        writer.recover(LONG);
        writer.never_blocked();
    }
}
