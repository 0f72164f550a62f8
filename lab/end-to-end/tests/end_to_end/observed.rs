//! What the services expose for monitoring: counters from zero on, lag, latencies and traces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::backends::own_postgres;
use end_to_end::http::{metric, series};
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use reqwest::Client;
use schemas::Reason;
use serde_json::json;
use stack::{Port, Service};

const RECORDS: &str = "checkout_consumer_lag_records";
const SECONDS: &str = "checkout_consumer_lag_seconds";
const TO_VOUCHER: &str = "checkout_order_to_voucher_seconds_count";
const TO_ROW: &str = "checkout_voucher_to_row_seconds_count";
const ORDER_TO_ROW: &str = "checkout_order_to_row_seconds_count";

/// The lag of a service in records, by partition, and in seconds.
#[derive(Debug, Clone, PartialEq)]
struct Lag {
    records: BTreeMap<String, f64>,
    seconds: f64,
}

impl Lag {
    async fn of(service: &Service) -> Result<Self> {
        let seconds = series(service, SECONDS).await?;
        Ok(Self {
            records: series(service, RECORDS).await?,
            seconds: *seconds.values().next().context("no lag in seconds")?,
        })
    }

    /// Returns whether the lag of all four partitions is known and zero.
    fn is_none(&self) -> bool {
        self.records.len() == 4
            && self.records.values().all(|records| *records == 0.0)
            && self.seconds == 0.0
    }
}

async fn catches_up(service: &Service) -> Result<Lag> {
    let what = format!("{} to have no lag", service.name());
    let lag = || Lag::of(service);
    wait::until(&what, lag, |lag| lag.as_ref().is_ok_and(Lag::is_none)).await
}

fn sent(order_id: &str) -> NewRecord {
    let value = format!(r#"{{"order_id":"{order_id}","status":"SENT","total":100}}"#);
    NewRecord::new(order_id, value)
}

/// Places an order over HTTP and sends it.
async fn send_order(producer: &Service, order_id: &str) -> Result<()> {
    let order = json!({"order_id": order_id, "total": "100.00"});
    let place = Client::new().post(producer.url("/orders")).json(&order);
    let path = format!("/orders/{order_id}");
    let send = Client::new().patch(producer.url(&path));
    for request in [place, send.json(&json!({"status": "SENT"}))] {
        request.send().await?.error_for_status()?;
    }
    Ok(())
}

async fn has_row(system: &TestSystem, order_id: &str) {
    let what = format!("the voucher of {order_id}");
    let rows = || async { system.vouchers_of(order_id).await.unwrap_or_default() };
    wait::until(&what, rows, |rows| !rows.is_empty()).await;
}

/// Prometheus sees no increase in a series that first appears with 1, so every counter must be scraped at 0
/// before.
#[tokio::test]
async fn every_reason_of_a_dead_letter_is_counted_from_zero_on() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (processor, sink) = tokio::try_join!(system.processor(), system.sink())?;
    for (service, name) in [
        (&processor, "checkout_processor_dead_letters_total"),
        (&sink, "checkout_sink_dead_letters_total"),
    ] {
        let metrics = reqwest::get(service.url("/metrics")).await?.text().await?;
        for reason in Reason::ALL {
            let line = format!("{name}{{reason=\"{}\"}} 0", reason.as_str());
            assert!(metrics.lines().any(|one| one == line), "no {line}");
        }
    }
    Ok(())
}

/// A lag of 0 would silence the alerts about a service that waits since it was started.
#[tokio::test]
async fn a_processor_that_waits_for_the_registry_is_behind_since_its_start() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let nobody = Port::free()?;
    let processor = system.processor_command("1").await?;
    let url = format!("http://{}", nobody.address());
    let processor = processor.env("SCHEMA_REGISTRY_URL", &url).start().await?;
    let lag = || async {
        let seconds = series(&processor, SECONDS).await.ok()?;
        seconds.values().next().copied()
    };
    let begun = wait::until("a lag", lag, |lag| lag.is_some_and(|lag| lag > 0.0)).await;
    wait::until("a lag that grows", lag, |lag| *lag > begun).await;
    Ok(())
}

/// The relay and the processor write in transactions, whose markers take offsets after the records.
#[tokio::test]
async fn at_the_end_of_its_topic_a_service_has_no_lag_although_markers_follow_the_last_record()
-> Result<()> {
    let system = TestSystem::open_json().await?;
    let (producer, processor, sink) =
        tokio::try_join!(system.producer(), system.processor(), system.sink())?;
    send_order(&producer, "17").await?;
    has_row(&system, "17").await;
    for (service, topic) in [
        (&processor, &system.topics.order_status),
        (&sink, &system.topics.vouchers),
    ] {
        let records = topic::read(system.brokers(), topic).await?.len();
        let nobody = format!("nobody-{}", system.name);
        let offsets = topic::lag(system.brokers(), &nobody, topic).await?;
        assert!(offsets > i64::try_from(records)?, "no marker in {topic}");
        catches_up(service).await?;
        // Observes the lag for longer than the 4 s after which the brokers are asked for the log ends
        // again.
        let begun = Instant::now();
        let mut shown = None;
        let lag = || Lag::of(service);
        wait::until("two looks at the ends of the logs", lag, |lag| {
            shown = lag.as_ref().ok().filter(|lag| !lag.is_none()).cloned();
            shown.is_some() || begun.elapsed() > Duration::from_secs(9)
        })
        .await?;
        assert_eq!(shown, None, "{} shows a lag again", service.name());
    }
    Ok(())
}

