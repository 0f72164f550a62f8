//! The loop against a small model of Kafka: faults at any call, and what must hold all the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use runtime::circuit_breaker::{CircuitBreaker, CircuitBreakerSettings};
use runtime::clock::Clock;
use runtime::kafka::{AssignmentChange, CommitError, Outgoing, Polled, TransactionError};
use runtime::lifecycle::Failure;
use runtime::record::{Offset, OwnedRecord, Partition, Positions};
use runtime::registry::{Lookup, SchemaSource};
use schemas::{Malformed, OrderStatusPlan, Reason};

use super::{Guarantee, Step, Task, TaskSettings};
use crate::batch::{Tally, Topics, VoucherFormat};
use crate::evaluate::Evaluator;
use crate::ports::{Log, Observer, TransactionEnd};
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Retriable,
    Abortable,
    Fatal,
    Fenced,
    /// Done, but the answer is lost and the producer with it.
    DoneThenFatal,
    /// The group moves on: this member's generation is old until it polls, which takes partition 0
    /// away from it and gives it back at the poll after that.
    Rebalance,
}

/// A record as a reader of committed records sees it: its topic, and the offset that it came from.
type Written = (String, Partition, Offset);

/// Kafka, as far as one task sees it.
#[derive(Default)]
struct Kafka {
    inputs: BTreeMap<Partition, Vec<OwnedRecord>>,
    committed: Positions,
    written: Vec<Written>,
    positions: Positions,
    client_positions: Positions,
    changes: Vec<AssignmentChange>,
    to_assign: BTreeSet<Partition>,
    open: Option<(Vec<Written>, Positions)>,
    faults: VecDeque<Fault>,
    now: Duration,
    offsets_only_commits: usize,
    old_generation: bool,
}

impl Kafka {
    fn fault(&mut self) -> Fault {
        self.now += Duration::from_millis(1);
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::Rebalance {
            self.old_generation = true;
            return Fault::None;
        }
        fault
    }

    /// What a poll does of the group's business; true when it did something.
    fn serve_group(&mut self) -> bool {
        if std::mem::take(&mut self.old_generation) {
            self.revoke(0);
            return true;
        }
        let due = !self.to_assign.is_empty();
        self.assign_what_is_due();
        due
    }

    fn revoke(&mut self, partition: Partition) {
        if self.positions.remove(&partition).is_some() {
            self.client_positions.remove(&partition);
            self.changes
                .push(AssignmentChange::Revoked(vec![partition]));
            self.to_assign.insert(partition);
        }
    }

    fn assign_what_is_due(&mut self) {
        for partition in std::mem::take(&mut self.to_assign) {
            let from = self.committed.get(&partition).copied().unwrap_or(0);
            self.positions.insert(partition, from);
            self.changes
                .push(AssignmentChange::Assigned(vec![partition]));
        }
    }

    fn answer(&mut self) -> Result<(), TransactionError> {
        let why = || "scripted".to_owned();
        match self.fault() {
            Fault::None | Fault::Rebalance | Fault::DoneThenFatal => Ok(()),
            Fault::Retriable => Err(TransactionError::Retriable(why())),
            Fault::Abortable => Err(TransactionError::Abortable(why())),
            Fault::Fatal => Err(TransactionError::Fatal(why())),
            Fault::Fenced => Err(TransactionError::Fenced(why())),
        }
    }
}

