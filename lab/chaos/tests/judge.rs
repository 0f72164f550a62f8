//! The judge finds what is tampered with, and nothing in a clean run.

use chaos::journal::{Answer, Entry, Expected};
use chaos::verdict::observed::{
    Observed, ObservedDeadLetter, OrderRow, StatusRecord, VoucherRecord,
};
use chaos::verdict::{Broken, Judgement, judge};

const BAD: &[u8] = b"{";
const GOOD: &[u8] = br#"{"order_id":"typed","status":"SENT","total":150}"#;

/// An order that was sent, one that is too small, a typed record and a bad one.
fn clean() -> (Vec<Entry>, Observed) {
    let create = |order_id: &str| Entry::Create {
        key: format!("key-{order_id}"),
        order_id: Some(order_id.to_owned()),
        answer: Answer::Acknowledged,
    };
    let send = |order_id: &str, answer| Entry::Change {
        order_id: order_id.to_owned(),
        status: "SENT".to_owned(),
        answer,
    };
    let write = |key: &str, value: &[u8], expected, place| Entry::Write {
        key: key.into(),
        value: value.into(),
        expected,
        place: Some(place),
    };
    let journal = vec![
        create("large"),
        create("small"),
        send("large", Answer::Unknown),
        send("large", Answer::Acknowledged),
        send("small", Answer::Acknowledged),
        write("typed", GOOD, Expected::Voucher, (1, 0)),
        write("bad", BAD, Expected::DeadLetter, (1, 1)),
    ];
    let order = |order_id: &str, total: &str| OrderRow {
        order_id: order_id.to_owned(),
        status: "SENT".to_owned(),
        total: total.parse().expect("a decimal"),
        version: 2,
        sent: true,
    };
    let relayed = |key: &str, offset, version, sent| StatusRecord {
        place: (0, offset),
        key: key.into(),
        value: vec![0, 1],
        relayed: Some((version, sent)),
    };
    let typed = |key: &str, offset, value: &[u8]| StatusRecord {
        place: (1, offset),
        key: key.into(),
        value: value.into(),
        relayed: None,
    };
    let voucher = |order_id: &str, source| VoucherRecord {
        order_id: order_id.to_owned(),
        source,
    };
    let observed = Observed {
        orders: vec![order("large", "100.00"), order("small", "99.99")],
        statuses: vec![
            relayed("large", 0, 1, false),
            relayed("small", 1, 1, false),
            relayed("large", 2, 2, true),
            relayed("small", 3, 2, true),
            typed("typed", 0, GOOD),
            typed("bad", 1, BAD),
        ],
        vouchers: vec![voucher("large", (0, 2)), voucher("typed", (1, 0))],
        rows: vec!["large".to_owned(), "typed".to_owned()],
        dead_letters: vec![ObservedDeadLetter {
            source: (1, 1),
            key: b"bad".to_vec(),
            value: BAD.to_vec(),
        }],
        sink_dead_letters: Vec::new(),
    };
    (journal, observed)
}

/// Returns the verdict over a clean run that `tamper` has changed.
fn tampered(tamper: impl FnOnce(&mut Vec<Entry>, &mut Observed)) -> Judgement {
    let (mut journal, mut observed) = clean();
    tamper(&mut journal, &mut observed);
    judge(&journal, &observed)
}

/// Returns which promises are broken after `tamper` has changed what is observed.
fn found(tamper: impl FnOnce(&mut Observed)) -> Vec<Broken> {
    let verdict = tampered(|_, observed| tamper(observed));
    assert!(!verdict.holds());
    verdict
        .problems
        .iter()
        .map(|problem| problem.broken)
        .collect()
}

#[test]
fn a_run_that_kept_every_promise_holds() {
    let verdict = tampered(|_, _| {});
    assert!(verdict.holds(), "{:?}", verdict.problems);
    assert_eq!(
        (verdict.orders_acknowledged, verdict.records_acknowledged),
        (2, 2)
    );
    assert_eq!((verdict.eligible, verdict.rows), (2, 2));
    assert_eq!(
        (verdict.dead_letters_expected, verdict.dead_letters_found),
        (1, 1)
    );
    assert_eq!(verdict.unanswered, 1);
}

