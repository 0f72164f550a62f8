//! How long a topic keeps every record, as a metric of a running service.
//!
//! A lag of a day is harmless where compaction leaves records alone for a week, and a loss where it does so
//! for an hour. With this metric an alert compares the two.

use std::time::Duration;

use metrics::gauge;
use rdkafka::admin::{AdminClient, ResourceSpecifier};

use super::cluster::{Config, config_of};
use super::connection::LastFailure;
use super::topics::guaranteed_retention;
use crate::kafka::{KafkaSettings, create_client};
use crate::lifecycle::{Failure, Shutdown};
use crate::metrics::TOPIC_GUARANTEED_RETENTION_SECONDS;

/// Pause between two requests. The setting seldom changes, and a reader that lags loses nothing for days.
const PERIOD: Duration = Duration::from_secs(300);

/// Pause after a request that failed.
const RETRY: Duration = Duration::from_secs(30);

/// Asks the brokers for the configuration of `topic` until shutdown, and sets the metric of how long it
/// keeps every record. While they do not answer, the metric stays as it was.
///
/// # Errors
/// None; the supervisor expects this type.
pub async fn watch_retention(
    settings: KafkaSettings,
    topic: String,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let retention = gauge!(TOPIC_GUARANTEED_RETENTION_SECONDS, "topic" => topic.clone());
    retention.set(0.0);
    let mut is_reported = false;
    loop {
        let config = tokio::select! {
            config = config_of_topic(&settings, &topic) => config,
            () = shutdown.requested() => return Ok(()),
        };
        let pause = match config {
            Ok(config) => {
                retention.set(seconds(&config));
                is_reported = false;
                PERIOD
            }
            Err(why) => {
                if !is_reported {
                    tracing::info!(
                        topic,
                        "cannot read the configuration of the topic, which the metric \
                         {TOPIC_GUARANTEED_RETENTION_SECONDS} is made of: {why}"
                    );
                }
                is_reported = true;
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => return Ok(()),
        }
    }
}

/// Returns the value of the metric.
fn seconds(config: &Config) -> f64 {
    guaranteed_retention(config).map_or(f64::INFINITY, |kept| kept.as_secs_f64())
}

/// Returns the topic's settings. The client is a new one each time, because a connection that is used once
/// in five minutes would be closed by the broker or kept open for nothing.
async fn config_of_topic(settings: &KafkaSettings, topic: &str) -> Result<Config, String> {
    let admin: AdminClient<LastFailure> = settings
        .observer()
        .and_then(|config| create_client(&config, LastFailure::default(), "client"))
        .map_err(|failure| failure.to_string())?;
    let answer = config_of(&admin, ResourceSpecifier::Topic(topic)).await;
    // Dropping a client waits for its threads.
    let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        settings.iter().map(owned).collect()
    }

    #[test]
    fn the_metric_is_the_shorter_of_both_limits_and_infinite_without_one() {
        let lag = ("min.compaction.lag.ms", "604800000");
        let retention = ("retention.ms", "86400000");
        for (settings, expected) in [
            (vec![("cleanup.policy", "compact"), lag], 604_800.0),
            (
                vec![("cleanup.policy", "compact"), lag, retention],
                604_800.0,
            ),
            (
                vec![("cleanup.policy", "compact,delete"), lag, retention],
                86_400.0,
            ),
            (
                vec![
                    ("cleanup.policy", "compact"),
                    ("min.compaction.lag.ms", "0"),
                ],
                0.0,
            ),
            (
                vec![("cleanup.policy", "delete"), ("retention.ms", "-1")],
                f64::INFINITY,
            ),
        ] {
            assert_eq!(seconds(&config(&settings)), expected, "{settings:?}");
        }
    }
}
