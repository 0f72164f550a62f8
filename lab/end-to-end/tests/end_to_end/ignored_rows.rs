//! Rows that the user's own triggers and policies keep out of the table.

use anyhow::Result;
use end_to_end::http::readiness;
use end_to_end::system::TestSystem;
use end_to_end::topic;
use end_to_end::wait;
use serde_json::json;

use crate::sink_redrive::voucher;

/// A block list as a user might write it: one order is skipped silently, another is refused with an error.
const TRIGGER: &str = "
    CREATE FUNCTION block_list() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.order_id = '17' THEN RETURN NULL; END IF;
        IF NEW.order_id = '18' THEN RAISE EXCEPTION 'order % is blocked', NEW.order_id; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER block_list BEFORE INSERT ON vouchers
    FOR EACH ROW EXECUTE FUNCTION block_list();";

#[tokio::test]
async fn a_row_that_a_trigger_keeps_out_is_a_dead_letter_and_its_neighbours_are_rows() -> Result<()>
{
    let system = TestSystem::open_json().await?;
    let sink = system.sink().await?;
    system.execute_on_vouchers(TRIGGER).await?;
    let records = (10..30)
        .map(|id| voucher(&id.to_string(), &format!("CODE-{id}")))
        .collect();
    topic::write(system.brokers(), &system.topics.vouchers, records).await?;
    system
        .caught_up(&system.sink_group(), &system.topics.vouchers)
        .await;
    assert_eq!(system.vouchers().await?.len(), 18);
    let listed = system.run_sink(&["dead-letters", "--json"]).await?.json()?;
    assert_eq!(
        listed["reasons"],
        json!({"rejected_by_database": {"open": 2, "all": 2}})
    );
    let why = listed["letters"].to_string();
    assert!(
        why.contains("a trigger, a rule or row-level security"),
        "{why}"
    );
    assert!(why.contains("order 18 is blocked"), "{why}");
    assert!(!why.contains("CODE-"), "{why}");
    let ready = || async { readiness(&sink).await.map_or(0, |(status, _)| status) };
    wait::until("the sink to be ready", ready, |status| *status == 200).await;

    let redriven = system.run_sink(&["redrive", "--json"]).await?.json()?;
    assert_eq!(
        redriven["outcomes"],
        json!({"failed: rejected_by_database": 2})
    );
    system
        .execute_on_vouchers("DROP TRIGGER block_list ON vouchers")
        .await?;
    let redriven = system.run_sink(&["redrive", "--json"]).await?.json()?;
    assert_eq!(redriven["outcomes"], json!({"row": 2}));
    assert_eq!(system.vouchers().await?.len(), 20);
    Ok(())
}
