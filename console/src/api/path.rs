//! The way of an order from the ingress to its row, hop by hop, from what `explain` found: pure.
//!
//! Times are those of the records and the row: clocks of different machines. An order has several
//! records; the way is that of the record which earned the voucher, or of the newest.

use std::collections::BTreeMap;

use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digits::amounts;

/// The way of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct OrderPath {
    order_id: String,
    /// Whether anything is known about the order.
    found: bool,
    /// Whether nothing more is to come.
    complete: bool,
    hops: Vec<Hop>,
}

/// A place that the order passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Hop {
    name: &'static str,
    /// When it arrived there.
    at: Option<String>,
    /// How long it took from the hop before; none when that is not known, or was later by its clock.
    millis_since_previous: Option<i64>,
    state: HopState,
    /// What it waits for, while the state is [`HopState::Waiting`].
    waits_for: Option<WaitsFor>,
    /// What happened there, in a sentence.
    text: String,
}

/// Whether the order has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum HopState {
    Done,
    Waiting,
    /// It never comes here.
    None,
}

/// Who has to do something before an order arrives at a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum WaitsFor {
    /// The services: it arrives by itself.
    Services,
    /// The shop, which has not sent the order.
    Shop,
    /// The table, which cannot be read. The row may be there.
    Table,
}

/// The JSON of `processor explain`, as far as it is read here.
#[derive(Debug, Deserialize)]
struct Explained {
    found: bool,
    topic: String,
    records: Vec<Record>,
    vouchers: Vec<VoucherRecord>,
    rows: Option<Vec<Row>>,
    dead_letters: Vec<DeadLetter>,
    not_looked_at: Vec<Gap>,
    #[serde(default)]
    searched: Vec<SearchedTopic>,
    ingress: Option<AtIngress>,
}

/// A topic that was searched.
#[derive(Debug, Deserialize)]
struct SearchedTopic {
    topic: String,
    /// Whether everything was read in which the order's records are expected.
    complete: bool,
}

/// The order as the ingress has it.
#[derive(Debug, Deserialize)]
struct AtIngress {
    status: String,
    /// Grows by one with each change, and is part of each record.
    version: i64,
    updated_at: String,
}

#[derive(Debug, Deserialize)]
struct Record {
    partition: i32,
    offset: i64,
    written: Option<String>,
    verdict: String,
    words: String,
    fields: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct VoucherRecord {
    written: Option<String>,
    role: String,
    source: Option<String>,
    voucher: Option<Voucher>,
}

#[derive(Debug, Deserialize)]
struct Voucher {
    campaign: String,
    amount: String,
}

#[derive(Debug, Deserialize)]
struct Row {
    campaign: String,
    created_at: String,
}

#[derive(Debug, Deserialize)]
struct DeadLetter {
    letter: String,
    reason: String,
    message: String,
    written: Option<String>,
    open: bool,
}

#[derive(Debug, Deserialize)]
struct Gap {
    what: String,
    why: String,
}

/// Returns the way of an order, from the JSON of `processor explain`.
///
/// # Errors
/// When the JSON is another than expected.
pub(super) fn of(order_id: &str, found: Value) -> Result<OrderPath, serde_json::Error> {
    let explained: Explained = serde_json::from_value(found)?;
    let mut hops = explained.hops();
    time(&mut hops);
    Ok(OrderPath {
        order_id: order_id.to_owned(),
        found: explained.found,
        complete: hops.iter().all(|hop| hop.state != HopState::Waiting),
        hops,
    })
}

impl Explained {
    fn hops(&self) -> Vec<Hop> {
        let voucher = self.vouchers.iter().find(|record| record.role == "voucher");
        let unpublished = self.unpublished();
        // The records of earlier changes say nothing about the change that is on its way.
        let record = match unpublished {
            Some(_) => None,
            None => self.record(voucher),
        };
        let mut hops = vec![ingress(record, self.ingress.as_ref())];
        hops.extend(unpublished.map(|change| self.outbox(change)));
        hops.extend([
            self.order_status(record, voucher),
            self.voucher(record, voucher),
            self.row(record, voucher),
            self.dead_letter(record),
        ]);
        hops
    }

    /// Returns the newest change at the ingress while nothing shows that its record was written.
    fn unpublished(&self) -> Option<&AtIngress> {
        let change = self.ingress.as_ref()?;
        let is_before = |record: &Record| {
            let version = record.version();
            version.is_some_and(|version| version < change.version)
        };
        let has_row = self.rows.iter().flatten().next().is_some();
        let has_effects = has_row || !self.vouchers.is_empty() || !self.dead_letters.is_empty();
        (!has_effects && self.records.iter().all(is_before)).then_some(change)
    }

