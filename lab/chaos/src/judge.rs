//! What was promised, compared with what is there: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;

use crate::journal::{Answer, Entry, Outcome};
use crate::observed::{Observed, ObservedDeadLetter, OrderRow, Place, StatusRecord};

/// How a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// An acknowledged order, change or record is not there.
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
    LetterMissing,
    /// A record with more than one dead letter.
    LetterTwice,
    /// A dead letter of a good record, or of none.
    LetterUnexpected,
    /// A dead letter with other bytes than its record's.
    LetterChanged,
    /// A record that nobody wrote.
    RecordUnexpected,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which.
    pub broken: Broken,
    /// Whose.
    pub what: String,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Orders whose creation was acknowledged.
    pub orders_acknowledged: usize,
    /// Records past the ingress that were acknowledged.
    pub records_acknowledged: usize,
    /// Requests without an answer.
    pub unanswered: usize,
    /// Orders that must have a row.
    pub eligible: usize,
    /// Rows in the sink's table.
    pub rows: usize,
    /// Rows, voucher records, dead letters and orders that are there more than once.
    pub duplicates: usize,
    /// Acknowledged requests, rows, voucher records and dead letters that are not there.
    pub missing: usize,
    /// Rows, voucher records, dead letters and records that nobody earned.
    pub unexpected: usize,
    /// Unusable records in the order statuses.
    pub dead_letters_expected: usize,
    /// Dead letters.
    pub dead_letters_found: usize,
    /// Every broken promise.
    pub problems: Vec<Problem>,
}

impl Judgement {
    /// Whether every promise was kept.
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
            | Broken::LetterMissing => self.missing += 1,
            Broken::OrderTwice | Broken::RowTwice | Broken::VoucherTwice | Broken::LetterTwice => {
                self.duplicates += 1
            }
            Broken::RowUnexpected
            | Broken::VoucherUnexpected
            | Broken::LetterUnexpected
            | Broken::LetterChanged
            | Broken::RecordUnexpected => self.unexpected += 1,
        }
        self.problems.push(Problem { broken, what });
    }
}

/// Compares the two.
#[must_use]
pub fn judge(journal: &[Entry], observed: &Observed) -> Judgement {
    let mut verdict = Judgement {
        rows: observed.rows.len(),
        dead_letters_found: observed.letters.len(),
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
    let outcomes = outcomes(journal, &orders, observed, &mut verdict);
    vouchers(&outcomes, observed, &mut verdict);
    letters(&outcomes, observed, &mut verdict);
    rows(&outcomes, &orders, observed, &mut verdict);
    verdict
}

/// Every acknowledged order is there, once.
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
    // A creation that was never answered may have made one order whose id nobody heard.
    let known: BTreeSet<&str> = ids.values().flatten().copied().collect();
    let unheard = ids.values().filter(|ids| ids.is_empty()).count();
    let strangers: Vec<_> = orders.keys().filter(|id| !known.contains(*id)).collect();
    for stranger in strangers.iter().skip(unheard) {
        verdict.broken(Broken::OrderTwice, format!("{stranger}: nobody's answer"));
    }
}

