//! The comparison of what was promised with what is there: a pure function.

pub mod observed;

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;

use crate::journal::{Answer, Entry, Expected};
use observed::{Observed, ObservedDeadLetter, OrderRow, Place, StatusRecord};

/// How a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// An acknowledged order, change or record is missing.
    AcknowledgementLost,
    /// Two orders of one idempotency key.
    OrderTwice,
    /// An order's newest record in the topic is not its newest version.
    NewestVersionNotLast,
    /// An eligible order without a row.
    RowMissing,
    /// An order with more than one row.
    RowTwice,
    /// A row of an order that is not eligible.
    RowUnexpected,
    /// An eligible record without a voucher record.
    VoucherMissing,
    /// A record with more than one voucher record.
    VoucherTwice,
    /// A voucher record of a record that is not eligible.
    VoucherUnexpected,
    /// An unusable record without a dead letter.
    DeadLetterMissing,
    /// A record with more than one dead letter.
    DeadLetterTwice,
    /// A dead letter of a valid record, or of none.
    DeadLetterUnexpected,
    /// A dead letter with other bytes than its record's.
    DeadLetterChanged,
    /// A record that nobody wrote.
    RecordUnexpected,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How it was broken.
    pub broken: Broken,
    /// The order or record concerned.
    pub what: String,
}

/// The result of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Orders whose creation was acknowledged.
    pub orders_acknowledged: usize,
    /// Acknowledged records that were written directly to the topic.
    pub records_acknowledged: usize,
    /// Requests without an answer.
    pub unanswered: usize,
    /// Orders that must have a row.
    pub eligible: usize,
    /// Rows in the sink's table.
    pub rows: usize,
    /// Rows, voucher records, dead letters and orders that exist more than once.
    pub duplicates: usize,
    /// Acknowledged requests, rows, voucher records and dead letters that are missing.
    pub missing: usize,
    /// Rows, voucher records, dead letters and records without a cause.
    pub unexpected: usize,
    /// Unusable records in the order statuses.
    pub dead_letters_expected: usize,
    /// Dead letters.
    pub dead_letters_found: usize,
    /// Every broken promise.
    pub problems: Vec<Problem>,
}

impl Judgement {
    /// Returns whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn broken(&mut self, broken: Broken, what: impl std::fmt::Display) {
        let what = what.to_string();
        match broken {
            Broken::AcknowledgementLost
            | Broken::NewestVersionNotLast
            | Broken::RowMissing
            | Broken::VoucherMissing
            | Broken::DeadLetterMissing => self.missing += 1,
            Broken::OrderTwice
            | Broken::RowTwice
            | Broken::VoucherTwice
            | Broken::DeadLetterTwice => self.duplicates += 1,
            Broken::RowUnexpected
            | Broken::VoucherUnexpected
            | Broken::DeadLetterUnexpected
            | Broken::DeadLetterChanged
            | Broken::RecordUnexpected => self.unexpected += 1,
        }
        self.problems.push(Problem { broken, what });
    }
}

/// Compares the clients' journal with what was observed.
#[must_use]
pub fn judge(journal: &[Entry], observed: &Observed) -> Judgement {
    let mut verdict = Judgement {
        rows: observed.rows.len(),
        dead_letters_found: observed.dead_letters.len(),
        ..Judgement::default()
    };
    let orders: BTreeMap<&str, &OrderRow> = observed
        .orders
        .iter()
        .map(|order| (order.order_id.as_str(), order))
        .collect();
    created(journal, &orders, &mut verdict);
    changed(journal, &orders, &mut verdict);
    written(journal, observed, &mut verdict);
    last_versions(observed, &mut verdict);
    let expected = expected(journal, &orders, observed, &mut verdict);
    vouchers(&expected, observed, &mut verdict);
    dead_letters(&expected, observed, &mut verdict);
    rows(&expected, &orders, observed, &mut verdict);
    verdict
}