#[tokio::test]
async fn the_lag_of_a_sink_without_its_database_grows_and_disappears() -> Result<()> {
    let backends = own_postgres("lag", |_| {}).await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let (processor, sink) = tokio::try_join!(system.processor(), system.sink())?;
    system.write_orders(vec![sent("before")]).await?;
    has_row(&system, "before").await;
    catches_up(&sink).await?;

    system.backends.postgres().stop().await?;
    // More records than the sink prefetches before it has written any.
    let orders = (0..5_000).map(|number| sent(&format!("{number}")));
    system.write_orders(orders.collect()).await?;
    let lag = || Lag::of(&sink);
    wait::until("a lag that grows", lag, |lag| {
        let is_behind = |lag: &Lag| lag.records.values().any(|records| *records > 0.0);
        lag.as_ref()
            .is_ok_and(|lag| is_behind(lag) && lag.seconds > 2.0)
    })
    .await?;
    catches_up(&processor).await?;
    assert_eq!(metric(&sink, "checkout_ready", "").await?, 0);
    assert_eq!(metric(&processor, "checkout_ready", "").await?, 1);

    system.backends.postgres().start().await?;
    system.backends.postgres().wait_ready().await?;
    catches_up(&sink).await?;
    let is_ready = || metric(&sink, "checkout_ready", "");
    wait::until("a sink that is ready", is_ready, |ready| {
        matches!(ready, Ok(1))
    })
    .await?;
    let inserted = metric(&sink, "checkout_sink_rows_total", "outcome=\"inserted\"").await?;
    assert_eq!(inserted, 5_001);
    let retries = metric(&sink, "checkout_retries_total", "class=\"postgres\"").await?;
    assert!(retries > 0, "the sink tried again while Postgres was away");
    Ok(())
}

#[tokio::test]
async fn vouchers_of_a_backfill_are_in_no_latency() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (processor, sink) = tokio::try_join!(system.processor(), system.sink())?;
    assert_eq!(metric(&processor, TO_VOUCHER, "").await?, 0);
    assert_eq!(metric(&sink, TO_ROW, "").await?, 0);
    system.write_orders(vec![sent("17")]).await?;
    has_row(&system, "17").await;
    for (service, name) in [
        (&processor, TO_VOUCHER),
        (&sink, TO_ROW),
        (&sink, ORDER_TO_ROW),
    ] {
        let count = || metric(service, name, "");
        wait::until(name, count, |count| *count.as_ref().unwrap_or(&0) > 0).await?;
    }
    system
        .run_processor(&["backfill", "--name", "again", "--json"], &[])
        .await?
        .json()?;
    let existing = || metric(&sink, "checkout_sink_rows_total", "outcome=\"existing\"");
    wait::until("the voucher again", existing, |existing| {
        *existing.as_ref().unwrap_or(&0) == 1
    })
    .await?;
    assert_eq!(metric(&processor, TO_VOUCHER, "").await?, 1);
    assert_eq!(metric(&sink, TO_ROW, "").await?, 1);
    assert_eq!(metric(&sink, ORDER_TO_ROW, "").await?, 1);
    Ok(())
}

/// An alert compares this retention with the lag.
#[tokio::test]
async fn the_processor_says_how_long_its_topic_keeps_every_record() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let processor = system.processor().await?;
    let kept = || series(&processor, "checkout_topic_guaranteed_retention_seconds");
    let week = BTreeMap::from([(
        format!("{{topic=\"{}\"}}", system.topics.order_status),
        604_800.0,
    )]);
    wait::until("a week", kept, |kept| {
        kept.as_ref().is_ok_and(|kept| *kept == week)
    })
    .await?;
    Ok(())
}

/// The ingress accepts orders without Kafka too; they wait in the outbox.
#[tokio::test]
async fn the_age_of_the_first_order_that_waits_to_be_published_grows() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")).await?;
    send_order(&producer, "17").await?;
    let age = || series(&producer, "checkout_outbox_oldest_seconds");
    wait::until("an age of two seconds", age, |age| {
        let is_old = |age: &BTreeMap<String, f64>| age.values().any(|age| *age > 2.0);
        age.as_ref().is_ok_and(is_old)
    })
    .await?;
    producer.kill().await?;
    let producer = system.producer().await?;
    let age = || series(&producer, "checkout_outbox_oldest_seconds");
    wait::until("no order that waits", age, |age| {
        let is_empty = |age: &BTreeMap<String, f64>| age.values().any(|age| *age == 0.0);
        age.as_ref().is_ok_and(is_empty)
    })
    .await?;
    assert_eq!(system.order_records().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_trace_keeps_its_callers_flags_and_our_own_is_not_sampled() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let _rest = tokio::try_join!(system.processor(), system.sink())?;
    let trace =
        |flags: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    // By order id: the `traceparent` that the caller sends, and the flags that the record has.
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
