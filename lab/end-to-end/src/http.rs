//! What a service answers over HTTP: its metrics and its readiness.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use stack::Service;

/// Returns the value of a metric: the sum over all series whose labels contain `labels`, or zero.
///
/// # Errors
/// When the service does not answer.
pub async fn metric(service: &Service, name: &str, labels: &str) -> Result<u64> {
    let text = reqwest::get(service.url("/metrics")).await?.text().await?;
    Ok(text
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        })
        .filter_map(|line| {
            line.rsplit(' ')
                .next()?
                .split('.')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum())
}

/// Returns the value of each series of a metric, by its labels as they are written.
///
/// # Errors
/// When the service does not answer.
pub async fn series(service: &Service, name: &str) -> Result<BTreeMap<String, f64>> {
    let text = reqwest::get(service.url("/metrics")).await?.text().await?;
    let of_the_name = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let is_whole_name = labels.is_empty() || labels.starts_with('{');
        Some((labels.to_owned(), value.parse::<f64>().ok()?)).filter(|_| is_whole_name)
    });
    Ok(of_the_name.collect())
}

/// Returns the status code and the body of `/readyz`.
///
/// # Errors
/// When the service does not answer.
pub async fn readiness(service: &Service) -> Result<(u16, Value)> {
    let answer = reqwest::get(service.url("/readyz")).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}
