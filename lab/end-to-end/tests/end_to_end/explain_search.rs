//! Which records `explain` reads: those near the positions and times that the row and the ingress know of
//! an order, and whole partitions if they know nothing or refer to another topic.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use serde_json::{Value, json};

use crate::explain::order;
use crate::sink_redrive::voucher;

/// With this flag only the records whose positions are known are read.
const NOTHING_NEARBY: [&str; 2] = ["--nearby", "0"];

/// Returns pending orders, which are spread over all partitions.
fn fillers(name: &str, count: usize, timestamp_millis: Option<i64>) -> Vec<NewRecord> {
    let filler = |number| NewRecord {
        timestamp_millis,
        ..order(&format!("{name}-{number}"), "PENDING", "100")
    };
    (0..count).map(filler).collect()
}

fn an_hour_ago() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let then = now.saturating_sub(Duration::from_secs(3600));
    Ok(i64::try_from(then.as_millis())?)
}

async fn explained(
    system: &TestSystem,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Value> {
    let arguments = [["explain", "--json"].as_slice(), arguments].concat();
    system.run_processor(&arguments, environment).await?.json()
}

fn count(found: &Value, name: &str) -> Option<usize> {
    found[name].as_array().map(Vec::len)
}

#[tokio::test]
async fn a_row_leads_to_the_records_of_its_order_without_a_scan() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (_processor, _sink) = tokio::try_join!(system.processor(), system.sink())?;
    let mut records = vec![order("mine", "PENDING", "100")];
    records.extend(fillers("before", 400, None));
    records.push(order("mine", "SENT", "100"));
    records.extend(fillers("after", 400, None));
    system.write_orders(records).await?;
    system.settled().await;
    let database = [("DATABASE_URL", system.vouchers_url.as_str())];

    let arguments = [["mine"].as_slice(), &NOTHING_NEARBY].concat();
    let near = explained(&system, &arguments, &database).await?;
    assert_eq!(near["records_read"], 2, "{near:#}");
    assert_eq!(near["records"][0]["verdict"], "eligible");
    let (row, record) = (&near["rows"][0], &near["vouchers"][0]);
    assert!(row["offset"].is_i64(), "{near:#}");
    assert_eq!(
        (&row["partition"], &row["offset"]),
        (&record["partition"], &record["offset"])
    );
    let how = [&near["searched"][0]["how"], &near["searched"][1]["how"]];
    assert_eq!(
        how,
        [&json!(["by the voucher record"]), &json!(["by the row"])]
    );
    assert_eq!(
        (&near["complete"], &near["missing"]),
        (&json!(false), &json!([]))
    );
    let told = [["explain", "mine"].as_slice(), &NOTHING_NEARBY].concat();
    let told = system.run_processor(&told, &database).await?;
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("--scan"), "{}", told.stdout);

    // A topic that is shorter than `--nearby` is read completely, and so is a long one with `--scan`.
    let scan = [arguments.as_slice(), &["--scan"]].concat();
    for arguments in [["mine", "--nearby", "1000"].as_slice(), &scan] {
        let whole = explained(&system, arguments, &database).await?;
        assert_eq!(count(&whole, "records"), Some(2), "{whole:#}");
        assert_eq!(whole["searched"][0]["how"], json!(["whole partitions"]));
        assert_eq!(whole["complete"], true, "{whole:#}");
    }
    Ok(())
}

/// Waits until the relay has published this many records of the order.
async fn published(system: &TestSystem, order_id: &str, records: usize) {
    let seen = || async {
        let all = system.order_records().await.unwrap_or_default();
        all.iter()
            .filter(|record| record.key_text() == order_id)
            .count()
    };
    wait::until("the relay", seen, |seen| *seen == records).await;
}

