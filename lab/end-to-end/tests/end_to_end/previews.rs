//! A run does what its preview reports, for any range, name and existing rows.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use rand::Rng;
use serde_json::{Value, json};

use crate::load;
use crate::sink_redrive::voucher;

const MINUTE: i64 = 60_000;

/// 2026-05-01T09:00:00Z.
const NINE: i64 = 1_777_626_000_000;

async fn backfill(system: &TestSystem, arguments: &[&str]) -> Result<Value> {
    let arguments = [&["backfill", "--json"], arguments].concat();
    system.run_processor(&arguments, &[]).await?.json()
}

/// Runs the preview of a backfill and then the backfill; returns both reports.
async fn previewed(system: &TestSystem, arguments: &[&str]) -> Result<(Value, Value)> {
    let dry = [&["backfill", "--json", "--dry-run"], arguments].concat();
    let database = [("DATABASE_URL", system.vouchers_url.as_str())];
    let said = system.run_processor(&dry, &database).await?.json()?;
    let did = backfill(system, arguments).await?;
    assert_eq!(did["complete"], true, "{did}");
    // Only the partitions are compared, because `-1d` is another moment for each of the two.
    let partitions = |answer: &Value| answer["range"]["partitions"].clone();
    assert_eq!(partitions(&said), partitions(&did));
    for (said_as, did_as) in [
        ("records", "records"),
        ("left_out", "left_out"),
        ("eligible_records", "voucher_records"),
        ("skipped", "skipped"),
    ] {
        assert_eq!(said[said_as], did[did_as], "{said_as}: {said}; {did}");
    }
    let unusable = |counts: &Value| counts.as_object().map(|reasons| reasons.len());
    assert_eq!(unusable(&said["unusable"]), unusable(&did["unusable"]));
    assert_days_add_up(&said);
    Ok((said, did))
}

/// Checks that the numbers by day add up to the totals.
fn assert_days_add_up(said: &Value) {
    let by_day = &said["by_day"];
    let days = by_day["days"].as_array().into_iter().flatten();
    let parts: Vec<&Value> = days
        .chain([&by_day["earlier"], &by_day["undated"]])
        .filter(|part| !part.is_null())
        .collect();
    let number = |counts: &Value, pointer: &str| {
        let number = counts.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_default()
    };
    for pointer in [
        "/eligible_records",
        "/vouchers",
        "/skipped/status",
        "/skipped/threshold",
        "/existing/new",
        "/existing/existing",
    ] {
        let sum: u64 = parts
            .iter()
            .copied()
            .map(|part| number(part, pointer))
            .sum();
        assert_eq!(sum, number(said, pointer), "{pointer}: {said}");
    }
    for part in parts {
        let euros = number(part, "/vouchers") * 5;
        assert_eq!(part["sum"], format!("{euros}.00"), "{said}");
    }
}

/// Opens a system whose vouchers table exists, so that a preview can query it.
async fn system_with_a_table() -> Result<TestSystem> {
    let system = TestSystem::open_json().await?;
    system.run_sink(&["backfill", "--json"]).await?.json()?;
    Ok(system)
}