impl Log for Kafka {
    type Record<'a> = OwnedRecord;

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.open = None;
        Ok(())
    }

    fn open_consumer(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn init(&mut self, _: Duration) -> Result<(), TransactionError> {
        assert!(self.open.is_none(), "init before begin");
        self.answer()
    }

    fn poll(&mut self, timeout: Duration) -> Polled<OwnedRecord> {
        assert!(
            self.open.is_none(),
            "a poll never meets an open transaction"
        );
        self.now += timeout;
        if self.fault() != Fault::None || self.serve_group() {
            return Polled::Nothing;
        }
        for (partition, position) in &mut self.positions {
            if let Some(record) = usize::try_from(*position)
                .ok()
                .and_then(|index| self.inputs[partition].get(index))
            {
                *position += 1;
                self.client_positions.insert(*partition, *position);
                return Polled::Record(record.clone());
            }
        }
        Polled::Nothing
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        std::mem::take(&mut self.changes)
    }

    fn keep_alive(&mut self, time: Duration) {
        self.now += time + Duration::from_millis(100);
        self.serve_group();
    }

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        if self.fault() != Fault::None {
            return Err("scripted".to_owned());
        }
        for (partition, position) in &mut self.positions {
            *position = self.committed.get(partition).copied().unwrap_or(0);
        }
        self.client_positions.clear();
        Ok(())
    }

    fn positions(&mut self) -> Positions {
        self.client_positions.clone()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        assert!(
            self.open.is_none(),
            "plain commits only outside of a transaction"
        );
        let error = runtime::kafka::rdkafka::error::KafkaError::Canceled;
        if self.fault() != Fault::None {
            return Err(CommitError::Unavailable(error));
        }
        if self.old_generation {
            return Err(CommitError::NotOwner(error));
        }
        self.offsets_only_commits += 1;
        self.commit_positions(positions.clone());
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        assert!(self.open.is_none(), "one transaction at a time");
        self.answer()?;
        self.open = Some((Vec::new(), Positions::new()));
        Ok(())
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.answer()?;
        let number = |name: &str| -> Option<i64> {
            let (_, value) = record.headers.iter().find(|(header, _)| *header == name)?;
            std::str::from_utf8((*value)?).ok()?.parse().ok()
        };
        let from = |prefix: &str| {
            let partition = number(&format!("{prefix}.partition"))?;
            Some((
                i32::try_from(partition).ok()?,
                number(&format!("{prefix}.offset"))?,
            ))
        };
        let (partition, offset) = from("source").or_else(|| from("dlq")).unwrap();
        let written = (record.topic.to_owned(), partition, offset);
        match &mut self.open {
            Some((records, _)) => records.push(written),
            None => self.written.push(written),
        }
        Ok(())
    }

    fn drain(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.answer()
    }

    fn send_offsets(&mut self, positions: &Positions, _: Duration) -> Result<(), TransactionError> {
        self.answer()?;
        if self.old_generation {
            return Err(TransactionError::Abortable("illegal generation".to_owned()));
        }
        assert!(
            positions
                .keys()
                .all(|partition| self.positions.contains_key(partition)),
            "offsets only of partitions that are ours"
        );
        self.open.as_mut().unwrap().1.clone_from(positions);
        Ok(())
    }

    fn commit(&mut self, _: Duration) -> Result<(), TransactionError> {
        let fault = self.faults.front().copied().unwrap_or(Fault::None);
        self.answer()?;
        let (records, positions) = self.open.take().unwrap();
        self.written.extend(records);
        self.commit_positions(positions);
        if fault == Fault::DoneThenFatal {
            return Err(TransactionError::Fatal("the answer was lost".to_owned()));
        }
        Ok(())
    }

    fn abort(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.answer()?;
        self.open = None;
        Ok(())
    }
}

impl Kafka {
    fn commit_positions(&mut self, positions: Positions) {
        for (partition, offset) in positions {
            let before = self.committed.insert(partition, offset).unwrap_or(0);
            assert!(before <= offset, "committed offsets never go back");
        }
    }
}

/// The model keeps the time: the clock only has to be asked often enough.
#[derive(Clone, Default)]
struct ModelClock(std::rc::Rc<std::cell::Cell<Duration>>);

impl Clock for ModelClock {
    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// Schema 7 becomes known at the third question, schema 9 never exists.
#[derive(Default)]
struct Schemas {
    asked: usize,
}

impl SchemaSource for Schemas {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, id: u32) -> Lookup<OrderStatusPlan> {
        self.asked += 1;
        match id {
            7 if self.asked < 3 => Lookup::Pending,
            7 => Lookup::Known(Arc::new(
                OrderStatusPlan::compile(schemas::ORDER_STATUS_AVSC).unwrap(),
            )),
            _ => Lookup::Bad(Malformed::new(Reason::UnknownSchema, "scripted")),
        }
    }
}

#[derive(Default)]
struct Watch {
    circuit_opened: usize,
    records: u64,
}