/// Every acknowledged change was made.
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
            .is_some_and(|order| match *status {
                "SENT" => order.sent,
                // Nothing comes after these.
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

/// Every acknowledged record is in the topic, where the broker said.
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
        // A record that was sent twice is acknowledged without an offset (librdkafka: -1001) when the
        // broker knows it already: then it is anywhere in its partition.
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

/// Versions appear first in their order, and the last is the table's.
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

/// What has to become of each record.
fn outcomes<'a>(
    journal: &[Entry],
    orders: &BTreeMap<&str, &OrderRow>,
    observed: &'a Observed,
    verdict: &mut Judgement,
) -> BTreeMap<Place, (&'a StatusRecord, Outcome)> {
    let past_the_ingress: BTreeMap<(&[u8], &[u8]), Outcome> = journal
        .iter()
        .filter_map(|entry| match entry {
            Entry::Write {
                key,
                value,
                outcome,
                ..
            } => Some(((key.as_slice(), value.as_slice()), *outcome)),
            _ => None,
        })
        .collect();
    let mut outcomes = BTreeMap::new();
    for record in &observed.statuses {
        let written = past_the_ingress.get(&(record.key.as_slice(), record.value.as_slice()));
        let order = std::str::from_utf8(&record.key)
            .ok()
            .and_then(|id| orders.get(id));
        let outcome = match (written, record.relayed, order) {
            (Some(outcome), _, _) => *outcome,
            (None, Some((_, true)), Some(order)) if is_enough(order) => Outcome::Voucher,
            (None, Some(_), Some(_)) => Outcome::Skip,
            _ => {
                verdict.broken(Broken::RecordUnexpected, format!("{:?}", record.place));
                continue;
            }
        };
        outcomes.insert(record.place, (record, outcome));
    }
    outcomes
}

fn is_enough(order: &OrderRow) -> bool {
    order.total >= Decimal::ONE_HUNDRED
}

type Outcomes<'a> = BTreeMap<Place, (&'a StatusRecord, Outcome)>;

fn vouchers(outcomes: &Outcomes<'_>, observed: &Observed, verdict: &mut Judgement) {
    let mut issued = BTreeMap::<Place, usize>::new();
    for voucher in &observed.vouchers {
        *issued.entry(voucher.source).or_default() += 1;
        let earned = outcomes
            .get(&voucher.source)
            .is_some_and(|(record, outcome)| {
                *outcome == Outcome::Voucher && record.key == voucher.order_id.as_bytes()
            });
        if !earned {
            verdict.broken(
                Broken::VoucherUnexpected,
                format!("order {} of {:?}", voucher.order_id, voucher.source),
            );
        }
    }
    for (place, (record, outcome)) in outcomes {
        let what = || format!("{} at {place:?}", String::from_utf8_lossy(&record.key));
        match (outcome, issued.get(place).copied().unwrap_or(0)) {
            (Outcome::Voucher, 0) => verdict.broken(Broken::VoucherMissing, what()),
            (_, 0 | 1) => {}
            _ => verdict.broken(Broken::VoucherTwice, what()),
        }
    }
}

fn letters(outcomes: &Outcomes<'_>, observed: &Observed, verdict: &mut Judgement) {
    let mut found = BTreeMap::<Place, Vec<&ObservedDeadLetter>>::new();
    for letter in &observed.letters {
        found.entry(letter.source).or_default().push(letter);
    }
    for (place, (record, outcome)) in outcomes {
        let letters = found.remove(place).unwrap_or_default();
        if *outcome != Outcome::DeadLetter {
            if !letters.is_empty() {
                verdict.broken(Broken::LetterUnexpected, format!("{place:?}"));
            }
            continue;
        }
        verdict.dead_letters_expected += 1;
        match letters.as_slice() {
            [] => verdict.broken(Broken::LetterMissing, format!("{place:?}")),
            [letter] if letter.key != record.key || letter.value != record.value => {
                verdict.broken(Broken::LetterChanged, format!("{place:?}"));
            }
            [_] => {}
            _ => verdict.broken(Broken::LetterTwice, format!("{place:?}")),
        }
    }
    for place in found.keys() {
        verdict.broken(Broken::LetterUnexpected, format!("{place:?}, of no record"));
    }
    for order_id in &observed.sink_letters {
        verdict.broken(
            Broken::LetterUnexpected,
            format!("of the voucher of {order_id}"),
        );
    }
}

fn rows(
    outcomes: &Outcomes<'_>,
    orders: &BTreeMap<&str, &OrderRow>,
    observed: &Observed,
    verdict: &mut Judgement,
) {
    // By the tables and the journal, not by what the topic has of the relayed orders.
    let sent = orders
        .values()
        .filter(|order| order.sent && is_enough(order))
        .map(|order| order.order_id.clone());
    let past_the_ingress = outcomes
        .values()
        .filter(|(_, outcome)| *outcome == Outcome::Voucher)
        .map(|(record, _)| String::from_utf8_lossy(&record.key).into_owned());
    let eligible: BTreeSet<String> = sent.chain(past_the_ingress).collect();
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