fn sent_at(key: &str, timestamp_millis: i64) -> NewRecord {
    NewRecord {
        timestamp_millis: Some(timestamp_millis),
        partition: Some(0),
        ..NewRecord::new(
            key,
            format!(r#"{{"order_id":"{key}","status":"SENT","total":"100.00"}}"#),
        )
    }
}

async fn orders_with_vouchers(system: &TestSystem) -> Result<Vec<String>> {
    let records = system.voucher_records().await?;
    let mut keys: Vec<_> = records.iter().map(|record| record.key_text()).collect();
    keys.sort();
    Ok(keys)
}

#[tokio::test]
async fn a_range_of_times_has_every_record_of_that_time_wherever_it_lies() -> Result<()> {
    let system = system_with_a_table().await?;
    let records = [
        ("early", NINE - MINUTE),
        ("a", NINE + 60 * MINUTE),
        ("b", NINE + 150 * MINUTE),
        ("c", NINE + 65 * MINUTE),
        ("late", NINE - 2 * MINUTE),
    ];
    let records = records.map(|(key, at)| sent_at(key, at));
    system.write_orders(records.to_vec()).await?;
    let arguments = [
        "--from",
        "2026-05-01T09:00:00Z",
        "--to",
        "2026-05-01T11:00:00Z",
        "--name",
        "morning",
    ];
    let (said, did) = previewed(&system, &arguments).await?;
    assert_eq!(
        (&said["records"], &said["vouchers"]),
        (&json!(2), &json!(2))
    );
    // "early" lies before the first record of the range, so it is not read.
    assert_eq!(did["left_out"], 2);
    assert_eq!(orders_with_vouchers(&system).await?, ["a", "c"]);

    // The stored offsets cover the same range, so nothing is left to do.
    let again = backfill(&system, &arguments).await?;
    assert_eq!(
        (&again["already_done"], &again["range"]),
        (&json!(true), &did["range"])
    );
    assert!(again["done_at"].is_string(), "{again}");
    assert_eq!(orders_with_vouchers(&system).await?, ["a", "c"]);

    let rest = ["--from", "2026-05-01T11:00:00Z", "--name", "rest"];
    let (said, _) = previewed(&system, &rest).await?;
    assert_eq!(
        (&said["records"], &said["left_out"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(orders_with_vouchers(&system).await?, ["a", "b", "c"]);
    Ok(())
}

#[tokio::test]
async fn vouchers_and_money_are_counted_on_the_day_of_the_order() -> Result<()> {
    let system = system_with_a_table().await?;
    let order = |key: &str, status: &str, time: &str| {
        NewRecord::new(
            key,
            format!(r#"{{"order_id":"{key}","status":"{status}","total":"100.00",{time}}}"#),
        )
    };
    system
        .write_orders(vec![order(
            "a",
            "SENT",
            r#""sent_at":"2026-05-01T23:59:59Z""#,
        )])
        .await?;
    backfill(&system, &["--name", "first"]).await?;
    system.run_sink(&["backfill", "--json"]).await?.json()?;
    system
        .write_orders(vec![
            // In UTC this is the first of May too. The repeat earns no second voucher.
            order("b", "SENT", r#""sent_at":"2026-05-02T01:30:00+02:00""#),
            order("b", "SENT", r#""sent_at":"2026-05-02T01:30:00+02:00""#),
            order("c", "SENT", r#""occurred_at":"2026-05-03T00:00:00Z""#),
            order("d", "PENDING", r#""occurred_at":"2026-05-03T12:00:00Z""#),
            NewRecord {
                timestamp_millis: Some(NINE),
                ..NewRecord::new("e", "{")
            },
        ])
        .await?;
    let (said, _) = previewed(&system, &["--name", "second"]).await?;
    let days = said["by_day"]["days"].as_array();
    let days: Vec<_> = days
        .into_iter()
        .flatten()
        .map(|day| {
            json!([
                day["day"],
                day["eligible_records"],
                day["vouchers"],
                day["sum"],
                day["existing"]["new"],
                day["existing"]["existing"],
                day["existing"]["new_sum"],
                day["skipped"]["status"],
                day["unusable"],
            ])
        })
        .collect();
    assert_eq!(
        days,
        [
            json!(["2026-05-01", 3, 2, "10.00", 1, 1, "5.00", 0, {"invalid_json": 1}]),
            json!(["2026-05-03", 1, 1, "5.00", 1, 0, "5.00", 1, {}]),
        ],
        "{said}"
    );
    assert_eq!(said["existing"]["new_sum"], "10.00");

    let text = system
        .run_processor(&["backfill", "--dry-run"], &[])
        .await?
        .stdout;
    for line in [
        "day           2026-05-01: 2 vouchers, 10.00 EUR; unusable 1 invalid_json\n",
        "day           2026-05-03: 1 voucher, 5.00 EUR; skipped 1 status\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_job_backfills_every_night_under_one_name() -> Result<()> {
    let system = system_with_a_table().await?;
    let nightly = ["--from", "-1d", "--name", "nightly"];
    for night in 1..=3_u32 {
        system
            .write_orders(load::orders(night * 10..night * 10 + 10))
            .await?;
        let (said, did) = previewed(&system, &nightly).await.or_else(|error| {
            anyhow::bail!("night {night}: {error}");
        })?;
        assert_eq!(did["resumed"], false, "night {night}");
        assert_eq!(said["vouchers"], 4 * night, "night {night}");
        assert_eq!(did["records"], 10 * night, "night {night}");
    }
    let eligible = (10..40).filter(|id| load::is_eligible(*id)).count();
    let mut with_voucher = orders_with_vouchers(&system).await?;
    with_voucher.dedup();
    assert_eq!(with_voucher.len(), eligible);
    Ok(())
}

#[tokio::test]
async fn an_interrupted_backfill_of_the_last_day_is_taken_up_with_what_came_since() -> Result<()> {
    let system = TestSystem::open_json().await?;
    system.write_orders(load::orders(0..3_000)).await?;
    let arguments = ["--name", "may", "--rate", "500", "--from", "-1d"];
    let started = [&["backfill", "--json"], &arguments[..]].concat();
    let mut run = system.start_processor(&started, &[]).await?;
    let group = format!("{}/backfill/may", system.processor_group());
    let left = || async {
        topic::lag(system.brokers(), &group, &system.topics.order_status)
            .await
            .unwrap_or(i64::MAX)
    };
    wait::until("the backfill to get on", left, |left| *left <= 2_500).await;
    run.kill().await?;

    let other = ["backfill", "--name", "may", "--from", "-2d"];
    for dry_run in [&[][..], &["--dry-run"]] {
        let refused = system
            .run_processor(&[&other, dry_run].concat(), &[])
            .await?;
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("--from"), "{}", refused.stderr);
    }
    // These records are now part of the last day too.
    system.write_orders(load::orders(5_000..5_100)).await?;
    let dry = [&["backfill", "--json", "--dry-run"], &arguments[..]].concat();
    let said = system.run_processor(&dry, &[]).await?.json()?;
    let did = backfill(&system, &arguments).await?;
    assert_eq!(
        (&said["resumed"], &did["resumed"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(said["records"], did["records"]);
    assert_eq!(said["eligible_records"], did["voucher_records"]);
    assert!(did["records"].as_u64() < Some(3_000), "{did}");
    assert_eq!(system.voucher_records().await?.len(), 1_240);
    Ok(())
}

/// Returns random records of thirty orders, with timestamps within the hour after `start`.
fn any_records(start: i64) -> Vec<NewRecord> {
    let mut random = rand::rng();
    (0..random.random_range(0..40))
        .map(|_| {
            let id: u32 = random.random_range(0..30);
            let value = match random.random_range(0..6) {
                0 => "{".to_owned(),
                1 => format!(r#"{{"order_id":"{id}","status":"PENDING","total":100}}"#),
                _ => format!(
                    r#"{{"order_id":"{id}","status":"SENT","total":"{}.00"}}"#,
                    random.random_range(97..105)
                ),
            };
            NewRecord {
                timestamp_millis: Some(start + random.random_range(0..60 * MINUTE)),
                ..NewRecord::new(id.to_string(), value)
            }
        })
        .collect()
}

fn any_bound(start: i64, open: &str) -> String {
    let mut random = rand::rng();
    match random.random_range(0..4) {
        0 => open.to_owned(),
        1 => format!(
            "0:{},3:{}",
            random.random_range(0..9),
            random.random_range(0..9)
        ),
        _ => {
            let at = start + random.random_range(-5 * MINUTE..65 * MINUTE);
            schemas::Timestamp::from_millis(at).to_string()
        }
    }
}

#[tokio::test]
async fn whatever_the_topic_the_range_and_the_table_a_preview_is_what_happens() -> Result<()> {
    let system = system_with_a_table().await?;
    // Older records would be compacted between the preview and the run.
    let start = chrono::Utc::now().timestamp_millis() - 60 * MINUTE;
    for case in 0..6 {
        system.write_orders(any_records(start)).await?;
        let (from, to) = (any_bound(start, "earliest"), any_bound(start, "latest"));
        let name = format!("case-{case}");
        let arguments = ["--from", &from, "--to", &to, "--name", &name];
        let (said, _) = previewed(&system, &arguments).await?;
        let rows_before = system.vouchers().await?.len() as u64;
        system.run_sink(&["backfill", "--json"]).await?.json()?;
        let new = system.vouchers().await?.len() as u64 - rows_before;
        let existing = &said["existing"];
        assert_eq!(existing["new"], new, "{arguments:?}: {said}");
        let all = new + existing["existing"].as_u64().unwrap_or_default();
        assert_eq!(said["vouchers"], all, "{arguments:?}: {said}");
        assert_eq!(existing["different"], 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_preview_says_what_the_run_would_be_refused_for() -> Result<()> {
    let system = TestSystem::open_json().await?;
    system.write_orders(load::orders(0..10)).await?;
    backfill(&system, &[]).await?;
    let other = ["backfill", "--voucher-amount", "7.50"];
    let refused = system.run_processor(&other, &[]).await?;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let dry = [&other[..], &["--dry-run", "--json"]].concat();
    let said = system.run_processor(&dry, &[]).await?.json()?;
    let why = said["refused"].as_str().unwrap_or_default();
    assert!(why.contains("VOUCHER_CAMPAIGN"), "{said}");
    assert_eq!(said["sum"], "30.00");
    assert_eq!(
        (&said["today"]["vouchers"], &said["today"]["sum"]),
        (&json!(4), &json!("20.00"))
    );

    // A redrive has no what-if previews: its preview is refused when the redrive would be.
    for dry_run in [&[][..], &["--dry-run"]] {
        let redrive = [&["redrive", "--voucher-amount", "7.50"], dry_run].concat();
        let refused = system.run_processor(&redrive, &[]).await?;
        assert_eq!(refused.code, 2, "{}", refused.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn what_if_is_compared_with_what_the_environment_says() -> Result<()> {
    let system = TestSystem::open_json().await?;
    system.write_orders(load::orders(0..10)).await?;
    for (flag, value, vouchers, more, fewer) in [
        ("--order-default-currency", "USD", 0, 0, 4),
        ("--voucher-currency", "USD", 0, 0, 4),
        ("--voucher-min-total", "99.99", 6, 2, 0),
        ("--voucher-amount", "7.50", 4, 0, 0),
        ("--voucher-valid-days", "30", 4, 0, 0),
        ("--voucher-campaign", "spring", 4, 0, 0),
        ("--voucher-sent-until", "2020-01-01T00:00:00Z", 0, 0, 4),
    ] {
        let dry = ["backfill", "--dry-run", "--json", flag, value];
        let said = system.run_processor(&dry, &[]).await?.json()?;
        assert_eq!(said["vouchers"], vouchers, "{flag}: {said}");
        let expected = json!({ "vouchers": 4, "sum": "20.00", "more": more, "fewer": fewer });
        assert_eq!(said["today"], expected, "{flag}");
    }
    let as_it_is = ["backfill", "--dry-run", "--json"];
    let said = system.run_processor(&as_it_is, &[]).await?.json()?;
    assert_eq!(said["today"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_preview_of_the_sinks_redrive_asks_the_table() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let _sink = system.sink().await?;
    let bury_and_settle = async |record: NewRecord| -> Result<()> {
        topic::write(system.brokers(), &system.topics.vouchers, vec![record]).await?;
        system
            .caught_up(&system.sink_group(), &system.topics.vouchers)
            .await;
        Ok(())
    };
    for record in [
        voucher("1", "CODE-OF-ONE"),
        // Three vouchers with the code of order 1.
        voucher("2", "CODE-OF-ONE"),
        voucher("3", "CODE-OF-ONE"),
        voucher("4", "CODE-OF-ONE"),
    ] {
        bury_and_settle(record).await?;
    }
    let outcomes = async || -> Result<(Value, Value)> {
        let rows = system.vouchers().await?.len();
        let dry = system.run_sink(&["redrive", "--json", "--dry-run"]).await?;
        let dry = dry.json()?["outcomes"].clone();
        assert_eq!(
            system.vouchers().await?.len(),
            rows,
            "a preview writes no row"
        );
        let run = system.run_sink(&["redrive", "--json"]).await?.json()?;
        Ok((dry, run["outcomes"].clone()))
    };

    let (said, did) = outcomes().await?;
    assert_eq!(did, json!({"failed: code_taken": 3}));
    assert_eq!(said, did);

    // Order 4 has another voucher meanwhile, and the code is free for one of the two other orders.
    bury_and_settle(voucher("4", "CODE-OF-FOUR")).await?;
    system
        .execute_on_vouchers("delete from vouchers where order_id = '1'")
        .await?;
    let (said, did) = outcomes().await?;
    assert_eq!(
        did,
        json!({"failed: code_taken": 1, "failed: row_differs": 1, "row": 1})
    );
    assert_eq!(said, did);
    let listed = system.run_sink(&["dead-letters", "--json"]).await?.json()?;
    assert_eq!(listed["open"], 2, "what is not done stays open: {listed}");
    Ok(())
}

#[tokio::test]
async fn a_preview_of_the_sinks_redrive_meets_what_the_table_refuses() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let sink = system.sink().await?;
    let letter = voucher("1", "CODE-1");
    system
        .execute_on_vouchers("ALTER TABLE vouchers ADD CONSTRAINT no_one CHECK (order_id <> '1')")
        .await?;
    topic::write(system.brokers(), &system.topics.vouchers, vec![letter]).await?;
    system
        .caught_up(&system.sink_group(), &system.topics.vouchers)
        .await;
    drop(sink);
    // The table refuses the same row in three ways: by a constraint, by a trigger, and at the commit.
    for refusal in [
        "SELECT 1",
        "ALTER TABLE vouchers DROP CONSTRAINT no_one;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'order % is refused', new.order_id; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON vouchers FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP TRIGGER refuse ON vouchers;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON vouchers DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        system.execute_on_vouchers(refusal).await?;
        for dry_run in [&["--dry-run"][..], &[]] {
            let redrive = [&["redrive", "--json"], dry_run].concat();
            let outcomes = system.run_sink(&redrive).await?.json()?["outcomes"].clone();
            assert_eq!(
                outcomes,
                json!({"failed: rejected_by_database": 1}),
                "{refusal}"
            );
        }
    }
    Ok(())
}
