//! The audit records of a backfill: their sums equal what was committed.

use proptest::prelude::*;
use runtime::audit::{Action, AuditSettings, AuditTopic, AuditTrail};
use runtime::settings::TopicSettings;
use serde_json::Value;

use super::model::{AUDIT, Kafka};
use super::records::{record, sent};
use super::{Guarantee, faults, kafka, mixed, run_audited};

fn trail() -> Option<AuditTrail> {
    let settings = AuditSettings {
        topic: AuditTopic {
            audit_topic: Some(AUDIT.to_owned()),
        },
        by: Some("ana".to_owned()),
        why: Some("a test".to_owned()),
    };
    let topics = TopicSettings {
        order_status_topic: "order-status".to_owned(),
        vouchers_topic: "vouchers".to_owned(),
    };
    let audit = settings.open("processor", &topics, None).unwrap();
    audit.map(|audit| {
        audit.of(Action {
            run: "may".to_owned(),
            run_number: Some(1),
            command: "backfill",
            group: "processor".to_owned(),
            what: "order-status from earliest to latest".to_owned(),
        })
    })
}

/// Returns the sums over all committed audit records: of records, vouchers and dead letters.
fn sums(kafka: &Kafka) -> [usize; 3] {
    let audit: Vec<Value> = kafka
        .audit
        .iter()
        .map(|value| serde_json::from_slice(value).unwrap())
        .collect();
    ["records", "vouchers", "dead_letters"].map(|name| {
        let numbers = audit.iter().map(|record| record[name].as_u64().unwrap());
        usize::try_from(numbers.sum::<u64>()).unwrap()
    })
}

/// Returns what the sums must be: the inputs, and the vouchers and dead letters in their topics.
fn effects(kafka: &Kafka) -> [usize; 3] {
    let written = |topic: &str| {
        let records = kafka.written.iter().filter(|(to, ..)| to == topic);
        records.count()
    };
    [
        kafka.inputs.values().map(Vec::len).sum(),
        written("vouchers"),
        written("order-status.dlq"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_fails_the_numbers_of_a_run_are_the_sums_of_its_records(
        inputs in mixed(),
        faults in faults(),
    ) {
        let (kafka, _) = run_audited(kafka(inputs, faults), Guarantee::ExactlyOnce, trail());
        prop_assert_eq!(sums(&kafka), effects(&kafka));
    }
}

#[test]
fn records_that_earn_nothing_are_recorded_too() {
    let inputs = vec![sent(0, 0, 20), record(0, 1, None)];
    let (kafka, _) = run_audited(kafka(inputs, Vec::new()), Guarantee::ExactlyOnce, trail());
    assert_eq!(sums(&kafka), [2, 0, 0]);
    assert_eq!(
        kafka.offsets_only_commits, 0,
        "their offsets are in the audit record's transaction"
    );
}

#[test]
fn without_an_audit_nothing_is_recorded() {
    let inputs = vec![sent(0, 0, 150), record(0, 1, None)];
    let (kafka, _) = run_audited(kafka(inputs, Vec::new()), Guarantee::ExactlyOnce, None);
    assert!(kafka.audit.is_empty());
}
