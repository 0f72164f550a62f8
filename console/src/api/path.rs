//! The way of an order from the ingress to its row, hop by hop, from what `explain` found: pure.
//!
//! Times are those of the records and the row: clocks of different machines. An order has several
//! records; the way is that of the record which earned the voucher, or of the newest.

use std::collections::BTreeMap;

use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
        let record = self.record(voucher);
        vec![
            ingress(record),
            self.order_status(record),
            self.voucher(record, voucher),
            self.row(record, voucher),
            self.dead_letter(record),
        ]
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

    fn order_status(&self, record: Option<&Record>) -> Hop {
        let Some(record) = record else {
            return Hop::waiting("order-status", format!("no record in {} yet", self.topic));
        };
        let field = |name| record.fields.get(name).map_or("?", String::as_str);
        let text = match record.fields.is_empty() {
            true => self.place(record),
            false => format!(
                "{}: {}, {}",
                self.place(record),
                field("status"),
                field("total")
            ),
        };
        Hop::done("order-status", record.written.clone(), text)
    }

    fn voucher(&self, record: Option<&Record>, voucher: Option<&VoucherRecord>) -> Hop {
        const NAME: &str = "voucher";
        if let Some(VoucherRecord {
            written,
            voucher: Some(voucher),
            ..
        }) = voucher
        {
            let text = format!("{} of {}", voucher.amount, voucher.campaign);
            return Hop::done(NAME, written.clone(), text);
        }
        match record {
            None => Hop::waiting(NAME, "after its record"),
            Some(record) if record.is_pending() => {
                Hop::waiting(NAME, "the order is not sent yet; a sent order may earn one")
            }
            Some(record) if record.verdict == "eligible" => Hop::waiting(NAME, &record.words),
            Some(record) => Hop::none(NAME, &record.words),
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
            Some(gap) => Hop::waiting(NAME, format!("{} cannot be read: {}", gap.what, gap.why)),
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
    /// Returns whether the order can still be sent.
    fn is_pending(&self) -> bool {
        self.verdict == "skipped"
            && self
                .fields
                .get("status")
                .is_some_and(|status| status == "PENDING")
    }
}

fn ingress(record: Option<&Record>) -> Hop {
    const NAME: &str = "ingress";
    let Some(record) = record else {
        return Hop::none(NAME, "not known before its record is there");
    };
    match record.fields.get("occurred_at") {
        Some(at) => Hop::done(NAME, Some(at.clone()), "the order changed"),
        None => Hop::none(NAME, "the record does not say when the order changed"),
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
            text: text.into(),
        }
    }

    fn done(name: &'static str, at: Option<String>, text: impl Into<String>) -> Self {
        Self::new(name, HopState::Done, at, text)
    }

    fn waiting(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, HopState::Waiting, None, text)
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
mod tests {
    use serde_json::json;

    use super::*;

    /// What `explain` finds about a sent order whose voucher has arrived.
    fn arrived() -> Value {
        json!({
            "order_id": "17", "found": true, "topic": "order-status", "partitions": 12, "partition": 3,
            "partitions_read": [3],
            "records": [
                {"partition": 3, "offset": 40, "written": "2026-11-23T09:29:59Z", "trace_id": null,
                 "key_form": "plain", "verdict": "skipped", "reason": "status",
                 "words": "status is PENDING, and no sent_at says that it was sent",
                 "fields": {"order_id": "17", "status": "PENDING", "total": "150.00 EUR"}},
                {"partition": 3, "offset": 41, "written": "2026-11-23T09:30:00.012Z", "trace_id": null,
                 "key_form": "plain", "verdict": "eligible", "reason": null,
                 "words": "total 150.00 EUR is at least 100.00",
                 "fields": {"order_id": "17", "status": "SENT", "total": "150.00 EUR",
                    "occurred_at": "2026-11-23T09:30:00.000500Z"}},
            ],
            "vouchers": [
                {"partition": 0, "offset": 0, "written": "2026-11-23T09:30:00.022Z", "trace_id": null,
                 "role": "voucher", "source": "order-status/3/41", "run": null, "fault": null,
                 "voucher": {"campaign": "order-reward", "code": "****", "amount": "5.00 EUR",
                    "issued_at": "2026-11-23T09:30:00Z", "expires_at": null}},
            ],
            "rows": [{"campaign": "order-reward", "code": "****", "amount": "5.00 EUR",
                "issued_at": "2026-11-23T09:30:00Z", "expires_at": null,
                "created_at": "2026-11-23T09:30:00.040123Z"}],
            "dead_letters": [], "not_looked_at": [],
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> OrderPath {
        let mut found = arrived();
        change(&mut found);
        of("17", found).unwrap()
    }

    fn states(path: &OrderPath) -> [HopState; 5] {
        let states: Vec<_> = path.hops.iter().map(|hop| hop.state).collect();
        states.try_into().unwrap()
    }

    use HopState::{Done, None as Never, Waiting};

    #[test]
    fn an_order_that_has_arrived_took_so_long_for_each_hop() {
        let path = changed(|_| ());
        assert!(path.found && path.complete);
        assert_eq!(states(&path), [Done, Done, Done, Done, Never]);
        let took: Vec<_> = path
            .hops
            .iter()
            .map(|hop| hop.millis_since_previous)
            .collect();
        assert_eq!(took, [None, Some(12), Some(10), Some(18), None]);
        assert_eq!(path.hops[1].text, "order-status/3/41: SENT, 150.00 EUR");
        let json = serde_json::to_value(&path).unwrap();
        assert_eq!(json["hops"][0]["name"], "ingress");
        assert_eq!(json["hops"][4]["state"], "none");
        assert_eq!(json["hops"][3]["at"], "2026-11-23T09:30:00.040123Z");
    }

    #[test]
    fn an_order_is_on_its_way_until_its_row_is_there() {
        let path = changed(|found| found["rows"] = json!([]));
        assert_eq!(states(&path), [Done, Done, Done, Waiting, Never]);
        let path = changed(|found| (found["rows"], found["vouchers"]) = (json!([]), json!([])));
        assert_eq!(states(&path), [Done, Done, Waiting, Waiting, Never]);
        assert!(!path.complete);
    }

    #[test]
    fn nothing_is_known_before_the_first_record() {
        let path = changed(|found| {
            found["found"] = json!(false);
            for name in ["rows", "vouchers", "records"] {
                found[name] = json!([]);
            }
        });
        assert!(!path.found && !path.complete);
        assert_eq!(states(&path), [Never, Waiting, Waiting, Waiting, Never]);
    }

    #[test]
    fn a_pending_order_waits_to_be_sent_and_a_cancelled_one_for_nothing() {
        let of_status = |status: &str| {
            changed(|found| {
                (found["rows"], found["vouchers"]) = (json!([]), json!([]));
                let record = &mut found["records"][1];
                (record["verdict"], record["reason"]) = (json!("skipped"), json!("status"));
                record["fields"]["status"] = json!(status);
            })
        };
        assert!(!of_status("PENDING").complete);
        let cancelled = of_status("CANCELLED");
        assert!(cancelled.complete);
        assert_eq!(states(&cancelled), [Done, Done, Never, Never, Never]);
    }

    #[test]
    fn a_dead_record_ends_at_its_dead_letter() {
        let dead = |letters: Value| {
            changed(|found| {
                (found["rows"], found["vouchers"]) = (json!([]), json!([]));
                found["records"][1]["verdict"] = json!("dead");
                found["records"][1]["fields"] = json!({});
                found["dead_letters"] = letters;
            })
        };
        assert_eq!(
            states(&dead(json!([]))),
            [Never, Done, Never, Never, Waiting]
        );
        let letter = json!([{"letter": "order-status/3/41", "reason": "invalid_total",
            "message": "no number", "written": "2026-11-23T09:30:00.052Z", "open": true}]);
        let path = dead(letter);
        assert_eq!(states(&path), [Never, Done, Never, Never, Done]);
        assert!(path.complete);
        assert_eq!(path.hops[4].millis_since_previous, Some(40));
        assert_eq!(path.hops[4].text, "open, invalid_total: no number");
    }

    #[test]
    fn a_voucher_that_the_sink_refused_gets_no_row() {
        let path = changed(|found| {
            found["rows"] = json!([]);
            found["dead_letters"] = json!([{"letter": "vouchers/0/0", "reason": "code_taken",
                "message": "another voucher holds the code", "written": null, "open": true}]);
        });
        assert_eq!(states(&path), [Done, Done, Done, Never, Done]);
        assert!(path.complete);
    }

    #[test]
    fn a_table_that_was_not_read_is_awaited_only_when_it_is_away() {
        let away = json!([{"what": "the vouchers' table", "why": "connection refused"}]);
        let path = changed(|found| {
            (found["rows"], found["not_looked_at"]) = (Value::Null, away);
        });
        assert_eq!(states(&path)[3], Waiting);
        assert!(path.hops[3].text.contains("connection refused"));
        let path = changed(|found| found["rows"] = Value::Null);
        assert_eq!(states(&path)[3], Never);
        assert!(path.complete);
    }

    #[test]
    fn the_newest_record_counts_whatever_its_partition_and_the_digits_of_its_time() {
        let path = changed(|found| {
            found["vouchers"] = json!([]);
            // By their characters "00Z" would be behind "00.012Z".
            found["records"][0]["written"] = json!("2026-11-23T09:30:00Z");
        });
        assert!(path.hops[1].text.starts_with("order-status/3/41"));
    }

    #[test]
    fn a_clock_that_is_behind_gives_no_negative_time() {
        let path = changed(|found| found["rows"][0]["created_at"] = json!("2026-11-23T09:29:00Z"));
        assert_eq!(path.hops[3].millis_since_previous, None);
        assert_eq!(path.hops[3].state, Done);
    }

    #[test]
    fn other_json_is_an_error() {
        assert!(of("17", json!({"found": true})).is_err());
    }
}
