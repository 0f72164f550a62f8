//! Spans of sampled orders, as a collector receives them.

use anyhow::{Context, Result, ensure};
use end_to_end::collector::{Collector, ReceivedSpan, exporting};
use end_to_end::command::run_alone;
use end_to_end::http::metric;
use end_to_end::system::{STOP, TestSystem, ready};
use end_to_end::wait;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::Client;
use serde_json::json;
use stack::{Port, Service};
use tokio::net::TcpListener;

/// The span of the caller of a request.
const CALLER: &str = "b7ad6b7169203331";

/// Places an order and sends it, in the trace of a caller if there is one.
async fn send_order(producer: &Service, order_id: &str, caller: Option<&str>) -> Result<()> {
    let order = json!({"order_id": order_id, "total": "100.00"});
    let place = Client::new().post(producer.url("/orders")).json(&order);
    let send = Client::new().patch(producer.url(&format!("/orders/{order_id}")));
    for request in [place, send.json(&json!({"status": "SENT"}))] {
        let request = match caller {
            Some(trace) => request.header("traceparent", trace),
            None => request,
        };
        request.send().await?.error_for_status()?;
    }
    Ok(())
}

/// Returns a trace that no other test has, and a caller's header that says that it is sampled.
fn sampled_trace() -> (String, String) {
    let trace = format!("{:032x}", rand::random::<u128>() | 1);
    let header = format!("00-{trace}-{CALLER}-01");
    (trace, header)
}

/// Returns the span of this name that continues the span `parent`.
fn child<'s>(spans: &'s [ReceivedSpan], name: &str, parent: &str) -> Result<&'s ReceivedSpan> {
    let mut spans = spans.iter();
    spans
        .find(|span| span.name == name && span.parent == parent)
        .with_context(|| format!("no span {name} continues {parent}"))
}

/// Returns the span of this name that begins a trace and links to `other`.
fn linking<'s>(
    spans: &'s [ReceivedSpan],
    name: &str,
    other: &ReceivedSpan,
) -> Result<&'s ReceivedSpan> {
    let mut spans = spans.iter();
    let found = spans.find(|span| span.name == name && span.links_to(other));
    let found = found.with_context(|| format!("no span {name} links to {}", other.name))?;
    ensure!(found.parent.is_empty(), "{name} continues another span");
    ensure!(
        found.trace != other.trace,
        "{name} is in the trace of one order"
    );
    Ok(found)
}

/// The spans that continue one another from a request to the row, in order.
fn path<'s>(
    spans: &'s [ReceivedSpan],
    system: &TestSystem,
    request: &str,
) -> Result<Vec<&'s ReceivedSpan>> {
    let (statuses, vouchers) = (&system.topics.order_status, &system.topics.vouchers);
    let mut path: Vec<&ReceivedSpan> = Vec::new();
    let mut parent = CALLER;
    for name in [
        request.to_owned(),
        format!("create {statuses}"),
        format!("process {statuses}"),
        format!("create {vouchers}"),
        format!("process {vouchers}"),
    ] {
        let span = child(spans, &name, parent)?;
        parent = &span.id;
        path.push(span);
    }
    Ok(path)
}

/// Checks the spans of one sent order. Fails while some have not arrived.
fn check(spans: &[ReceivedSpan], system: &TestSystem, trace: &str) -> Result<()> {
    let (statuses, vouchers) = (&system.topics.order_status, &system.topics.vouchers);
    let of_the_order: Vec<_> = spans
        .iter()
        .filter(|span| span.trace == trace)
        .cloned()
        .collect();
    // The order was placed, which earns nothing, and sent, which earns a voucher.
    let placed = child(&of_the_order, "POST /orders", CALLER)?;
    let created = child(&of_the_order, &format!("create {statuses}"), &placed.id)?;
    let skipped = child(&of_the_order, &format!("process {statuses}"), &created.id)?;
    ensure!(skipped.attributes["checkout.outcome"] == "skipped");
    ensure!(skipped.attributes["checkout.reason"] == "status");

    let path = path(&of_the_order, system, "PATCH /orders/{order_id}")?;
    let seen: Vec<_> = path
        .iter()
        .map(|span| (span.service.as_str(), span.kind))
        .collect();
    let expected = [
        ("producer", SpanKind::Server),
        ("producer", SpanKind::Producer),
        ("processor", SpanKind::Consumer),
        ("processor", SpanKind::Producer),
        ("sink", SpanKind::Consumer),
    ];
    ensure!(seen == expected, "{seen:?}");
    ensure!(
        path.is_sorted_by_key(|span| span.began),
        "not in order: {path:#?}"
    );
    ensure!(path.iter().all(|span| span.began <= span.ended));

    let [request, status, processed, voucher, row] = path[..] else {
        anyhow::bail!("{path:?}");
    };
    ensure!(request.attributes["http.response.status_code"] == "200");
    ensure!(processed.attributes["checkout.outcome"] == "voucher");
    ensure!(row.attributes["checkout.outcome"] == "row");
    for (consumed, group) in [
        (processed, system.processor_group()),
        (row, system.sink_group()),
    ] {
        ensure!(consumed.attributes["messaging.system"] == "kafka");
        ensure!(consumed.attributes["messaging.operation.type"] == "process");
        ensure!(consumed.attributes["messaging.consumer.group.name"] == group);
        ensure!(consumed.attributes.contains_key("messaging.kafka.offset"));
    }

    // A span of work for many orders links to the span of each.
    linking(spans, "INSERT orders", placed)?;
    linking(spans, "UPDATE orders", request)?;
    let sent = linking(spans, &format!("send {statuses}"), status)?;
    let polled = linking(spans, &format!("poll {statuses}"), status)?;
    linking(spans, &format!("commit {statuses}"), processed)?;
    linking(spans, &format!("send {vouchers}"), voucher)?;
    linking(spans, &format!("poll {vouchers}"), voucher)?;
    // A commit that fell between two generations of the group is repeated by the task that owns the
    // partition then, which may have processed the record again.
    let commit = format!("commit {vouchers}");
    let mut rows = of_the_order.iter().filter(|span| span.parent == voucher.id);
    ensure!(
        rows.any(|row| linking(spans, &commit, row).is_ok()),
        "no span {commit} links to {}",
        row.name
    );
    let inserted = linking(spans, "INSERT vouchers", row)?;
    ensure!(inserted.attributes["db.system.name"] == "postgresql");
    ensure!(processed.links_to(status) && processed.links_to(polled));
    ensure!(sent.began <= polled.ended && polled.ended <= inserted.ended);
    Ok(())
}