impl Observer for &mut Watch {
    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, _: Duration) {
        self.records += tallies.map(Tally::records).sum::<u64>();
    }
    fn transaction_ended(&mut self, _: TransactionEnd) {}
    fn fenced(&mut self) {}
    fn assigned(&mut self, _: usize) {}
    fn flowing(&mut self) {}
    fn standing(&mut self, _: &str) {}
    fn circuit(&mut self, open: bool) {
        self.circuit_opened += usize::from(open);
    }
}

fn record(partition: Partition, offset: Offset, value: Option<Vec<u8>>) -> OwnedRecord {
    OwnedRecord {
        partition,
        offset,
        timestamp_millis: Some(1_780_000_000_000),
        key: Some(format!("{partition}-{offset}").into_bytes()),
        value,
        headers: Vec::new(),
    }
}

fn sent(partition: Partition, offset: Offset, total: u32) -> OwnedRecord {
    let value = format!(r#"{{"order_id":"{partition}-{offset}","status":"SENT","total":{total}}}"#);
    record(partition, offset, Some(value.into_bytes()))
}

fn framed(partition: Partition, offset: Offset, schema_id: u32) -> OwnedRecord {
    let order_id = format!("{partition}-{offset}");
    let mut value = Vec::new();
    schemas::NewOrderStatus {
        order_id: &order_id,
        status: schemas::Status::Sent,
        total: "150".parse().unwrap(),
        currency: "EUR".parse().unwrap(),
        version: 1,
        occurred_at: schemas::Timestamp::from_millis(1_780_000_000_000),
        sent_at: None,
    }
    .write_avro(schema_id, &mut value)
    .unwrap();
    record(partition, offset, Some(value))
}

/// Steps until everything is committed. The number of steps is bounded: faults end, so must it.
fn run(kafka: Kafka, guarantee: Guarantee) -> (Kafka, Watch) {
    let topics = Topics {
        source: "order-status".to_owned(),
        vouchers: "vouchers".to_owned(),
        dead_letters: "order-status.dlq".to_owned(),
    };
    let rule = Rule {
        campaign: "order-reward".to_owned(),
        min_total: "100".parse().unwrap(),
        amount: "5.00".parse().unwrap(),
        currency: "EUR".parse().unwrap(),
        valid_days: None,
        sent_from: None,
        sent_until: None,
    };
    let keys = SigningKeys::single("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let evaluator = Evaluator::new(rule, keys, "EUR".parse().unwrap()).unwrap();
    let breaker = CircuitBreaker::new(&CircuitBreakerSettings {
        dead_letter_limit: 500,
        accept_dead_letters: false,
    });
    let clock = ModelClock::default();
    let mut watch = Watch::default();
    let mut task = Task::new(
        kafka,
        Schemas::default(),
        clock.clone(),
        &mut watch,
        Arc::new(evaluator),
        breaker,
        TaskSettings {
            guarantee,
            topics,
            format: VoucherFormat::Json,
            transactional_id: "processor/test/0".to_owned(),
        },
    );
    for _ in 0..20_000 {
        clock.0.set(task.log.now);
        let end: Positions = task
            .log
            .inputs
            .iter()
            .filter(|(_, records)| !records.is_empty())
            .map(|(partition, records)| (*partition, i64::try_from(records.len()).unwrap()))
            .collect();
        if task.log.committed == end && task.is_idle() {
            let kafka = task.log;
            return (kafka, watch);
        }
        // Two processes with one name is a case of its own.
        if let Step::Stop(failure) = task.step() {
            assert!(
                failure.to_string().contains("PROCESSOR_INSTANCE_ID"),
                "{failure}"
            );
            task.fences = super::Fences::default();
            task.state = super::State::Opening;
        }
    }
    panic!(
        "did not finish: {:?}, committed {:?}, assigned {:?}",
        task.state, task.log.committed, task.assigned
    );
}

fn kafka(inputs: Vec<OwnedRecord>, faults: Vec<Fault>) -> Kafka {
    let mut kafka = Kafka {
        faults: faults.into(),
        inputs: BTreeMap::from([(0, Vec::new()), (1, Vec::new())]),
        to_assign: BTreeSet::from([0, 1]),
        ..Kafka::default()
    };
    for record in inputs {
        kafka
            .inputs
            .get_mut(&record.partition)
            .unwrap()
            .push(record);
    }
    kafka
}

/// What each input must have become, once.
fn expected(kafka: &Kafka) -> Vec<Written> {
    let mut expected = Vec::new();
    for record in kafka.inputs.values().flatten() {
        let value = record.value.as_deref().unwrap_or_default();
        let topic = match value.first() {
            Some(0) if value[4] == 7 => "vouchers",
            Some(0) => "order-status.dlq",
            Some(b'{') if value.ends_with(b"150}") => "vouchers",
            Some(b'x') => "order-status.dlq",
            _ => continue,
        };
        expected.push((topic.to_owned(), record.partition, record.offset));
    }
    expected.sort();
    expected
}

fn mixed() -> impl Strategy<Value = Vec<OwnedRecord>> {
    prop::collection::vec((0..2_i32, 0..6_u8), 0..40).prop_map(|kinds| {
        let mut next = [0_i64; 2];
        kinds
            .into_iter()
            .map(|(partition, kind)| {
                let slot = &mut next[usize::try_from(partition).unwrap()];
                let offset = *slot;
                *slot += 1;
                match kind {
                    0 | 1 => sent(partition, offset, 150),
                    2 => sent(partition, offset, 20),
                    3 => record(partition, offset, Some(b"x".to_vec())),
                    4 => framed(partition, offset, 7),
                    _ => record(partition, offset, None),
                }
            })
            .collect()
    })
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    prop::collection::vec(
        prop_oneof![
            6 => Just(Fault::None),
            1 => Just(Fault::Retriable),
            1 => Just(Fault::Abortable),
            1 => Just(Fault::Fatal),
            1 => Just(Fault::Fenced),
            1 => Just(Fault::DoneThenFatal),
            1 => Just(Fault::Rebalance),
        ],
        0..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_fails_every_record_has_its_outcome_exactly_once(inputs in mixed(), faults in faults()) {
        let (kafka, _) = run(kafka(inputs, faults), Guarantee::ExactlyOnce);
        let mut written = kafka.written.clone();
        written.sort();
        prop_assert_eq!(written, expected(&kafka));
    }

    #[test]
    fn at_least_once_may_repeat_and_loses_nothing(inputs in mixed(), faults in faults()) {
        let (kafka, _) = run(kafka(inputs, faults), Guarantee::AtLeastOnce);
        let mut written = kafka.written.clone();
        written.sort();
        written.dedup();
        prop_assert_eq!(written, expected(&kafka));
    }
}

#[test]
fn records_that_earn_nothing_need_no_transaction() {
    let (kafka, watch) = run(
        kafka(vec![sent(0, 0, 20), record(0, 1, None)], Vec::new()),
        Guarantee::ExactlyOnce,
    );
    assert_eq!(kafka.offsets_only_commits, 1);
    assert_eq!(watch.records, 2);
}

#[test]
fn a_record_whose_schema_is_not_known_yet_waits_and_the_ones_before_it_do_not() {
    let (kafka, _) = run(
        kafka(
            vec![sent(0, 0, 150), framed(0, 1, 7), sent(0, 2, 150)],
            Vec::new(),
        ),
        Guarantee::ExactlyOnce,
    );
    assert_eq!(kafka.written, expected(&kafka));
}

#[test]
fn a_thousand_dead_records_open_the_circuit_and_write_nothing_more() {
    let inputs: Vec<_> = (0..1500)
        .map(|offset| record(0, offset, Some(b"x".to_vec())))
        .collect();
    let outcome =
        std::panic::catch_unwind(|| run(kafka(inputs, Vec::new()), Guarantee::ExactlyOnce));
    let message = *outcome
        .map(|_| ())
        .unwrap_err()
        .downcast::<String>()
        .unwrap();
    assert!(message.contains("did not finish: CircuitOpen"), "{message}");
    assert!(
        message.contains("committed {}"),
        "nothing of the batch is committed: {message}"
    );
}

#[test]
fn a_process_that_is_fenced_again_and_again_ends_and_names_the_setting() {
    // `run` checks the sentence of the failure, then goes on.
    let faults = vec![Fault::Fenced; 3];
    let (kafka, _) = run(kafka(vec![sent(0, 0, 150)], faults), Guarantee::ExactlyOnce);
    assert_eq!(kafka.written.len(), 1);
}
