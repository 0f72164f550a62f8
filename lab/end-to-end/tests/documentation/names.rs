//! Public names of the code in the documents: metrics, and reasons of dead letters.

use anyhow::Result;
use runtime::metrics::{self, Label, SERVICES, Values};
use schemas::Reason;

use crate::generated::{compare, escaped, row};
use crate::{markdown, project};

#[test]
fn the_page_of_metrics_lists_those_of_the_services() -> Result<()> {
    let head = ["metric", "type", "unit", "services", "labels", "meaning"];
    let mut table = row(&head) + &row(&["---"; 6]);
    for metric in metrics::ALL {
        let services = metric.services();
        let services = if services.len() == SERVICES.len() {
            "all".to_owned()
        } else {
            services.join(", ")
        };
        let labels: Vec<_> = metric.labels.iter().map(label).collect();
        table += &row(&[
            &format!("`{}`", metric.name),
            metric.kind_in_prometheus(),
            metric.unit(),
            &services,
            &labels.join("; "),
            &escaped(metric.help),
        ]);
    }
    compare("docs/metrics.md", &table)
}

/// Describes a label and its values.
fn label(label: &Label) -> String {
    let values = escaped(&label.values_in_words());
    match label.values {
        Values::Reasons => format!("`{}`: [{values}](dead-letters.md#reasons)", label.name),
        Values::Open(_) => format!("`{}`: *{values}*", label.name),
        Values::Known(_) | Values::OwnService => format!("`{}`: {values}", label.name),
    }
}

/// Returns the metric that a code span names: `checkout_sink_rows_total` of
/// `checkout_sink_rows_total{outcome="different"}`. Tables of migrations and files, whose names look
/// similar, are excluded.
fn metric(code: &str) -> Option<&str> {
    let name = code.split_once('{').map_or(code, |(name, _)| name);
    let prefixes = [
        "checkout_",
        "process_",
        // Prefixes of earlier versions, which no document may use any more.
        "producer_",
        "processor_",
        "sink_",
        "console_",
        "kafka_",
        "http_",
    ];
    let is_ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
    let is_other = name.ends_with("_migrations") || name.contains('.');
    (is_ours && !is_other).then_some(name)
}

#[test]
fn every_metric_that_a_document_names_exists() -> Result<()> {
    for document in crate::documents()? {
        let text = std::fs::read_to_string(&document)?;
        for name in markdown::code_spans(&text).into_iter().filter_map(metric) {
            assert!(
                metrics::ALL.iter().any(|metric| metric.name == name),
                "{} names {name}, which is no metric",
                crate::name(&document)
            );
        }
    }
    Ok(())
}

#[test]
fn every_reason_of_a_dead_letter_is_explained() -> Result<()> {
    let page = std::fs::read_to_string(project().join("docs/dead-letters.md"))?;
    let explained = markdown::code_spans(&page);
    for reason in Reason::ALL {
        assert!(
            explained.contains(&reason.as_str()),
            "docs/dead-letters.md does not explain the reason {reason}"
        );
    }
    Ok(())
}
