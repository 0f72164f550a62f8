//! The flow pauses when most records are dead letters, until a person accepts them.

use anyhow::Result;
use end_to_end::http::{metric, readiness};
use end_to_end::system::{STOP, TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use stack::Service;

use crate::record::good_json;

const WINDOW: usize = 1000;

/// One key, so that all records are in one partition and are read in the order in which they are written.
const KEY: &str = "17";

fn bad(number: usize) -> NewRecord {
    let value = match number % 5 {
        0 => format!(r#"{{"order_id":"{KEY}","status":"SHIPPED","total":1}}"#),
        _ => "not json".to_owned(),
    };
    NewRecord::new(KEY, value)
}

fn pending() -> NewRecord {
    NewRecord::new(
        KEY,
        format!(r#"{{"order_id":"{KEY}","status":"PENDING","total":100}}"#),
    )
}

/// Returns how often the processor has logged that it pauses.
fn pauses(processor: &Service) -> usize {
    let log = std::fs::read_to_string(processor.log()).unwrap_or_default();
    log.lines()
        .filter(|line| line.contains("ERROR") && line.contains("paused: "))
        .count()
}

/// Returns the numbers of vouchers and dead letters, and the lag of the group.
async fn written(system: &TestSystem) -> Result<(usize, usize, i64)> {
    let group = system.processor_group();
    let lag = topic::lag(system.brokers(), &group, &system.topics.order_status).await?;
    let vouchers = system.voucher_records().await?.len();
    Ok((vouchers, system.dead_letters().await?.len(), lag))
}

#[tokio::test]
async fn too_many_dead_letters_pause_the_flow_until_a_person_accepts_them() -> Result<()> {
    let system = TestSystem::open().await?;
    let processor = system.processor().await?;

    // Half of the window are dead letters, which is not enough: the flow continues.
    let half = WINDOW / 2;
    let mut records = vec![good_json(KEY)];
    records.extend((1..half).map(|_| pending()));
    records.extend((0..half).map(bad));
    system.write_orders(records).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(written(&system).await?, (1, half, 0));
    assert_eq!(readiness(&processor).await?.0, 200);

    // One dead letter more opens the circuit; the other records are behind it.
    let more = [bad(0), good_json(KEY), bad(1), pending(), good_json(KEY)];
    system.write_orders(more.to_vec()).await?;
    let (_, parts) = wait::until(
        "the circuit to open",
        || async { readiness(&processor).await.unwrap_or_default() },
        |(code, _)| *code == 503,
    )
    .await;
    let reason = parts["parts"]["task-0"].as_str().unwrap_or_default();
    for said in [
        "501 of the last 1000 records are dead letters",
        "invalid_json 400, unknown_status 101",
        "--accept-dead-letters",
    ] {
        assert!(reason.contains(said), "{parts}");
    }
    let alive = reqwest::get(processor.url("/livez")).await?;
    assert_eq!(alive.status(), 200);
    assert_eq!(
        metric(&processor, "checkout_processor_circuit_open", "").await?,
        1
    );

    // The same records are evaluated again, and are still unusable: nothing moves.
    wait::until(
        "the same records to be tried again",
        || async { pauses(&processor) },
        |pauses| *pauses >= 2,
    )
    .await;
    assert_eq!(written(&system).await?, (1, half, 5));
    assert_eq!(readiness(&processor).await?.0, 503);
    let ended = processor.terminate(STOP).await?;
    assert_eq!(ended.code(), Some(0), "a paused flow stops as any other");
    assert_eq!(written(&system).await?, (1, half, 5));

    let command = system.processor_command("1").await?;
    let processor = ready(command.arg("--accept-dead-letters")).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(written(&system).await?, (3, half + 2, 0));

    // The dead letters are accepted for as long as the process runs.
    system
        .write_orders((0..2 * WINDOW).map(bad).collect())
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(written(&system).await?, (3, half + 2 + 2 * WINDOW, 0));
    assert_eq!(readiness(&processor).await?.0, 200);
    Ok(())
}
