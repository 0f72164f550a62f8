//! Ways of an order, from what `explain` finds.

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
    assert_eq!(json["hops"][4]["waits_for"], Value::Null);
    assert_eq!(json["hops"][3]["at"], "2026-11-23T09:30:00.040123Z");
}

/// Returns what each hop waits for, as the JSON has it.
fn waits(path: &OrderPath) -> Vec<Value> {
    let json = serde_json::to_value(path).unwrap();
    let hops = json["hops"].as_array().unwrap();
    hops.iter().map(|hop| hop["waits_for"].clone()).collect()
}

#[test]
fn an_order_is_on_its_way_until_its_row_is_there() {
    let path = changed(|found| found["rows"] = json!([]));
    assert_eq!(states(&path), [Done, Done, Done, Waiting, Never]);
    let path = changed(|found| (found["rows"], found["vouchers"]) = (json!([]), json!([])));
    assert_eq!(states(&path), [Done, Done, Waiting, Waiting, Never]);
    let services = json!([null, null, "services", "services", null]);
    assert_eq!(json!(waits(&path)), services);
    assert!(!path.complete);
}

#[test]
fn amounts_are_written_as_the_page_writes_them() {
    let path = changed(|found| {
        let record = &mut found["records"][1];
        record["words"] = json!("total 4550.00 EUR is at least 1000.00");
        record["fields"]["total"] = json!("4550.00 EUR");
        found["vouchers"][0]["voucher"]["amount"] = json!("1250.00 EUR");
    });
    assert_eq!(path.hops[1].text, "order-status/3/41: SENT, 4,550.00 EUR");
    assert_eq!(path.hops[2].text, "1,250.00 EUR of order-reward");
    let of_verdict = |verdict: &str| {
        changed(|found| {
            (found["rows"], found["vouchers"]) = (json!([]), json!([]));
            let record = &mut found["records"][1];
            record["verdict"] = json!(verdict);
            record["words"] = json!("total 4550.00 EUR is at least 1000.00");
        })
    };
    let words = "total 4,550.00 EUR is at least 1,000.00";
    for verdict in ["eligible", "skipped"] {
        assert_eq!(of_verdict(verdict).hops[2].text, words);
    }
    // Such a sentence may quote what the record has.
    assert!(of_verdict("dead").hops[2].text.contains("4550.00"));
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

/// The ingress's order after this many changes.
fn at_ingress(status: &str, version: i64) -> Value {
    json!({
        "status": status, "version": version, "created_at": "2026-11-23T09:29:58Z",
        "sent_at": null, "updated_at": "2026-11-23T09:30:00.000500Z",
    })
}

/// Returns the names of the hops with their states.
fn named(path: &OrderPath) -> Vec<(&'static str, HopState)> {
    path.hops.iter().map(|hop| (hop.name, hop.state)).collect()
}

#[test]
fn an_order_that_the_ingress_has_accepted_waits_in_its_outbox() {
    let path = changed(|found| {
        for name in ["rows", "vouchers", "records"] {
            found[name] = json!([]);
        }
        found["ingress"] = at_ingress("SENT", 2);
    });
    assert!(path.found && !path.complete);
    let expected = [
        ("ingress", Done),
        ("outbox", Waiting),
        ("order-status", Waiting),
        ("voucher", Waiting),
        ("row", Waiting),
        ("dead-letter", Never),
    ];
    assert_eq!(named(&path), expected);
    assert_eq!(path.hops[0].text, "accepted as SENT, version 2");
    let at = path.hops[0].at.as_deref();
    assert_eq!(at, Some("2026-11-23T09:30:00.000500Z"));
    assert_eq!(waits(&path)[1], "services");
}

#[test]
fn a_change_whose_record_is_missing_is_not_taken_for_the_one_before() {
    let pending_and = |version: i64, fields: Value| {
        changed(|found| {
            (found["rows"], found["vouchers"]) = (json!([]), json!([]));
            found["records"].as_array_mut().unwrap().truncate(1);
            found["records"][0]["fields"] = fields;
            found["ingress"] = at_ingress("SENT", version);
        })
    };
    let first = json!({"status": "PENDING", "total": "150.00 EUR", "version": "1"});
    let path = pending_and(2, first.clone());
    assert_eq!(
        path.hops[1].text,
        "version 2 is not published to order-status yet"
    );
    assert_eq!(waits(&path)[3], "services", "the shop has sent it");
    // The newest change is there, or its records have no version.
    assert_eq!(waits(&pending_and(1, first))[2], "shop");
    let of_another_writer = json!({"status": "PENDING", "total": "150.00 EUR"});
    assert_eq!(waits(&pending_and(2, of_another_writer))[2], "shop");
}

#[test]
fn a_record_that_was_not_searched_for_everywhere_is_not_called_unpublished() {
    let of = |records: usize, complete: bool| {
        changed(|found| {
            (found["rows"], found["vouchers"]) = (json!([]), json!([]));
            let earlier = found["records"].as_array_mut().unwrap();
            earlier.truncate(records);
            for record in earlier {
                record["fields"]["version"] = json!("1");
            }
            found["ingress"] = at_ingress("SENT", 2);
            found["searched"] = json!([
                {"topic": "order-status.dlq", "complete": !complete, "records_read": 0},
                {"topic": "order-status", "complete": complete, "records_read": 20},
            ]);
        })
    };
    for records in [0, 1] {
        let nearby = of(records, false);
        for Hop { name, text, .. } in &nearby.hops[1..=2] {
            assert!(
                text.ends_with("was not found in what was searched of order-status"),
                "{name}: {text}"
            );
        }
        assert!(!nearby.complete, "it may be published yet");
        let text = of(records, true).hops.swap_remove(1).text;
        assert!(text.contains("not published to order-status yet"), "{text}");
    }
}

#[test]
fn an_order_with_its_voucher_is_published_whatever_the_ingress_says() {
    let path = changed(|found| {
        found["ingress"] = at_ingress("DELIVERED", 3);
        found["records"] = json!([]);
    });
    assert_eq!(states(&path), [Done, Never, Done, Done, Never]);
    assert!(path.complete, "nothing more is to come");
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
    let pending = of_status("PENDING");
    assert!(!pending.complete);
    assert_eq!(waits(&pending)[2], "shop");
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
    assert_eq!(waits(&path)[3], "table");
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