    /// Returns the hop of a change that the ingress has accepted and whose record was not found.
    fn outbox(&self, change: &AtIngress) -> Hop {
        let (topic, version) = (&self.topic, change.version);
        let text = match (self.records.is_empty(), self.is_searched()) {
            // Retention removes the oldest records first, so not this one alone.
            (false, true) => format!("version {version} is not published to {topic} yet"),
            (false, false) => {
                format!("version {version} was not found in what was searched of {topic}")
            }
            (true, true) => format!(
                "accepted, and not published to {topic} yet (or retention has removed its record)"
            ),
            (true, false) => {
                format!("accepted, and its record was not found in what was searched of {topic}")
            }
        };
        Hop::waiting("outbox", text)
    }

    /// Returns whether everything was read in which the order's records are expected.
    fn is_searched(&self) -> bool {
        let topic = self.searched.iter().find(|one| one.topic == self.topic);
        topic.is_none_or(|topic| topic.complete)
    }

    /// Returns the record that earned the voucher, or else the newest.
    fn record(&self, voucher: Option<&VoucherRecord>) -> Option<&Record> {
        let source = voucher.and_then(|voucher| voucher.source.as_ref());
        self.records
            .iter()
            .find(|record| Some(&self.place(record)) == source)
            .or_else(|| {
                let written = |record: &&Record| record.written.as_deref().and_then(millis);
                self.records.iter().max_by_key(written)
            })
    }

    fn place(&self, record: &Record) -> String {
        format!("{}/{}/{}", self.topic, record.partition, record.offset)
    }

    fn order_status(&self, record: Option<&Record>, voucher: Option<&VoucherRecord>) -> Hop {
        const NAME: &str = "order-status";
        let topic = &self.topic;
        let Some(record) = record else {
            return match voucher {
                // There was one, so there is nothing to wait for.
                Some(_) => Hop::none(NAME, format!("no record was found in {topic} any more")),
                None if !self.is_searched() => {
                    let text = format!("its record was not found in what was searched of {topic}");
                    Hop::waiting(NAME, text)
                }
                None if self.records.is_empty() => {
                    Hop::waiting(NAME, format!("no record in {topic} yet"))
                }
                None => {
                    let text = format!("no record of the newest change in {topic} yet");
                    Hop::waiting(NAME, text)
                }
            };
        };
        let field = |name| record.fields.get(name).map_or("?", String::as_str);
        let text = match record.fields.is_empty() {
            true => self.place(record),
            false => format!(
                "{}: {}, {}",
                self.place(record),
                field("status"),
                amounts(field("total"))
            ),
        };
        Hop::done(NAME, record.written.clone(), text)
    }

    fn voucher(&self, record: Option<&Record>, voucher: Option<&VoucherRecord>) -> Hop {
        const NAME: &str = "voucher";
        if let Some(VoucherRecord {
            written,
            voucher: Some(voucher),
            ..
        }) = voucher
        {
            let text = format!("{} of {}", amounts(&voucher.amount), voucher.campaign);
            return Hop::done(NAME, written.clone(), text);
        }
        match record {
            None => Hop::waiting(NAME, "after its record"),
            Some(record) if record.is_pending() => {
                let text = "the order is not sent yet; a sent order may earn one";
                Hop::waiting_for(WaitsFor::Shop, NAME, text)
            }
            Some(record) if record.verdict == "eligible" => Hop::waiting(NAME, record.decision()),
            Some(record) => Hop::none(NAME, record.decision()),
        }
    }

    fn row(&self, record: Option<&Record>, voucher: Option<&VoucherRecord>) -> Hop {
        const NAME: &str = "row";
        let campaign = voucher
            .and_then(|record| record.voucher.as_ref())
            .map(|voucher| &voucher.campaign);
        let mut rows = self.rows.iter().flatten();
        if let Some(row) = rows.find(|row| campaign.is_none_or(|name| *name == row.campaign)) {
            let text = format!("the voucher of {} is in Postgres", row.campaign);
            return Hop::done(NAME, Some(row.created_at.clone()), text);
        }
        if let Some(refused) = self.refused_voucher() {
            return Hop::none(NAME, format!("the sink refused it, {}", refused.reason));
        }
        let expected = match record {
            None => true,
            Some(record) => {
                campaign.is_some() || record.is_pending() || record.verdict == "eligible"
            }
        };
        match (expected, &self.rows) {
            (false, _) => Hop::none(NAME, "without a voucher there is no row"),
            (true, Some(_)) => Hop::waiting(NAME, "after its voucher"),
            (true, None) => self.unread_row(),
        }
    }