#[tokio::test]
async fn an_order_that_only_the_ingress_knows_is_searched_by_its_times() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let old = fillers("old", 400, Some(an_hour_ago()?));
    system.write_orders(old).await?;
    let http = reqwest::Client::new();
    let placed = http
        .post(producer.url("/orders"))
        .json(&json!({"order_id": "mine", "total": "100.00"}))
        .send()
        .await?;
    assert_eq!(placed.status(), 201, "{}", placed.text().await?);
    published(&system, "mine", 1).await;
    let ingress = [("ORDERS_DATABASE_URL", system.orders_url.as_str())];
    let arguments = [["mine"].as_slice(), &NOTHING_NEARBY].concat();

    let near = explained(&system, &arguments, &ingress).await?;
    assert_eq!(near["records_read"], 1, "{near:#}");
    assert_eq!(near["records"][0]["fields"]["version"], "1");
    assert_eq!(
        near["searched"][0]["how"],
        json!(["by the order's times"]),
        "{near:#}"
    );
    assert_eq!(
        (&near["ingress"]["status"], &near["ingress"]["version"]),
        (&json!("PENDING"), &json!(1))
    );
    assert!(near["ingress"]["updated_at"].is_string(), "{near:#}");

    // The newest version is found even if it was published long after its time.
    system.write_orders(fillers("new", 400, None)).await?;
    let sent = http
        .patch(producer.url("/orders/mine"))
        .json(&json!({"status": "SENT"}))
        .send()
        .await?;
    assert_eq!(sent.status(), 200, "{}", sent.text().await?);
    published(&system, "mine", 2).await;
    let near = explained(&system, &arguments, &ingress).await?;
    let records = near["records"].as_array().into_iter().flatten();
    let versions: Vec<_> = records
        .map(|record| record["fields"]["version"].clone())
        .collect();
    assert_eq!(versions, [json!("1"), json!("2")], "{near:#}");
    assert_eq!(near["complete"], false, "{near:#}");

    // If both services' tables are in one database, `DATABASE_URL` is enough.
    let together = system.sink_command("1").await?;
    let together = together.env("DATABASE_URL", &system.orders_url);
    let _sink = ready(together).await?;
    let both = [("DATABASE_URL", system.orders_url.as_str())];
    let near = explained(&system, &arguments, &both).await?;
    assert_eq!(near["ingress"]["version"], 2, "{near:#}");
    assert_eq!(near["rows"], json!([]));
    Ok(())
}

#[tokio::test]
async fn an_order_of_which_nothing_is_known_is_searched_everywhere_or_from_a_time_on() -> Result<()>
{
    let system = TestSystem::open_json().await?;
    let old = Some(an_hour_ago()?);
    let mut records = fillers("old", 400, old);
    for id in ["mine", "past"] {
        records.push(NewRecord {
            timestamp_millis: old,
            ..order(id, "PENDING", "100")
        });
    }
    records.extend(fillers("new", 40, None));
    records.push(order("mine", "SENT", "50"));
    system.write_orders(records).await?;

    let arguments = [["mine"].as_slice(), &NOTHING_NEARBY].concat();
    let whole = explained(&system, &arguments, &[]).await?;
    assert_eq!(count(&whole, "records"), Some(2), "{whole:#}");
    assert_eq!(whole["searched"][0]["how"], json!(["whole partitions"]));
    assert_eq!(
        (&whole["complete"], &whole["ingress"]),
        (&json!(true), &Value::Null)
    );

    let bounded = explained(&system, &["mine", "--since", "30m"], &[]).await?;
    assert_eq!(count(&bounded, "records"), Some(1), "{bounded:#}");
    assert_eq!(bounded["complete"], false);
    let how = bounded["searched"][0]["how"][0]
        .as_str()
        .unwrap_or_default();
    assert!(how.starts_with("from "), "{how}");
    let read = |found: &Value| found["records_read"].as_u64();
    assert!(read(&bounded) < read(&whole), "{bounded:#}");

    let newest = explained(&system, &["mine", "--no-scan", "--nearby", "12"], &[]).await?;
    assert_eq!(newest["found"], true, "{newest:#}");
    let how = &newest["searched"][0]["how"];
    assert_eq!(how, &json!(["in the newest offsets"]));
    assert_eq!(newest["complete"], false);
    assert!(read(&newest) < read(&whole), "{newest:#}");

    // The partitions of this key are short, and the topic is not: the others are not read.
    let nobody = ["explain", "nobody", "--no-scan", "--nearby", "420"];
    let nobody = system.run_processor(&nobody, &[]).await?;
    assert_eq!(nobody.code, 1);
    let said = "order nobody is not in what --no-scan reads of ";
    assert!(nobody.stderr.contains(said), "{}", nobody.stderr);

    let past = ["explain", "past", "--since", "-30m"];
    let past = system.run_processor(&past, &[]).await?;
    assert_eq!(past.code, 1);
    assert!(past.stderr.contains("without --since"), "{}", past.stderr);
    Ok(())
}