/// Waits until the spans of one sent order have arrived as they should be.
async fn arrived(collector: &Collector, system: &TestSystem, trace: &str) -> Vec<ReceivedSpan> {
    let checked = || async {
        let spans = collector.spans();
        check(&spans, system, trace)
            .map(|()| spans)
            .map_err(|error| format!("{error:#}"))
    };
    let spans = wait::until("the spans of one order", checked, Result::is_ok).await;
    spans.unwrap_or_default()
}

#[tokio::test]
async fn one_order_is_one_trace_from_the_request_to_the_row() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let collector = Collector::open().await?;
    let producer = ready(collector.of(system.producer_command("1").await?)).await?;
    let processor = ready(collector.of(system.processor_command("1").await?)).await?;
    let sink = ready(collector.of(system.sink_command("1").await?)).await?;
    let (trace, header) = sampled_trace();
    send_order(&producer, "traced", Some(&header)).await?;
    let spans = arrived(&collector, &system, &trace).await;

    // Spans contain neither codes nor order ids.
    let rows = system.vouchers().await?;
    let row = rows.first().context("no row")?;
    let printed = format!("{spans:?}");
    assert!(!printed.contains(&row.code) && !printed.contains("traced"));
    // The row names the span that created the voucher.
    let voucher = row.traceparent.as_deref().context("no trace")?;
    let created = format!("create {}", system.topics.vouchers);
    assert!(
        spans
            .iter()
            .any(|span| span.name == created && voucher.contains(&span.id)),
        "{voucher}"
    );
    for service in [producer, processor, sink] {
        let lost = metric(&service, "checkout_trace_spans_dropped_total", "").await?;
        assert_eq!(lost, 0, "{}", service.name());
        assert!(service.terminate(STOP).await?.success());
    }
    Ok(())
}

#[tokio::test]
async fn of_an_order_that_is_not_sampled_no_span_is_recorded() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let collector = Collector::open().await?;
    let command = collector.of(system.producer_command("1").await?);
    // Only traces that a caller has sampled are recorded.
    let command = command.env("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    let producer = ready(command).await?;
    let _processor = ready(collector.of(system.processor_command("1").await?)).await?;
    let _sink = ready(collector.of(system.sink_command("1").await?)).await?;
    send_order(&producer, "not-sampled", None).await?;
    let (trace, header) = sampled_trace();
    send_order(&producer, "sampled", Some(&header)).await?;
    // The spans of the second order have arrived, so those of the first would have.
    let spans = arrived(&collector, &system, &trace).await;
    let rows = system.vouchers().await?;
    let mut rows = rows.iter();
    let row = rows.find(|row| row.order_id == "not-sampled");
    let other = row.and_then(|row| row.traceparent.as_deref());
    let other = other.context("no trace")?;
    assert!(other.ends_with("-00"), "{other}");
    let other = other.split('-').nth(1).context("no trace id")?;
    assert!(!format!("{spans:?}").contains(other));
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_delays_no_order_and_no_stop() -> Result<()> {
    let system = TestSystem::open_json().await?;
    // Nothing listens on the first port; the second accepts connections and never answers.
    let (away, hanging) = (Port::free()?, Port::free()?);
    let _listener = TcpListener::bind(hanging.address()).await?;
    let away = format!("http://{}", away.address());
    let hanging = format!("http://{}", hanging.address());
    let command = exporting(system.producer_command("1").await?, &away);
    let producer = ready(command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")).await?;
    // A timeout that is longer than a stop may take.
    let patient = |command| exporting(command, &hanging).env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    let processor = ready(patient(system.processor_command("1").await?)).await?;
    let sink = ready(patient(system.sink_command("1").await?)).await?;
    for number in 0..5 {
        send_order(&producer, &format!("order-{number}"), None).await?;
    }
    let rows = || async { system.vouchers().await.unwrap_or_default().len() };
    wait::until("five rows", rows, |rows| *rows == 5).await;
    let lost = || async {
        metric(
            &producer,
            "checkout_trace_spans_dropped_total",
            "not_exported",
        )
        .await
        .unwrap_or_default()
    };
    wait::until("lost spans to be counted", lost, |lost| *lost > 0).await;
    for service in [producer, processor, sink] {
        let stopped = service.terminate(STOP).await?;
        assert!(stopped.success(), "{}", service.name());
    }
    Ok(())
}

#[tokio::test]
async fn the_console_reads_none_of_the_variables_of_traces() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (name, value) = ("OTEL_TRACES_EXPORTER", "zipkin");
    let environment = [
        ("DATABASE_URL", system.vouchers_url.as_str()),
        (name, value),
    ];
    let refused = run_alone("sink", &["run"], &environment).await?;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains(name), "{}", refused.stderr);
    let console = system.console_command("1").await?.env(name, value);
    let console = ready(console.env("CONSOLE_WITHOUT_KEYS", "viewer")).await?;
    assert!(console.terminate(STOP).await?.success());
    Ok(())
}
