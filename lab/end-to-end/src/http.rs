//! What a service answers over HTTP: its metrics and its readiness.

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

/// Returns the status code and the body of `/readyz`.
///
/// # Errors
/// When the service does not answer.
pub async fn readiness(service: &Service) -> Result<(u16, Value)> {
    let answer = reqwest::get(service.url("/readyz")).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}