#[tokio::test]
async fn positions_that_are_missing_or_name_other_records_lead_to_a_scan() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let _sink = system.sink().await?;
    let mut records = fillers("filler", 40, None);
    records.push(order("mine", "SENT", "100"));
    system.write_orders(records).await?;
    let statuses = system.order_records().await?;
    let other = statuses.iter().find(|record| record.key_text() != "mine");
    let other = other.context("there are fillers")?;
    let source = [
        ("source.topic", system.topics.order_status.clone()),
        ("source.partition", other.partition.to_string()),
        ("source.offset", other.offset.to_string()),
    ];
    let mine = NewRecord {
        headers: source
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some(value.clone().into_bytes())))
            .collect(),
        ..voucher("mine", "B")
    };
    let vouchers = vec![voucher("other", "A"), mine];
    topic::write(system.brokers(), &system.topics.vouchers, vouchers).await?;
    system
        .caught_up(&system.sink_group(), &system.topics.vouchers)
        .await;
    let all = system.voucher_records().await?;
    let others = all.iter().find(|record| record.key_text() == "other");
    let others = others.context("there is another voucher")?;
    let at =
        |partition: i32, offset: i64| format!("{}/{partition}/{offset}", system.topics.vouchers);
    let others = at(others.partition, others.offset);
    let not_there = format!(
        "{}/{}/{}",
        system.topics.order_status, other.partition, other.offset
    );

    let database = [("DATABASE_URL", system.vouchers_url.as_str())];
    let arguments = [["mine"].as_slice(), &NOTHING_NEARBY].concat();
    for (statement, missing) in [
        ("SELECT 1", None),
        (
            "UPDATE vouchers SET record_partition = other.record_partition,
                    record_offset = other.record_offset
             FROM vouchers AS other
             WHERE vouchers.order_id = 'mine' AND other.order_id = 'other'",
            Some(others),
        ),
        (
            "UPDATE vouchers SET record_partition = 0, record_offset = 1000000
             WHERE order_id = 'mine'",
            Some(at(0, 1_000_000)),
        ),
        // A row that a sink of an earlier version wrote.
        (
            "UPDATE vouchers SET record_partition = NULL, record_offset = NULL
             WHERE order_id = 'mine'",
            None,
        ),
        // A table of an earlier version.
        (
            "ALTER TABLE vouchers DROP COLUMN record_partition, DROP COLUMN record_offset",
            None,
        ),
    ] {
        system.execute_on_vouchers(statement).await?;
        let found = explained(&system, &arguments, &database).await?;
        assert_eq!(count(&found, "vouchers"), Some(1), "{statement}: {found:#}");
        // The voucher names a record of another order, so the order's own was searched.
        assert_eq!(count(&found, "records"), Some(1), "{statement}: {found:#}");
        let mut expected: Vec<_> = missing
            .map(|record| json!({"record": record, "why": "replaced"}))
            .into_iter()
            .collect();
        expected.push(json!({"record": not_there.clone(), "why": "replaced"}));
        assert_eq!(found["missing"], json!(expected), "{statement}");
    }
    Ok(())
}
