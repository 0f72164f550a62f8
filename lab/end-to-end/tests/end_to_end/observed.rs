//! What others see of the services: counters from their beginning on, and traces.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use end_to_end::system::TestSystem;
use end_to_end::wait;
use reqwest::Client;
use schemas::Reason;
use serde_json::json;

/// An increase from nothing to one is no increase to Prometheus: a counter has to be seen at 0 first.
#[tokio::test]
async fn every_reason_of_a_dead_letter_is_counted_from_zero_on() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (processor, sink) = tokio::try_join!(system.processor(), system.sink())?;
    for (service, name) in [
        (&processor, "processor_dead_letters_total"),
        (&sink, "sink_dead_letters_total"),
    ] {
        let metrics = reqwest::get(service.url("/metrics")).await?.text().await?;
        for reason in Reason::ALL {
            let line = format!("{name}{{reason=\"{}\"}} 0", reason.as_str());
            assert!(metrics.lines().any(|one| one == line), "no {line}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_keeps_its_callers_flags_and_our_own_is_not_sampled() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let _rest = tokio::try_join!(system.processor(), system.sink())?;
    let trace =
        |flags: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    // By order: what the caller sends, and the flags that arrive.
    let expected = BTreeMap::from([
        ("none", (None, "00")),
        ("not-sampled", (Some(trace("00")), "00")),
        ("sampled", (Some(trace("01")), "01")),
        ("random-and-sampled", (Some(trace("03")), "03")),
    ]);
    for (order_id, (header, _)) in &expected {
        let order = json!({"order_id": order_id, "total": "100.00"});
        let place = Client::new().post(producer.url("/orders")).json(&order);
        let path = format!("/orders/{order_id}");
        let send = Client::new().patch(producer.url(&path));
        for request in [place, send.json(&json!({"status": "SENT"}))] {
            let request = match header {
                Some(trace) => request.header("traceparent", trace),
                None => request,
            };
            request.send().await?.error_for_status()?;
        }
    }
    let rows = wait::until(
        "a voucher for each order",
        || async { system.vouchers().await.unwrap_or_default() },
        |rows| rows.len() == expected.len(),
    )
    .await;
    for row in rows {
        let (_, flags) = &expected[&*row.order_id];
        let trace = row.traceparent.context("no trace")?;
        assert_eq!(trace.rsplit('-').next(), Some(*flags), "{}", row.order_id);
    }
    for record in system.order_records().await? {
        let key = String::from_utf8(record.key.clone().context("no key")?)?;
        let trace = record.header("traceparent").context("no trace")?;
        assert_eq!(trace.rsplit('-').next(), Some(expected[&*key].1), "{key}");
    }
    Ok(())
}
