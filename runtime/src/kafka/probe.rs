//! Whether the broker answers for a topic and its partitions have leaders, asked beside the loops:
//! an idle loop would not notice.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaSettings;
use crate::health::Part;
use crate::lifecycle::{Failure, Shutdown};

const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the broker for one topic's metadata every two seconds and tells [`Part`].
pub struct BrokerProbe {
    client: BaseConsumer,
    topic: String,
    part: Part,
    required: bool,
}

impl BrokerProbe {
    /// With `required`, an absent broker makes the service not ready; else only degraded.
    ///
    /// # Errors
    /// Exit code 2 when the client can't be built from the settings.
    pub fn new(
        settings: &KafkaSettings,
        topic: &str,
        part: Part,
        required: bool,
    ) -> Result<Self, Failure> {
        let client = settings
            .observer()?
            .create()
            .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
        Ok(Self {
            client,
            topic: topic.to_owned(),
            part,
            required,
        })
    }

    /// Runs until shutdown; blocks its thread.
    pub fn run(self, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            match self.look() {
                Ok(()) => self.part.ready(),
                Err(reason) if self.required => self.part.not_ready(reason),
                Err(reason) => self.part.degraded(reason),
            }
            // Serves the client's own events, and is the pause between two questions.
            let until = std::time::Instant::now() + EVERY;
            while std::time::Instant::now() < until && !shutdown.is_requested() {
                let _ = self.client.poll(Duration::from_millis(100));
            }
        }
    }

    fn look(&self) -> Result<(), String> {
        let metadata = self.client.fetch_metadata(Some(&self.topic), TIMEOUT);
        let metadata = metadata.map_err(|error| format!("the broker does not answer: {error}"))?;
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
                    "no broker leads partition {} of {}",
                    leaderless.join(", "),
                    self.topic
                ));
            }
        }
        Ok(())
    }
}
