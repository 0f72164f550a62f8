//! The sink's dead letters become rows once their cause is corrected.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use serde_json::json;

pub(crate) fn voucher(order_id: &str, code: &str) -> NewRecord {
    NewRecord::new(
        order_id,
        format!(
            r#"{{"campaign":"order-reward","order_id":"{order_id}","code":"{code}","amount":"5.00","currency":"EUR","issued_at":"2026-01-01T00:00:00Z","expires_at":null}}"#
        ),
    )
}

#[tokio::test]
async fn a_code_that_was_taken_becomes_a_row_when_it_is_free() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let _sink = system.sink().await?;
    let code = "IMPORTED-CODE";
    let records = vec![
        voucher("1", code),
        voucher("2", code),
        NewRecord::new("3", "{"),
    ];
    for record in records {
        topic::write(system.brokers(), &system.topics.vouchers, vec![record]).await?;
        system
            .caught_up(&system.sink_group(), &system.topics.vouchers)
            .await;
    }
    let listed = system
        .run_sink(&["dead-letters", "--json", "--key", "2"])
        .await?;
    let listed = listed.json()?;
    assert_eq!(
        listed["reasons"],
        json!({"code_taken": {"open": 1, "all": 1}})
    );
    let letter = listed["letters"][0]["letter"].as_str().unwrap_or_default();
    let shown = system.run_sink(&["dead-letters", "show", letter]).await?;
    assert!(!shown.stdout.contains(code), "{}", shown.stdout);
    let shown = system
        .run_sink(&["dead-letters", "show", letter, "--reveal"])
        .await?;
    assert!(shown.stdout.contains(code), "{}", shown.stdout);

    let redriven = system.run_sink(&["redrive", "--json"]).await?.json()?;
    assert_eq!(
        redriven["outcomes"],
        json!({"failed: code_taken": 1, "failed: invalid_json": 1})
    );
    system
        .execute_on_vouchers("delete from vouchers where order_id = '1'")
        .await?;
    let dry = system
        .run_sink(&["redrive", "--json", "--dry-run"])
        .await?
        .json()?;
    assert_eq!(
        dry["outcomes"],
        json!({"failed: invalid_json": 1, "row": 1})
    );
    assert!(system.vouchers().await?.is_empty());
    let redriven = system.run_sink(&["redrive", "--json"]).await?.json()?;
    assert_eq!(
        redriven["outcomes"],
        json!({"failed: invalid_json": 1, "row": 1})
    );
    let rows = system.vouchers().await?;
    assert_eq!((rows.len(), rows[0].order_id.as_str()), (1, "2"));

    let hopeless = ["dead-letters", "discard", "--key", "3", "--note", "cut off"];
    assert_eq!(system.run_sink(&hopeless).await?.code, 0);
    let listed = system.run_sink(&["dead-letters", "--json"]).await?.json()?;
    assert_eq!((&listed["open"], &listed["all"]), (&json!(0), &json!(2)));
    Ok(())
}