    /// Returns the hop of a table that was not read.
    fn unread_row(&self) -> Hop {
        const NAME: &str = "row";
        match self
            .not_looked_at
            .iter()
            .find(|gap| gap.what.contains("table"))
        {
            Some(gap) => {
                let text = format!("{} cannot be read: {}", gap.what, gap.why);
                Hop::waiting_for(WaitsFor::Table, NAME, text)
            }
            None => Hop::none(
                NAME,
                "not looked at: DATABASE_URL is not set for the console",
            ),
        }
    }

    fn dead_letter(&self, record: Option<&Record>) -> Hop {
        const NAME: &str = "dead-letter";
        let place = record.map(|record| self.place(record));
        let own = self
            .dead_letters
            .iter()
            .find(|dead_letter| Some(&dead_letter.letter) == place.as_ref())
            .or_else(|| self.refused_voucher());
        match own {
            Some(dead_letter) => {
                let state = if dead_letter.open { "open" } else { "closed" };
                let DeadLetter {
                    reason, message, ..
                } = dead_letter;
                let text = format!("{state}, {reason}: {message}");
                Hop::done(NAME, dead_letter.written.clone(), text)
            }
            None if record.is_some_and(|record| record.verdict == "dead") => {
                Hop::waiting(NAME, "the record cannot be used")
            }
            None => Hop::none(NAME, "none"),
        }
    }

    /// Returns the dead letter of the voucher, which the sink wrote, while it is open.
    fn refused_voucher(&self) -> Option<&DeadLetter> {
        let prefix = format!("{}/", self.topic);
        self.dead_letters
            .iter()
            .find(|dead_letter| dead_letter.open && !dead_letter.letter.starts_with(&prefix))
    }
}

impl Record {
    /// Returns why the order earns a voucher, or none. What cannot be used is quoted as it is.
    fn decision(&self) -> String {
        match self.verdict.as_str() {
            "dead" => self.words.clone(),
            _ => amounts(&self.words),
        }
    }

    /// Returns the version of the order at the ingress, which other writers leave out.
    fn version(&self) -> Option<i64> {
        self.fields.get("version")?.parse().ok()
    }

    /// Returns whether the order can still be sent.
    fn is_pending(&self) -> bool {
        self.verdict == "skipped"
            && self
                .fields
                .get("status")
                .is_some_and(|status| status == "PENDING")
    }
}

fn ingress(record: Option<&Record>, order: Option<&AtIngress>) -> Hop {
    const NAME: &str = "ingress";
    match (record, order) {
        (Some(record), _) => match record.fields.get("occurred_at") {
            Some(at) => Hop::done(NAME, Some(at.clone()), "the order changed"),
            None => Hop::none(NAME, "the record does not say when the order changed"),
        },
        (None, Some(order)) => {
            let text = format!("accepted as {}, version {}", order.status, order.version);
            Hop::done(NAME, Some(order.updated_at.clone()), text)
        }
        (None, None) => Hop::none(NAME, "not known before its record is there"),
    }
}

impl Hop {
    fn new(
        name: &'static str,
        state: HopState,
        at: Option<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            name,
            at,
            millis_since_previous: None,
            state,
            waits_for: None,
            text: text.into(),
        }
    }

    fn done(name: &'static str, at: Option<String>, text: impl Into<String>) -> Self {
        Self::new(name, HopState::Done, at, text)
    }

    fn waiting(name: &'static str, text: impl Into<String>) -> Self {
        Self::waiting_for(WaitsFor::Services, name, text)
    }

    fn waiting_for(waits_for: WaitsFor, name: &'static str, text: impl Into<String>) -> Self {
        Self {
            waits_for: Some(waits_for),
            ..Self::new(name, HopState::Waiting, None, text)
        }
    }

    fn none(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, HopState::None, None, text)
    }
}

/// Sets how long each hop took from the one before that has a time.
fn time(hops: &mut [Hop]) {
    let mut before = None;
    for hop in hops {
        let Some(at) = hop.at.as_deref().and_then(millis) else {
            continue;
        };
        hop.millis_since_previous = before
            .map(|before| at - before)
            .filter(|millis| *millis >= 0);
        before = Some(at);
    }
}

fn millis(time: &str) -> Option<i64> {
    let time = Timestamp::parse_rfc3339(time).ok()?;
    Some(time.as_millis())
}

#[cfg(test)]
mod tests;
