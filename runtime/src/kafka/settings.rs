//! Where the brokers are, and the configuration of each kind of client.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::properties::{self, Source};
use crate::lifecycle::Failure;
use crate::settings::{Secret, read_secret_file};

/// A transaction that takes longer is aborted by the broker. It bounds how long a crashed
/// instance that never comes back hides later vouchers from readers.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A member that does not send a heartbeat for this long is dead.
///
/// Longer than Kafka needs to replace a coordinator that was killed (`broker.session.timeout.ms` is
/// 9 s), so that members outlive a failover: they send their next heartbeat to the new coordinator,
/// and nobody rebalances (ADR 0004).
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(12);

/// Kafka's settings, the same for every service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Brokers to start from, host:port,host:port.
    #[arg(
        long,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092"
    )]
    pub kafka_bootstrap_servers: String,

    /// More librdkafka properties, name=value,name=value (a comma in a value: \,).
    #[arg(
        long,
        env = "KAFKA_PROPERTIES",
        hide_env_values = true,
        conflicts_with = "kafka_properties_file"
    )]
    pub kafka_properties: Option<Secret>,

    /// A file of librdkafka properties, one name=value a line.
    #[arg(long, env = "KAFKA_PROPERTIES_FILE")]
    pub kafka_properties_file: Option<PathBuf>,
}

/// What the broker's logs and quotas know clients by that are no group's and no transaction's.
const CLIENT_ID: &str = "checkout";

impl KafkaSettings {
    /// Checks the properties without connecting.
    ///
    /// # Errors
    /// Exit code 2 with what librdkafka or we have against a property.
    pub fn check(&self) -> Result<(), Failure> {
        self.consumer("check")?
            .create_native_config()
            .map_err(|error| match error {
                // Without the value: it may be a password.
                KafkaError::ClientConfig(_, why, _, value) if !value.is_empty() => {
                    let why = why.replace(&format!("\"{value}\""), "(not shown)");
                    Failure::bad_setting(format!("KAFKA_PROPERTIES: {why}"))
                }
                other => Failure::bad_setting(format!("KAFKA_PROPERTIES: {other}")),
            })?;
        Ok(())
    }

    /// What all clients share, with the user's properties on top.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_bootstrap_servers)
            .set("client.id", CLIENT_ID)
            // A broker that comes back is found within a second, not ten.
            .set("reconnect.backoff.max.ms", "1000")
            // Topics that are created after the start are seen soon.
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("socket.keepalive.enable", "true")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    fn with_user_properties(&self, mut config: ClientConfig) -> Result<ClientConfig, Failure> {
        let source = match (&self.kafka_properties, &self.kafka_properties_file) {
            (Some(text), _) => Source::Variable(text.clone()),
            (None, Some(path)) => Source::File(Secret::new(read_secret_file(
                "KAFKA_PROPERTIES_FILE",
                path,
            )?)),
            (None, None) => return Ok(config),
        };
        for (name, value) in properties::parse(&source)? {
            config.set(name, value.reveal());
        }
        Ok(config)
    }

    /// A consumer's configuration: read committed, from the offsets that we say, committed by us.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or ours.
    pub fn consumer(&self, group: &str) -> Result<ClientConfig, Failure> {
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("client.id", group)
            .set("isolation.level", "read_committed")
            // The client never chooses an offset: one that the log does not hold is an error.
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Tells when a partition was read to its end, past the last transaction's marker.
            .set("enable.partition.eof", "true")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(SESSION_TIMEOUT))
            .set("heartbeat.interval.ms", "500")
            .set("check.crcs", "true")
            // One fetch is outstanding per broker: a partition that was just assigned or sought
            // waits for the one under way, which at the default lasts half a second. Less would cost
            // an idle service more.
            .set("fetch.wait.max.ms", "200")
            // The default of a second makes a partition stand still each time its queue was full.
            .set("fetch.queue.backoff.ms", "2")
            // What waits in the queue, of each partition and in all. The client keeps a few hundred
            // bytes beside every record, so that the default of 100,000 would cost far more memory
            // than the second bound says, and time: what is read at once is still in the caches.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        self.with_user_properties(config)
    }

    /// An idempotent producer's configuration, with the partitioner of Kafka's own tools.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or ours.
    pub fn producer(&self) -> Result<ClientConfig, Failure> {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            // Batches are formed by our loops; waiting for more would only cost latency.
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            // The topic's own limit decides: a record at it must fit into a dead letter too.
            .set("message.max.bytes", "1000000000")
            // One client request; the rest of a large batch follows in the next.
            .set("batch.size", "1000000")
            .set("message.timeout.ms", millis(TRANSACTION_TIMEOUT))
            // The next transaction meets the last one's markers and is told to come again
            // (CONCURRENT_TRANSACTIONS): soon, not in the default 100 ms.
            .set("retry.backoff.ms", "5");
        self.with_user_properties(config)
    }

    /// A transactional producer's configuration.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or ours.
    pub fn transactional_producer(&self, transactional_id: &str) -> Result<ClientConfig, Failure> {
        let mut config = self.producer()?;
        config.set("transactional.id", transactional_id);
        if config.get("client.id") == Some(CLIENT_ID) {
            config.set("client.id", transactional_id);
        }
        if config.get("transaction.timeout.ms").is_none() {
            config.set("transaction.timeout.ms", millis(TRANSACTION_TIMEOUT));
        }
        Ok(config)
    }

    /// A client that only asks about the cluster.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or ours.
    pub fn observer(&self) -> Result<ClientConfig, Failure> {
        let mut config = self.base();
        // Never in a group; but a short max.poll.interval.ms of the user's is checked against it.
        config.set("session.timeout.ms", millis(SESSION_TIMEOUT));
        self.with_user_properties(config)
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &str) -> KafkaSettings {
        KafkaSettings {
            kafka_bootstrap_servers: "localhost:9092".to_owned(),
            kafka_properties: Some(Secret::new(properties)),
            kafka_properties_file: None,
        }
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_a_bad_setting() {
        let failure = settings("no.such.property=1").check().unwrap_err();
        assert!(
            failure.to_string().contains("no.such.property"),
            "{failure}"
        );
    }

    #[test]
    fn a_short_poll_interval_is_fine_for_every_client() {
        let settings = settings("max.poll.interval.ms=10000");
        for config in [settings.consumer("g"), settings.observer()] {
            config
                .unwrap()
                .create::<rdkafka::consumer::BaseConsumer>()
                .unwrap();
        }
    }

    #[test]
    fn sasl_and_tls_pass_through() {
        settings("security.protocol=SASL_SSL,sasl.mechanism=SCRAM-SHA-512,sasl.username=u,sasl.password=p")
            .check()
            .unwrap();
    }
}
