//! The loop against a small model of Kafka: faults at any call, and what must hold nevertheless.

mod audit;
mod lag;
mod model;
mod records;
mod refusals;
mod sampled;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use runtime::audit::AuditTrail;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::kafka::Membership;
use runtime::record::{OwnedRecord, Positions};
use runtime::stepping::Driver;
use schemas::ValueFormat;

use super::{Guarantee, Ports, Settings, Task};
use crate::batch::{Batch, Topics};
use crate::evaluate::Evaluator;
use crate::limits::{BatchLimits, MAX_QUIET_FAILURES};
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;
use model::{Fault, Hangs, Kafka, ModelClock, Schemas, Written};
use records::{framed, record, sent};
use watch::Watch;

/// Steps until everything is committed. The number of steps is bounded: the faults end, so the loop must
/// end too.
fn run(kafka: Kafka, guarantee: Guarantee) -> (Kafka, Watch) {
    run_audited(kafka, guarantee, None)
}

/// Runs like [`run`], with audit records as a backfill writes them.
fn run_audited(kafka: Kafka, guarantee: Guarantee, audit: Option<AuditTrail>) -> (Kafka, Watch) {
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
    let clock = ModelClock::default();
    let mut watch = Watch::default();
    let ports = Ports {
        log: kafka,
        schemas: Schemas::default(),
        clock: clock.clone(),
        observer: &mut watch,
    };
    let settings = Settings {
        guarantee,
        evaluator: Arc::new(evaluator),
        batch: Batch::new(topics, ValueFormat::Json).audited(audit),
        limits: BatchLimits::default(),
        breaker: CircuitBreakerSettings {
            dead_letter_limit: 500,
            accept_dead_letters: false,
        },
        transactional_id: "processor/test/0".to_owned(),
    };
    let mut driver = Driver::new(Task::new(ports, settings));
    for _ in 0..20_000 {
        let log = &driver.machine.ports.log;
        clock.0.set(log.now);
        let end: Positions = log
            .inputs
            .iter()
            .filter(|(_, records)| !records.is_empty())
            .map(|(partition, records)| (*partition, i64::try_from(records.len()).unwrap()))
            .collect();
        if log.committed == end && driver.is_idle() {
            return (driver.machine.ports.log, watch);
        }
        if let Err(failure) = driver.step() {
            panic!("ended: {failure}");
        }
    }
    panic!(
        "did not finish: {:?}, committed {:?}, {:?}",
        driver.state, driver.machine.ports.log.committed, driver.machine.assignment
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

/// Returns the records that must have been written, each exactly once.
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
            1 => Just(Fault::Replaced),
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

/// A member that has asked to join gets no offsets before the rebalance has ended.
#[test]
fn a_batch_that_a_rebalance_aborts_is_written_again_without_the_groups_offsets() {
    let mut aborted = 0;
    for calls in 0..20 {
        let mut faults = vec![Fault::None; calls];
        faults.push(Fault::Rebalance);
        let inputs = vec![sent(0, 0, 150), sent(1, 0, 150), sent(1, 1, 20)];
        let (kafka, watch) = run(kafka(inputs, faults), Guarantee::ExactlyOnce);
        let mut written = kafka.written.clone();
        written.sort();
        assert_eq!(written, expected(&kafka), "{calls}");
        assert_eq!(kafka.rewinds, 0, "{calls}");
        assert_eq!(watch.records, 3, "{calls}");
        aborted += kafka.aborted.len();
    }
    assert!(
        aborted > 0,
        "some of the rebalances come within the transaction"
    );
}

#[test]
fn offsets_that_a_rebalance_refuses_are_committed_after_it_without_reading_again() {
    for calls in 0..10 {
        let mut faults = vec![Fault::None; calls];
        faults.push(Fault::Rebalance);
        let inputs = vec![sent(0, 0, 20), sent(1, 0, 20)];
        let (kafka, _) = run(kafka(inputs, faults), Guarantee::ExactlyOnce);
        assert_eq!(kafka.rewinds, 0, "{calls}");
    }
}

/// The member may have been removed, and only reading shows it.
#[test]
fn a_batch_that_fails_again_and_again_is_read_again() {
    let mut faults = vec![Fault::None; 5];
    for _ in 0..=MAX_QUIET_FAILURES {
        faults.extend([Fault::Abortable, Fault::None, Fault::None]);
    }
    let (kafka, _) = run(kafka(vec![sent(0, 0, 150)], faults), Guarantee::ExactlyOnce);
    assert_eq!((kafka.rewinds, kafka.written.len()), (1, 1));
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

/// Builds a model in which the task is replaced three times, and the group then gives these answers about
/// its name.
fn replaced_three_times(answers: Vec<Membership>) -> Kafka {
    // Only a poll reports a replacement, so the script has more of them than take effect.
    let faults = [Fault::None, Fault::Replaced].repeat(3);
    Kafka {
        answers: answers.into(),
        ..kafka(vec![sent(0, 0, 150)], faults)
    }
}

/// Answers for longer than a session timeout.
fn all_the_while(membership: Membership) -> Vec<Membership> {
    vec![membership; 40]
}

fn how_it_ends(kafka: Kafka) -> String {
    let outcome = std::panic::catch_unwind(|| run(kafka, Guarantee::ExactlyOnce));
    let panicked = outcome.map(|_| ()).unwrap_err();
    *panicked.downcast::<String>().unwrap()
}

#[test]
fn a_process_whose_name_another_one_heartbeats_ends_and_names_the_setting() {
    let message = how_it_ends(replaced_three_times(all_the_while(Membership::Present)));
    assert!(message.contains("PROCESSOR_INSTANCE_ID"), "{message}");
}

/// The coordinator answered a join that the client had repeated: no process has the member of our name.
#[test]
fn a_process_that_was_replaced_by_itself_goes_on() {
    let mut answers = vec![Membership::Present; 12];
    answers.push(Membership::Absent);
    let (kafka, _) = run(replaced_three_times(answers), Guarantee::ExactlyOnce);
    assert_eq!(kafka.written.len(), 1);
}

#[test]
fn a_process_that_is_replaced_during_an_outage_goes_on() {
    let mut answers = vec![Membership::Present; 12];
    answers.push(Membership::Unknown);
    answers.extend(all_the_while(Membership::Present));
    let (kafka, _) = run(replaced_three_times(answers), Guarantee::ExactlyOnce);
    assert_eq!(kafka.written.len(), 1);
}

/// No session timeout runs during a rebalance: only answers after it count.
#[test]
fn a_member_seen_during_a_rebalance_is_not_taken_for_another_process() {
    let mut answers = all_the_while(Membership::Rebalancing);
    answers.extend(vec![Membership::Present; 12]);
    answers.push(Membership::Absent);
    let (kafka, _) = run(replaced_three_times(answers), Guarantee::ExactlyOnce);
    assert_eq!(kafka.written.len(), 1);
}

/// Two processes with one name would both end if fences of their producers counted.
#[test]
fn fences_of_the_producer_alone_end_nobody() {
    let faults = vec![Fault::Fenced; 20];
    let (kafka, _) = run(kafka(vec![sent(0, 0, 150)], faults), Guarantee::ExactlyOnce);
    assert_eq!(kafka.written.len(), 1);
}

/// Whichever call failed and made the task rewind.
#[test]
fn offsets_that_stay_held_back_make_the_task_take_over_its_ids_again() {
    let mut searches = [0, 0];
    for hangs in [Hangs::Rewinding, Hangs::Placing] {
        for calls in 0..12 {
            let mut faults = vec![Fault::None; calls];
            // After each failure the transaction is drained and aborted, and the next one is begun.
            for _ in 0..=MAX_QUIET_FAILURES {
                faults.extend([Fault::Abortable, Fault::None, Fault::None]);
            }
            let mut kafka = kafka(vec![sent(0, 0, 150)], faults);
            kafka.hangs = Some(hangs);
            let (kafka, _) = run(kafka, Guarantee::ExactlyOnce);
            assert_eq!(kafka.written.len(), 1, "{hangs:?}, {calls}");
            searches[usize::from(hangs == Hangs::Placing)] += kafka.inits - 1;
        }
    }
    assert!(
        searches.iter().all(|searches| *searches > 0),
        "{searches:?}"
    );
}