/// librdkafka reports this when a record is sent again that the broker has already.
#[test]
fn a_record_that_was_acknowledged_without_its_offset_must_be_in_its_partition() {
    let without_offset = |partition| Entry::Write {
        key: b"typed".to_vec(),
        value: GOOD.to_vec(),
        expected: Expected::Voucher,
        place: Some((partition, -1001)),
    };
    let verdict = tampered(|journal, _| journal.push(without_offset(1)));
    assert!(verdict.holds(), "{:?}", verdict.problems);
    let verdict = tampered(|journal, _| journal.push(without_offset(0)));
    assert_eq!(verdict.problems[0].broken, Broken::AcknowledgementLost);
}

#[test]
fn a_lost_row_is_found() {
    let verdict = tampered(|_, observed| observed.rows.retain(|row| row != "large"));
    assert_eq!(verdict.problems[0].broken, Broken::RowMissing);
    assert_eq!((verdict.missing, verdict.duplicates), (1, 0));
}

#[test]
fn a_second_row_and_a_second_voucher_are_found() {
    let verdict = tampered(|_, observed| observed.rows.push("typed".to_owned()));
    assert_eq!(verdict.problems[0].broken, Broken::RowTwice);
    assert_eq!((verdict.missing, verdict.duplicates), (0, 1));
    let again = |observed: &mut Observed| observed.vouchers.push(observed.vouchers[0].clone());
    assert_eq!(found(again), [Broken::VoucherTwice]);
}

#[test]
fn a_dead_letter_that_is_missing_double_or_changed_is_found() {
    assert_eq!(
        found(|it| it.dead_letters.clear()),
        [Broken::DeadLetterMissing]
    );
    let again =
        |observed: &mut Observed| observed.dead_letters.push(observed.dead_letters[0].clone());
    assert_eq!(found(again), [Broken::DeadLetterTwice]);
    let changed = |observed: &mut Observed| observed.dead_letters[0].value.push(b' ');
    assert_eq!(found(changed), [Broken::DeadLetterChanged]);
    let of_a_good_one = |observed: &mut Observed| observed.dead_letters[0].source = (1, 0);
    assert_eq!(
        found(of_a_good_one),
        [Broken::DeadLetterUnexpected, Broken::DeadLetterMissing]
    );
}

#[test]
fn a_row_without_a_cause_is_found() {
    let small = |observed: &mut Observed| observed.rows.push("small".to_owned());
    assert_eq!(found(small), [Broken::RowUnexpected]);
    let voucher = |observed: &mut Observed| observed.vouchers[0].source = (0, 3);
    assert_eq!(
        found(voucher),
        [Broken::VoucherUnexpected, Broken::VoucherMissing]
    );
}

#[test]
fn an_acknowledgement_that_was_forgotten_is_found() {
    let forgotten = |observed: &mut Observed| observed.orders[0].sent = false;
    assert!(found(forgotten).contains(&Broken::AcknowledgementLost));
    let record = |observed: &mut Observed| drop(observed.statuses.remove(5));
    assert!(found(record).contains(&Broken::AcknowledgementLost));
}

#[test]
fn an_old_version_after_a_newer_one_is_found() {
    let regress = |observed: &mut Observed| {
        let mut old = observed.statuses[0].clone();
        old.place = (0, 4);
        observed.statuses.push(old);
    };
    assert_eq!(found(regress), [Broken::NewestVersionNotLast]);
}

#[test]
fn a_second_order_of_one_idempotency_key_is_found() {
    let verdict = tampered(|journal, _| {
        journal.push(Entry::Create {
            key: "key-large".to_owned(),
            order_id: Some("small".to_owned()),
            answer: Answer::Acknowledged,
        });
    });
    assert_eq!(verdict.problems[0].broken, Broken::OrderTwice);
}

#[test]
fn what_was_never_answered_may_be_done_or_not() {
    let verdict = tampered(|journal, observed| {
        for done in ["one", "two"] {
            journal.push(Entry::Create {
                key: done.to_owned(),
                order_id: None,
                answer: Answer::Unknown,
            });
        }
        let mut order = observed.orders[0].clone();
        order.order_id = "by the server".to_owned();
        (order.version, order.sent) = (1, false);
        observed.orders.push(order);
        let mut record = observed.statuses[0].clone();
        (record.place, record.key) = ((0, 9), b"by the server".to_vec());
        observed.statuses.push(record);
    });
    assert!(verdict.holds(), "{:?}", verdict.problems);
}