/// Checks that every acknowledged order exists once.
fn created(journal: &[Entry], orders: &BTreeMap<&str, &OrderRow>, verdict: &mut Judgement) {
    let mut ids = BTreeMap::<&str, BTreeSet<&str>>::new();
    let mut acknowledged = BTreeMap::<&str, BTreeSet<&str>>::new();
    for entry in journal {
        let Entry::Create {
            key,
            order_id,
            answer,
        } = entry
        else {
            continue;
        };
        verdict.unanswered += usize::from(*answer == Answer::Unknown);
        let ids = ids.entry(key).or_default();
        if let Some(order_id) = order_id {
            ids.insert(order_id);
            if *answer == Answer::Acknowledged {
                acknowledged.entry(key).or_default().insert(order_id);
            }
        }
    }
    for (key, order_ids) in &acknowledged {
        for order_id in order_ids {
            if !orders.contains_key(order_id) {
                verdict.broken(Broken::AcknowledgementLost, format!("order {order_id}"));
            }
        }
        if order_ids.len() > 1 {
            verdict.broken(Broken::OrderTwice, format!("{key}: {order_ids:?}"));
        }
    }
    verdict.orders_acknowledged = acknowledged
        .values()
        .flatten()
        .collect::<BTreeSet<_>>()
        .len();
    // A creation that was never answered may have made one order whose id no client knows.
    let known: BTreeSet<&str> = ids.values().flatten().copied().collect();
    let unanswered = ids.values().filter(|ids| ids.is_empty()).count();
    let unknown: Vec<_> = orders.keys().filter(|id| !known.contains(*id)).collect();
    for order_id in unknown.iter().skip(unanswered) {
        verdict.broken(
            Broken::OrderTwice,
            format!("{order_id}: no client knows it"),
        );
    }
}

/// Checks that every acknowledged change was made.
fn changed(journal: &[Entry], orders: &BTreeMap<&str, &OrderRow>, verdict: &mut Judgement) {
    for entry in journal {
        let Entry::Change {
            order_id,
            status,
            answer,
        } = entry
        else {
            continue;
        };
        verdict.unanswered += usize::from(*answer == Answer::Unknown);
        let made = orders
            .get(order_id.as_str())
            .is_some_and(|order| match status.as_str() {
                "SENT" => order.sent,
                // These statuses are final.
                last => order.status == last,
            });
        if *answer == Answer::Acknowledged && !made {
            verdict.broken(
                Broken::AcknowledgementLost,
                format!("order {order_id} to {status}"),
            );
        }
    }
}

/// Checks that every acknowledged record is in the topic, where the broker said.
fn written(journal: &[Entry], observed: &Observed, verdict: &mut Judgement) {
    let records: BTreeMap<Place, &StatusRecord> = observed
        .statuses
        .iter()
        .map(|record| (record.place, record))
        .collect();
    for entry in journal {
        let Entry::Write {
            key, value, place, ..
        } = entry
        else {
            continue;
        };
        let Some(place) = place else {
            verdict.unanswered += 1;
            continue;
        };
        verdict.records_acknowledged += 1;
        let is_it = |record: &&StatusRecord| record.key == *key && record.value == *value;
        // A record that was sent twice is acknowledged without an offset (librdkafka: -1001) if the
        // broker has it already: then it may be anywhere in its partition.
        let kept = match place {
            (partition, ..0) => observed
                .statuses
                .iter()
                .filter(|record| record.place.0 == *partition)
                .any(|record| is_it(&record)),
            _ => records.get(place).is_some_and(is_it),
        };
        if !kept {
            verdict.broken(Broken::AcknowledgementLost, format!("record {place:?}"));
        }
    }
}

/// Checks that the versions of an order first appear in ascending order, and that the last record
/// has the version of the table.
fn last_versions(observed: &Observed, verdict: &mut Judgement) {
    let mut seen = BTreeMap::<&[u8], Vec<i64>>::new();
    for record in &observed.statuses {
        if let Some((version, _)) = record.relayed {
            seen.entry(&record.key).or_default().push(version);
        }
    }
    for order in &observed.orders {
        let versions = seen.remove(order.order_id.as_bytes()).unwrap_or_default();
        let mut firsts = Vec::new();
        for version in &versions {
            if !firsts.contains(version) {
                firsts.push(*version);
            }
        }
        if versions.last() != Some(&order.version) || !firsts.iter().copied().eq(1..=order.version)
        {
            verdict.broken(
                Broken::NewestVersionNotLast,
                format!(
                    "order {}: version {}, in the topic {versions:?}",
                    order.order_id, order.version
                ),
            );
        }
    }
}

/// Returns what must become of each record.
fn expected<'a>(
    journal: &[Entry],
    orders: &BTreeMap<&str, &OrderRow>,
    observed: &'a Observed,
    verdict: &mut Judgement,
) -> BTreeMap<Place, (&'a StatusRecord, Expected)> {
    let written: BTreeMap<(&[u8], &[u8]), Expected> = journal
        .iter()
        .filter_map(|entry| match entry {
            Entry::Write {
                key,
                value,
                expected,
                ..
            } => Some(((key.as_slice(), value.as_slice()), *expected)),
            _ => None,
        })
        .collect();
    let mut all = BTreeMap::new();
    for record in &observed.statuses {
        let written = written.get(&(record.key.as_slice(), record.value.as_slice()));
        let order = std::str::from_utf8(&record.key)
            .ok()
            .and_then(|id| orders.get(id));
        let expected = match (written, record.relayed, order) {
            (Some(expected), _, _) => *expected,
            (None, Some((_, true)), Some(order)) if is_enough(order) => Expected::Voucher,
            (None, Some(_), Some(_)) => Expected::Skip,
            _ => {
                verdict.broken(Broken::RecordUnexpected, format!("{:?}", record.place));
                continue;
            }
        };
        all.insert(record.place, (record, expected));
    }
    all
}

