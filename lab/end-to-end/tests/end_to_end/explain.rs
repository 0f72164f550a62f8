//! `explain` reports what became of an order, and why.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use serde_json::json;

use crate::sink_redrive::voucher;

pub(crate) fn order(id: &str, status: &str, total: &str) -> NewRecord {
    NewRecord::new(
        id,
        format!(r#"{{"order_id":"{id}","status":"{status}","total":{total}}}"#),
    )
}

#[tokio::test]
async fn explain_reports_records_verdicts_voucher_row_and_dead_letters() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    let stray = (0..4).map(|partition| NewRecord {
        partition: Some(partition),
        ..order("stray", "PENDING", "100")
    });
    let records = [
        order("low", "SENT", "99.99"),
        order("good", "PENDING", "100"),
        order("good", "SENT", "100"),
        order("good", "SENT", "100"),
        order("dead", "LOST", "100"),
    ];
    system
        .write_orders(records.into_iter().chain(stray).collect())
        .await?;
    system.settled().await;
    let database = [("DATABASE_URL", system.vouchers_url.as_str())];
    let explain = |id: &'static str| {
        let (system, database) = (&system, &database);
        async move {
            let answer = system
                .run_processor(&["explain", id, "--json"], database)
                .await?;
            answer.json()
        }
    };

    let low = explain("low").await?;
    assert_eq!(low["records"][0]["reason"], "threshold");
    assert_eq!(
        low["records"][0]["words"],
        "total 99.99 EUR is below 100.00"
    );
    assert_eq!(low["vouchers"].as_array().map(Vec::len), Some(0));
    let here = system.order_records().await?;
    let here = here.iter().find(|record| record.key_text() == "low");
    assert_eq!(
        low["partition"].as_i64(),
        here.map(|record| record.partition.into())
    );

    let good = explain("good").await?;
    let verdicts = (0..3).map(|at| good["records"][at]["verdict"].as_str());
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [Some("skipped"), Some("eligible"), Some("eligible")]
    );
    assert_eq!(good["vouchers"][0]["role"], "voucher");
    assert_eq!(good["vouchers"][1]["role"], "echo");
    assert_eq!(good["rows"][0]["amount"], "5.00 EUR");
    let times = [
        &good["records"][1]["written"],
        &good["vouchers"][0]["written"],
        &good["rows"][0]["created_at"],
    ];
    assert!(times.iter().all(|time| time.is_string()), "{times:?}");
    let code = system.vouchers_of("good").await?.remove(0).code;
    for (arguments, shown) in [
        (vec!["explain", "good"], false),
        (vec!["explain", "good", "--reveal"], true),
    ] {
        let answer = system.run_processor(&arguments, &database).await?;
        assert_eq!(answer.stdout.contains(&code), shown, "{}", answer.stdout);
    }

    let dead = explain("dead").await?;
    assert_eq!(dead["records"][0]["reason"], "unknown_status");
    assert_eq!(dead["dead_letters"][0]["open"], true);
    assert!(dead["dead_letters"][0]["written"].is_string(), "{dead}");

    let everywhere = ["explain", "stray", "--all-partitions"];
    let told = system.run_processor(&everywhere, &[]).await?;
    assert!(
        told.stdout
            .contains("3 of the records are in other partitions")
    );

    let unknown = system
        .run_processor(&["explain", "unknown"], &database)
        .await?;
    assert_eq!(unknown.code, 1);
    let nowhere = format!(
        "in none of the 4 partitions of {}",
        system.topics.order_status
    );
    assert!(unknown.stderr.contains(&nowhere), "{}", unknown.stderr);
    Ok(())
}

#[tokio::test]
async fn a_voucher_that_the_sink_refused_is_told_with_its_reason_and_each_echo_of_it() -> Result<()>
{
    let system = TestSystem::open_json().await?;
    let _sink = system.sink().await?;
    let code = "IMPORTED-CODE";
    // The second voucher of order 2 is an echo, as a backfill writes one.
    for record in [voucher("1", code), voucher("2", code), voucher("2", code)] {
        topic::write(system.brokers(), &system.topics.vouchers, vec![record]).await?;
        system
            .caught_up(&system.sink_group(), &system.topics.vouchers)
            .await;
    }
    let group = system.sink_group();
    let database = [
        ("DATABASE_URL", system.vouchers_url.as_str()),
        ("SINK_GROUP", group.as_str()),
    ];
    let explain = ["explain", "2", "--json"];
    let told = system.run_processor(&explain, &database).await?.json()?;
    assert_eq!(told["rows"], json!([]));
    let letters = told["dead_letters"].as_array().cloned().unwrap_or_default();
    assert_eq!(letters.len(), 2, "each record is a dead letter of its own");
    for letter in &letters {
        assert_eq!(letter["reason"], "code_taken");
        assert_eq!(letter["group"], group.as_str());
        assert_eq!(letter["open"], true);
    }

    // Once the cause is removed, one redrive closes both dead letters: the first writes the row, and the
    // second finds it.
    system
        .execute_on_vouchers("delete from vouchers where order_id = '1'")
        .await?;
    let redriven = system.run_sink(&["redrive", "--json"]).await?.json()?;
    assert_eq!(redriven["outcomes"], json!({"row": 2}));
    let told = system.run_processor(&explain, &database).await?.json()?;
    assert_eq!(told["rows"].as_array().map(Vec::len), Some(1));
    let letters = told["dead_letters"].as_array().cloned().unwrap_or_default();
    assert!(
        letters.iter().all(|letter| letter["open"] == false),
        "{told:#}"
    );
    Ok(())
}

#[tokio::test]
async fn without_the_database_the_rest_of_the_story_is_told() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let _processor = system.processor().await?;
    system
        .write_orders(vec![order("17", "SENT", "100")])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let away = [("DATABASE_URL", "postgres://nobody@127.0.0.1:9/none")];
    let told = system.run_processor(&["explain", "17"], &away).await?;
    assert_eq!(told.code, 1);
    for part in [
        "eligible: sent at",
        "order-reward",
        "not read: the vouchers' table",
    ] {
        assert!(told.stdout.contains(part), "no {part} in {}", told.stdout);
    }
    assert!(
        told.stderr.contains("the explanation is incomplete"),
        "{}",
        told.stderr
    );
    let told = system
        .run_processor(&["explain", "17", "--json"], &away)
        .await?;
    let json: serde_json::Value = serde_json::from_str(&told.stdout)?;
    assert_eq!(json["vouchers"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["rows"], serde_json::Value::Null);
    assert_eq!(json["not_looked_at"][0]["what"], "the vouchers' table");
    Ok(())
}
