//! A backfill gives way to the live flow. How much is measured by `bench`, not here.

use anyhow::{Context, Result, ensure};
use end_to_end::system::TestSystem;
use end_to_end::wait;
use serde_json::{Value, json};

use crate::load;

/// Returns what a report says about a group.
fn of_group<'a>(report: &'a Value, group: &str) -> Result<&'a Value> {
    let groups = report["pace"]["groups"].as_array();
    let mut groups = groups.with_context(|| report.to_string())?.iter();
    groups
        .find(|one| one["group"] == group)
        .with_context(|| format!("{group}: {report}"))
}

#[tokio::test]
async fn live_orders_have_their_rows_while_a_backfill_gives_way_to_them() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    let mut written = 6_000;
    system.write_orders(load::orders(0..written)).await?;
    system.settled().await;

    let arguments = [
        "backfill",
        "--json",
        "--progress",
        "json",
        "--name",
        "beside",
    ];
    let mut backfill = system.start_processor(&arguments, &[]).await?;
    while backfill.try_wait()?.is_none() {
        ensure!(written < 600_000, "the backfill does not end");
        system
            .write_orders(load::orders(written..written + 20))
            .await?;
        written += 20;
        let eligible = (0..written).filter(|id| load::is_eligible(*id)).count();
        let rows = || async { system.vouchers().await.map_or(0, |rows| rows.len()) };
        wait::until("the rows of the live orders", rows, |rows| {
            *rows == eligible
        })
        .await;
    }
    let output = backfill.wait_with_output().await?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{log}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["complete"], true);
    // The backfill may have resolved its range after the first live orders were written, so it may have
    // read more.
    assert!(report["records"].as_u64() >= Some(6_000), "{report}");
    assert!(
        report["voucher_records"].as_u64() >= Some(2_400),
        "{report}"
    );

    assert_eq!(report["pace"]["mode"], "gives_way");
    assert!(report["pace"]["per_second"].is_u64(), "{report}");
    for group in [system.processor_group(), system.sink_group()] {
        let said = of_group(&report, &group)?;
        assert_eq!(said["watched"], true, "{report}");
        assert!(said["alone_ms"].is_u64(), "{report}");
    }
    assert!(log.contains(r#""limit":{"per_second":"#), "{log}");

    system.settled().await;
    load::assert_each_eligible_order_has_one_row(&system, 0..written).await?;
    Ok(())
}

#[tokio::test]
async fn a_backfill_without_live_groups_waits_for_nobody_and_says_so() -> Result<()> {
    let system = TestSystem::open_json().await?;
    system.write_orders(load::orders(0..1_000)).await?;
    let run = |arguments: &'static [&'static str]| system.run_processor(arguments, &[]);

    let answer = run(&["backfill", "--json", "--dry-run"]).await?;
    let report = answer.json()?;
    assert_eq!(report["pace"]["mode"], "gives_way");
    assert_eq!(report["pace"]["per_second"], Value::Null);
    for group in [system.processor_group(), system.sink_group()] {
        let said = of_group(&report, &group)?;
        let expected = (&json!(false), &json!("it has no members"), &json!(0));
        assert_eq!(
            (&said["watched"], &said["not_watched"], &said["gave_way"]),
            expected
        );
    }
    let text = run(&["backfill", "--name", "alone"]).await?;
    let words = format!(
        "did not give way to group {}: it has no members",
        system.sink_group()
    );
    assert!(text.stdout.contains(&words), "{text:?}");

    for (rate, pace) in [
        ("5000", json!({ "mode": "rate", "per_second": 5_000 })),
        ("max", json!({ "mode": "max" })),
    ] {
        let arguments = ["backfill", "--json", "--dry-run", "--rate", rate];
        let report = system.run_processor(&arguments, &[]).await?.json()?;
        assert_eq!(report["pace"], pace);
        assert_eq!(report["records"], 1_000);
    }
    let refused = run(&["backfill", "--dry-run", "--rate", "fast"]).await?;
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("or max"), "{refused:?}");

    // `sink backfill` watches the sink's group.
    let rebuilt = system.run_sink(&["backfill", "--json"]).await?.json()?;
    assert_eq!(rebuilt["pace"]["mode"], "gives_way");
    assert_eq!(
        of_group(&rebuilt, &system.sink_group())?["watched"],
        json!(false)
    );
    Ok(())
}