fn is_enough(order: &OrderRow) -> bool {
    order.total >= Decimal::ONE_HUNDRED
}

type ExpectedOf<'a> = BTreeMap<Place, (&'a StatusRecord, Expected)>;

fn vouchers(expected: &ExpectedOf<'_>, observed: &Observed, verdict: &mut Judgement) {
    let mut issued = BTreeMap::<Place, usize>::new();
    for voucher in &observed.vouchers {
        *issued.entry(voucher.source).or_default() += 1;
        let is_expected = expected
            .get(&voucher.source)
            .is_some_and(|(record, expected)| {
                *expected == Expected::Voucher && record.key == voucher.order_id.as_bytes()
            });
        if !is_expected {
            verdict.broken(
                Broken::VoucherUnexpected,
                format!("order {} of {:?}", voucher.order_id, voucher.source),
            );
        }
    }
    for (place, (record, expected)) in expected {
        let what = || format!("{} at {place:?}", String::from_utf8_lossy(&record.key));
        match (expected, issued.get(place).copied().unwrap_or(0)) {
            (Expected::Voucher, 0) => verdict.broken(Broken::VoucherMissing, what()),
            (_, 0 | 1) => {}
            _ => verdict.broken(Broken::VoucherTwice, what()),
        }
    }
}

fn dead_letters(expected: &ExpectedOf<'_>, observed: &Observed, verdict: &mut Judgement) {
    let mut found = BTreeMap::<Place, Vec<&ObservedDeadLetter>>::new();
    for dead_letter in &observed.dead_letters {
        found
            .entry(dead_letter.source)
            .or_default()
            .push(dead_letter);
    }
    for (place, (record, expected)) in expected {
        let dead_letters = found.remove(place).unwrap_or_default();
        if *expected != Expected::DeadLetter {
            if !dead_letters.is_empty() {
                verdict.broken(Broken::DeadLetterUnexpected, format!("{place:?}"));
            }
            continue;
        }
        verdict.dead_letters_expected += 1;
        match dead_letters.as_slice() {
            [] => verdict.broken(Broken::DeadLetterMissing, format!("{place:?}")),
            [one] if one.key != record.key || one.value != record.value => {
                verdict.broken(Broken::DeadLetterChanged, format!("{place:?}"));
            }
            [_] => {}
            _ => verdict.broken(Broken::DeadLetterTwice, format!("{place:?}")),
        }
    }
    for place in found.keys() {
        verdict.broken(
            Broken::DeadLetterUnexpected,
            format!("{place:?}, of no record"),
        );
    }
    for order_id in &observed.sink_dead_letters {
        verdict.broken(
            Broken::DeadLetterUnexpected,
            format!("of the voucher of {order_id}"),
        );
    }
}

fn rows(
    expected: &ExpectedOf<'_>,
    orders: &BTreeMap<&str, &OrderRow>,
    observed: &Observed,
    verdict: &mut Judgement,
) {
    // From the tables and the journal, not from the relayed records in the topic.
    let sent = orders
        .values()
        .filter(|order| order.sent && is_enough(order))
        .map(|order| order.order_id.clone());
    let written = expected
        .values()
        .filter(|(_, expected)| *expected == Expected::Voucher)
        .map(|(record, _)| String::from_utf8_lossy(&record.key).into_owned());
    let eligible: BTreeSet<String> = sent.chain(written).collect();
    let mut found = BTreeMap::<&str, usize>::new();
    for order_id in &observed.rows {
        *found.entry(order_id).or_default() += 1;
    }
    for order_id in &eligible {
        match found.remove(order_id.as_str()) {
            None => verdict.broken(Broken::RowMissing, format!("order {order_id}")),
            Some(1) => {}
            Some(_) => verdict.broken(Broken::RowTwice, format!("order {order_id}")),
        }
    }
    for order_id in found.keys() {
        verdict.broken(Broken::RowUnexpected, format!("order {order_id}"));
    }
    verdict.eligible = eligible.len();
}
