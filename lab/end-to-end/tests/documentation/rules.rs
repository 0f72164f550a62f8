//! Metrics that rules, their tests and the dashboard name exist.

use anyhow::Result;
use runtime::metrics;

use crate::{files, name, project};

/// Suffixes of the names of a histogram's series.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Returns the names of our metrics in a text. Names with a colon are those of recording rules and are left
/// out.
fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "_:".contains(letter)))
        .filter(|word| word.starts_with("checkout_") && !word.contains(':'))
}

fn exists(name: &str) -> bool {
    metrics::ALL.iter().any(|metric| {
        let is_series = |end: &&str| name.strip_suffix(*end) == Some(metric.name);
        name == metric.name || OF_HISTOGRAMS.iter().any(is_series)
    })
}

#[test]
fn every_metric_that_a_rule_or_a_panel_names_exists() -> Result<()> {
    let mut unknown = Vec::new();
    let mut named = 0;
    for folder in ["deploy/prometheus", "deploy/grafana", "lab/monitoring"] {
        for file in files(&project().join(folder), &["yml", "json", "py"])? {
            let text = std::fs::read_to_string(&file)?;
            for metric in metrics_in(&text) {
                named += 1;
                if !exists(metric) {
                    unknown.push(format!("{}: {metric}", name(&file)));
                }
            }
        }
    }
    assert!(named > 100, "only {named} metrics were found");
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
    Ok(())
}

#[test]
fn names_of_metrics_are_told_from_those_of_recording_rules() {
    let text =
        "sum(rate(checkout_a_total{b=\"c\"}[5m])) > job:checkout_d:ratio_rate5m / 'checkout_e'";
    assert!(metrics_in(text).eq(["checkout_a_total", "checkout_e"]));
}
