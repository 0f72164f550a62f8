//! Registers the metrics of a service, and renders them.

use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::definition::{Kind, Metric, SERVICES};
use super::{ALL, BUILD_INFO, buckets, process};
use crate::lifecycle::Failure;
use crate::version;

/// The metrics of the process, to be rendered. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// Adds the samples of the histograms to their buckets. Until then the recorder keeps each of them, so
    /// that the memory of a service whose metrics nobody reads would grow without this.
    pub fn add_up_samples(&self) {
        self.0.run_upkeep();
    }

    /// Returns all metrics as Prometheus reads them.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        process::write(&mut text);
        text
    }
}

/// Installs the metrics recorder of the process, and registers the metrics of `service`: each has its
/// description, and every series whose labels are known is there at 0, because an increase from nothing to
/// one is no increase to Prometheus.
///
/// # Errors
/// When the process has a recorder already.
pub fn install(service: &str) -> Result<Exposition, Failure> {
    let handle = builder()
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Failure::failed(format!("metrics: {error}")))?;
    if let Some(service) = SERVICES.into_iter().find(|known| *known == service) {
        register(service);
    }
    Ok(Exposition(handle))
}

/// Returns a recorder with the buckets of all histograms.
pub(super) fn builder() -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        let bounds = match metric.kind {
            Kind::Counter | Kind::Gauge => continue,
            Kind::Seconds => buckets::SECONDS,
            Kind::Records => buckets::RECORDS,
        };
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
    }
    Ok(builder)
}

/// Describes the metrics of a service, and registers their series as far as these are known.
pub(super) fn register(service: &'static str) {
    let kept = |metric: &&Metric| metric.is_of(service) && !process::is_of_process(metric);
    for metric in ALL.iter().filter(kept) {
        describe(metric);
        for labels in known_series(metric, service) {
            match metric.kind {
                Kind::Counter => counter!(metric.name, labels).increment(0),
                Kind::Gauge => gauge!(metric.name, labels).set(0.0),
                Kind::Seconds | Kind::Records => drop(histogram!(metric.name, labels)),
            }
        }
    }
    gauge!(
        BUILD_INFO,
        "service" => service,
        "version" => env!("CARGO_PKG_VERSION"),
        "revision" => version::revision()
    )
    .set(1.0);
}

fn describe(metric: &Metric) {
    let description = metric.description();
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, description),
        Kind::Gauge => metrics::describe_gauge!(metric.name, description),
        Kind::Seconds | Kind::Records => metrics::describe_histogram!(metric.name, description),
    }
}

/// Returns the labels of every series of a metric; none when a label has values that are only known once
/// they occur.
fn known_series(metric: &Metric, service: &'static str) -> Vec<Vec<Label>> {
    let mut all = vec![Vec::new()];
    for label in metric.labels {
        let values = label.values.known(service).unwrap_or_default();
        let longer = all.iter().flat_map(|labels: &Vec<Label>| {
            values.iter().map(move |value| {
                let mut labels = labels.clone();
                labels.push(Label::new(label.name, *value));
                labels
            })
        });
        all = longer.collect();
    }
    all
}
