//! What a service shows at `/metrics` before anything has happened.

use std::collections::BTreeSet;

use anyhow::Result;
use end_to_end::http::series;
use end_to_end::system::{TestSystem, ready};
use end_to_end::wait;
use runtime::metrics::{self, ALL};
use stack::Service;

/// Metrics whose label values are known only after an event, so that they have no series before it: a
/// partition is blocked, a client sends too much, a page of the console is opened.
const AFTER_AN_EVENT: [&str; 7] = [
    metrics::PROCESSOR_BLOCKED,
    metrics::PROCESSOR_BLOCKED_OFFSET,
    metrics::SINK_BLOCKED,
    metrics::SINK_BLOCKED_OFFSET,
    metrics::RATE_LIMITED,
    metrics::CONSOLE_REQUESTS,
    // Shown only with a file of keys.
    metrics::KEYS_FILE_STALE,
];

/// Returns the names in the lines of `/metrics` that begin with `start`.
async fn names(service: &Service, start: &str) -> Result<BTreeSet<String>> {
    let text = reqwest::get(service.url("/metrics")).await?.text().await?;
    let lines = text.lines().filter_map(|line| line.strip_prefix(start));
    let names = lines.filter_map(|rest| rest.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// Waits until a service shows all its metrics, each with its description, and checks that it shows no
/// others.
async fn shows_its_metrics(service: &Service, name: &str) -> Result<()> {
    let all = ALL.iter().filter(|metric| metric.is_of(name));
    let all: BTreeSet<String> = all.map(|metric| metric.name.to_owned()).collect();
    let missing = || async {
        let shown = names(service, "# TYPE ").await.unwrap_or_default();
        let missing = all.difference(&shown);
        let missing = missing.filter(|name| !AFTER_AN_EVENT.contains(&name.as_str()));
        missing.cloned().collect::<BTreeSet<_>>()
    };
    let what = format!("every metric of the {name}");
    wait::until(&what, missing, |missing| missing.is_empty()).await;
    let (shown, described) = (
        names(service, "# TYPE ").await?,
        names(service, "# HELP ").await?,
    );
    let others: Vec<_> = shown.difference(&all).collect();
    assert!(others.is_empty(), "the {name} shows {others:?}");
    let bare: Vec<_> = shown.difference(&described).collect();
    assert!(bare.is_empty(), "the {name} does not describe {bare:?}");
    Ok(())
}

#[tokio::test]
async fn a_fresh_service_shows_every_metric_with_its_description_and_no_other() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (producer, processor, sink) =
        tokio::try_join!(system.producer(), system.processor(), system.sink())?;
    let console = system
        .console_of(&producer, &processor, &sink)
        .await?
        .env("CONSOLE_WITHOUT_KEYS", "viewer");
    let console = ready(console).await?;
    for (service, name) in [
        (&producer, "producer"),
        (&processor, "processor"),
        (&sink, "sink"),
        (&console, "console"),
    ] {
        shows_its_metrics(service, name).await?;
        let build = series(service, metrics::BUILD_INFO).await?;
        let labels = format!("{{service=\"{name}\",version=\"");
        let is_it = |(found, value): (&String, &f64)| found.starts_with(&labels) && *value == 1.0;
        assert!(build.iter().all(is_it) && build.len() == 1, "{build:?}");
    }
    Ok(())
}

/// An error ratio in Prometheus needs the error counter at 0 before the first error.
#[tokio::test]
async fn every_answer_of_the_api_is_counted_from_zero_on() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let requests = series(&producer, metrics::HTTP_REQUESTS).await?;
    for (route, method) in [
        ("/orders", "POST"),
        ("/orders/bulk", "POST"),
        ("/orders/{order_id}", "PATCH"),
        ("/order/create", "POST"),
    ] {
        for status in ["500", "503"] {
            let labels = format!("{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
            assert_eq!(requests.get(&labels), Some(&0.0), "{labels}: {requests:?}");
        }
        let labels = format!("{{route=\"{route}\",method=\"{method}\"}}");
        let name = format!("{}_count", metrics::HTTP_REQUEST_SECONDS);
        let seconds = series(&producer, &name).await?;
        assert_eq!(seconds.get(&labels), Some(&0.0), "{labels}: {seconds:?}");
    }
    Ok(())
}
