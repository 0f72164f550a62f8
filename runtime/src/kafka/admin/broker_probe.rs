//! Whether the brokers answer for a topic and all of its partitions have leaders. Runs beside the
//! loops, because an idle loop would not notice.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::health::Part;
use crate::kafka::config::create_client;
use crate::kafka::{KafkaSettings, client_log};
use crate::lifecycle::{Failure, Shutdown};

/// Pause between two requests. Bounds how late `/readyz` sees an outage.
const INTERVAL: Duration = Duration::from_secs(2);

/// Timeout of one request. A broker that needs longer is of no use to the services.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long one poll of the client's events may take. Bounds how late the probe stops.
const EVENT_POLL: Duration = Duration::from_millis(100);

/// Requests one topic's metadata every two seconds, and sets a [`Part`] of the service's health.
pub struct BrokerProbe {
    client: BaseConsumer<ProbeContext>,
    /// The bootstrap servers, for messages.
    servers: String,
    topic: String,
    part: Part,
}

impl BrokerProbe {
    /// Creates a probe. An outage makes the service not ready.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn new(settings: &KafkaSettings, topic: &str, part: Part) -> Result<Self, Failure> {
        Ok(Self {
            client: create_client(&settings.observer()?, ProbeContext::default(), "client")?,
            servers: settings.kafka_bootstrap_servers.clone(),
            topic: topic.to_owned(),
            part,
        })
    }

    /// Runs until shutdown. Blocks its thread.
    pub fn run(self, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            match self.check() {
                Ok(()) => self.part.ready(),
                Err(reason) => self.part.not_ready(reason),
            }
            // The client's events have to be served during the pause.
            let until = Instant::now() + INTERVAL;
            while Instant::now() < until && !shutdown.is_requested() {
                let _ = self.client.poll(EVENT_POLL);
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let metadata = self.client.fetch_metadata(Some(&self.topic), TIMEOUT);
        if metadata.is_err() {
            // The client reports the reason as an event.
            let _ = self.client.poll(EVENT_POLL);
        }
        let mut connection_error = self.client.context().connection_error();
        let metadata = metadata.map_err(|error| {
            let why = connection_error
                .clone()
                .unwrap_or_else(|| error.to_string());
            format!(
                "Kafka at {} does not answer: {why}; start the brokers, or correct \
                 KAFKA_BOOTSTRAP_SERVERS and KAFKA_PROPERTIES",
                self.servers
            )
        })?;
        *connection_error = None;
        let topics = metadata.topics().iter();
        for topic in topics.filter(|topic| topic.name() == self.topic) {
            if let Some(error) = topic.error() {
                let error = RDKafkaErrorCode::from(error);
                return Err(format!("topic {}: {error}", self.topic));
            }
            let partitions = topic.partitions().iter();
            let leaderless: Vec<_> = partitions
                .filter(|partition| partition.leader() < 0)
                .map(|partition| partition.id().to_string())
                .collect();
            if !leaderless.is_empty() {
                return Err(format!(
                    "topic {}: partition {} has no leader; start its brokers",
                    self.topic,
                    leaderless.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// The probe's context. Remembers why the last connection failed, which no call returns.
#[derive(Default)]
struct ProbeContext {
    connection_error: Mutex<Option<String>>,
}

impl ProbeContext {
    fn connection_error(&self) -> MutexGuard<'_, Option<String>> {
        self.connection_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for ProbeContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            *self.connection_error() = Some(without_thread(message).to_owned());
        }
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::BrokerTransportFailure) {
            *self.connection_error() = Some(without_thread(reason).to_owned());
        }
    }
}

impl ConsumerContext for ProbeContext {}

/// Removes the name of librdkafka's thread: `[thrd:kafka:9092/1]: kafka:9092/1: Connect to ... failed`.
fn without_thread(message: &str) -> &str {
    match message.split_once("]: ") {
        Some((thread, rest)) if thread.starts_with("[thrd:") => rest,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    #[test]
    fn an_unreachable_broker_is_reported_with_its_address_and_the_reason() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let settings = KafkaSettings {
            kafka_bootstrap_servers: address.clone(),
            kafka_properties: None,
            kafka_properties_file: None,
        };
        let part = Health::new().part("broker", "starting");
        let probe = BrokerProbe::new(&settings, "order-status", part).unwrap();
        let message = probe.check().unwrap_err();
        for part in [
            format!("Kafka at {address} does not answer: ").as_str(),
            "Connection refused",
            "KAFKA_BOOTSTRAP_SERVERS",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
