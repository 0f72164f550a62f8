//! The quick checks at the start of `run`.
//!
//! `run` waits for a broker that does not answer, and ends when a topic does not exist: a person
//! creates it, because the guarantees depend on its configuration (compaction, retention).

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;

use super::connection::LastFailure;
use super::topics;
use crate::backoff::Backoff;
use crate::kafka::KafkaSettings;
use crate::lifecycle::{Failure, Shutdown};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Runs [`topics_exist_blocking`] on a thread that may block.
///
/// # Errors
/// As [`topics_exist_blocking`].
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
    .map_err(|error| Failure::failed(format!("cannot check the topics: {error}")))?
}

/// Waits for the broker and checks that `topics` exist. Blocks its thread, and returns early without
/// an error when shutdown is requested.
///
/// # Errors
/// Exit code 1 with the sentence of `check`; 2 when the client cannot be built.
pub fn topics_exist_blocking(
    settings: &KafkaSettings,
    topics: &[&str],
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let client: BaseConsumer<LastFailure> = settings
        .observer()?
        .create_with_context(LastFailure::default())
        .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
    let servers = &settings.kafka_bootstrap_servers;
    let mut backoff = Backoff::outside();
    while !shutdown.is_requested() {
        match missing_topics(&client, topics) {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => {
                let result = topics::missing(&missing.join(", "), servers);
                return Err(Failure::failed(result.sentence()));
            }
            Err(error) => {
                let cause = client.context().take_cause();
                tracing::warn!(
                    %error,
                    cause,
                    "cannot connect to Kafka at {servers}; trying again"
                );
                std::thread::sleep(backoff.next_pause());
            }
        }
    }
    Ok(())
}

fn missing_topics<'a>(
    client: &BaseConsumer<LastFailure>,
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
