//! The quick part of `check`, at the start of `run`.
//!
//! A broker that does not answer is waited for; a topic that does not exist is a person's to
//! create, because its configuration (compaction, retention) is part of the promise.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;

use super::topics;
use crate::backoff::Backoff;
use crate::kafka::KafkaSettings;
use crate::lifecycle::{Failure, Shutdown};

const TIMEOUT: Duration = Duration::from_secs(3);

/// As [`topics_exist_blocking`], beside other tasks.
///
/// # Errors
/// The same.
pub async fn topics_exist(
    settings: &KafkaSettings,
    topics: Vec<String>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let (settings, shutdown) = (settings.clone(), shutdown.clone());
    tokio::task::spawn_blocking(move || {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        topics_exist_blocking(&settings, &topics, &shutdown)
    })
    .await
    .map_err(|error| Failure::failed(format!("preflight: {error}")))?
}

/// Waits for the broker and checks that `topics` exist. Blocks its thread.
///
/// Ends early, without an error, when shutdown is asked for.
///
/// # Errors
/// Exit code 1 in the words of `check`; 2 when the client can't be built.
pub fn topics_exist_blocking(
    settings: &KafkaSettings,
    topics: &[&str],
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let client: BaseConsumer = settings
        .observer()?
        .create()
        .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
    let servers = &settings.kafka_bootstrap_servers;
    let mut backoff = Backoff::outside();
    while !shutdown.is_requested() {
        match missing_topics(&client, topics) {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => {
                let verdict = topics::missing(&missing.join(", "), servers);
                return Err(Failure::failed(verdict.sentence()));
            }
            Err(error) => {
                tracing::warn!(%error, brokers = servers, "waiting for Kafka");
                std::thread::sleep(backoff.next_pause());
            }
        }
    }
    Ok(())
}

fn missing_topics<'a>(
    client: &BaseConsumer,
    topics: &[&'a str],
) -> Result<Vec<&'a str>, rdkafka::error::KafkaError> {
    let mut missing = Vec::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
        let unknown = metadata.topics().iter().any(|found| {
            found.error().is_some_and(|error| {
                error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            })
        });
        if unknown {
            missing.push(*topic);
        }
    }
    Ok(missing)
}
