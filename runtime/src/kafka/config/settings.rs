//! The `KAFKA_*` settings, and the configuration of each kind of client.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::properties::{PropertiesSource, UserProperties};
use crate::lifecycle::Failure;
use crate::settings::{Secret, read_secret_file};

/// The broker aborts a transaction that takes longer. Bounds how long an instance that has crashed and
/// does not come back hides later vouchers from readers.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The group removes a member that sends no heartbeat for this long. Brokers accept no less by default
/// (`group.min.session.timeout.ms`). ADR 0040 says what a longer session would cost.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Interval of the heartbeats. A member learns of a rebalance with the next one, so a short interval
/// makes rebalances short.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);

/// Kafka's settings, the same for every service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Addresses of some brokers, host:port,host:port. The clients learn of the other brokers from
    /// them.
    #[arg(
        long,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092",
        value_parser = servers
    )]
    pub kafka_bootstrap_servers: String,

    /// Further properties of librdkafka, name=value,name=value. A comma within a value is written
    /// as \,.
    #[arg(
        long,
        env = "KAFKA_PROPERTIES",
        hide_env_values = true,
        conflicts_with = "kafka_properties_file"
    )]
    pub kafka_properties: Option<Secret>,

    /// File of librdkafka properties, with one name=value on each line.
    #[arg(long, env = "KAFKA_PROPERTIES_FILE")]
    pub kafka_properties_file: Option<PathBuf>,
}

/// The name in the broker's logs and quotas of clients that belong to no group and no transactional id.
const CLIENT_ID: &str = "checkout";

impl KafkaSettings {
    /// Checks the properties without connecting, including the combinations that each kind of client
    /// refuses.
    ///
    /// # Errors
    /// Exit code 2 with why librdkafka or the services refuse a property.
    pub fn check(&self) -> Result<(), Failure> {
        self.try_client::<BaseConsumer>(self.consumer("check")?)?;
        self.try_client::<BaseProducer>(self.transactional_producer("check")?)
    }

    /// Creates a client without any broker: it reads its certificates and compares its values with
    /// each other.
    fn try_client<C: FromClientConfig>(&self, mut config: ClientConfig) -> Result<(), Failure> {
        config.remove("bootstrap.servers");
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let wrong = |why: &str| Failure::bad_setting(format!("{}: {why}", self.variable()));
        match config.create::<C>() {
            Ok(_) => Ok(()),
            // The value is removed: it may be a password.
            Err(KafkaError::ClientConfig(_, why, _, value)) if !value.is_empty() => {
                Err(wrong(&why.replace(&format!("\"{value}\""), "(not shown)")))
            }
            Err(KafkaError::ClientCreation(why)) => Err(wrong(&why)),
            Err(other) => Err(wrong(&other.to_string())),
        }
    }

    /// Returns the variable that sets the user's properties.
    const fn variable(&self) -> &'static str {
        match self.kafka_properties_file {
            Some(_) => "KAFKA_PROPERTIES_FILE",
            None => "KAFKA_PROPERTIES",
        }
    }

    /// Returns the configuration that all clients share.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_bootstrap_servers)
            .set("client.id", CLIENT_ID)
            // A broker that comes back is found within a second, not ten.
            .set("reconnect.backoff.max.ms", "1000")
            // Only `check --fix` creates topics, with their configuration. The default of producers
            // is to create a topic by asking for it.
            .set("allow.auto.create.topics", "false")
            // Topics that are created after the start are found soon.
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("socket.keepalive.enable", "true")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// Reads the user's properties, which override those of the services.
    ///
    /// # Errors
    /// Exit code 2 for those that cannot be set.
    fn user_properties(&self) -> Result<UserProperties, Failure> {
        let source = match (&self.kafka_properties, &self.kafka_properties_file) {
            (Some(text), _) => PropertiesSource::Variable(text.clone()),
            (None, Some(path)) => PropertiesSource::File(Secret::new(read_secret_file(
                "KAFKA_PROPERTIES_FILE",
                path,
            )?)),
            (None, None) => return Ok(UserProperties::default()),
        };
        UserProperties::parse(&source)
    }

    /// Returns a consumer's configuration: read committed, start offsets and commits by the services.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or cannot be set.
    pub fn consumer(&self, group: &str) -> Result<ClientConfig, Failure> {
        let user = self.user_properties()?;
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("client.id", group)
            .set("isolation.level", "read_committed")
            // The client never chooses an offset: one that is out of range is an error (ADR 0017).
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An event when a partition was read to its end, past the last transaction's marker.
            .set("enable.partition.eof", "true")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(SESSION_TIMEOUT))
            .set("heartbeat.interval.ms", millis(HEARTBEAT_INTERVAL))
            .set("check.crcs", "true")
            // One fetch is outstanding per broker: a partition that was just assigned or sought waits
            // for it, half a second at the default. Less would cost an idle service more.
            .set("fetch.wait.max.ms", "200")
            // At the default a partition pauses for a second each time its queue was full.
            .set("fetch.queue.backoff.ms", "2")
            // Prefetched records of a partition, and their bytes in all. The client keeps a few
            // hundred bytes beside every record: at the default of 100,000 records it would take far
            // more memory than the second bound, and time, since records would leave the CPU's caches.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        Ok(user.apply_to(config))
    }

    /// Returns an idempotent producer's configuration, with the partitioner of Kafka's own tools.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or cannot be set.
    pub fn producer(&self) -> Result<ClientConfig, Failure> {
        let user = self.user_properties()?;
        let timeout = millis(TRANSACTION_TIMEOUT);
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            // The loops form batches; waiting for more records would only add latency.
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            // The topic's limit decides: a record of that size must fit into a dead letter too.
            .set("message.max.bytes", "1000000000")
            // The bytes of one request; the rest of a large batch follows in the next.
            .set("batch.size", "1000000")
            // A record cannot wait longer for its delivery than its transaction may last.
            .set(
                "message.timeout.ms",
                user.get("transaction.timeout.ms").unwrap_or(&timeout),
            )
            // A transaction that begins before the last one's markers are written is refused
            // (CONCURRENT_TRANSACTIONS), and retried after this long instead of the default 100 ms.
            .set("retry.backoff.ms", "5");
        Ok(user.apply_to(config))
    }

    /// Returns a transactional producer's configuration.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or cannot be set.
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

    /// Returns the configuration of a client that only asks about the cluster.
    ///
    /// # Errors
    /// Exit code 2 for properties that are wrong or cannot be set.
    pub fn observer(&self) -> Result<ClientConfig, Failure> {
        let mut config = self.base();
        let user = self.user_properties()?;
        // The client joins no group, but librdkafka compares the user's max.poll.interval.ms with this
        // value.
        config.set("session.timeout.ms", millis(SESSION_TIMEOUT));
        Ok(user.apply_to(config))
    }
}

/// Returns how long the group keeps a member of this configuration that sends no heartbeat.
pub(in crate::kafka) fn session_timeout(config: &ClientConfig) -> Duration {
    config
        .get("session.timeout.ms")
        .and_then(|millis| millis.parse().ok())
        .map_or(SESSION_TIMEOUT, Duration::from_millis)
}

/// Parses host:port,host:port.
fn servers(text: &str) -> Result<String, String> {
    let servers: Vec<_> = text.split(',').map(str::trim).collect();
    if servers.iter().all(|server| is_server(server)) {
        Ok(servers.join(","))
    } else {
        Err(
            "write host:port,host:port, such as kafka-1:9092,kafka-2:9092, without a scheme \
             (security.protocol is set in KAFKA_PROPERTIES)"
                .to_owned(),
        )
    }
}

/// Returns whether this is a name or an address, with or without a port; an IPv6 address is written
/// in brackets.
fn is_server(server: &str) -> bool {
    let (host, port) = match server.rsplit_once(':') {
        // The colons belong to the address.
        Some((_, after)) if after.ends_with(']') => (server, None),
        Some((host, port)) => (host, Some(port)),
        None => (server, None),
    };
    let is_address = host.starts_with('[') && host.ends_with(']');
    let is_name = !host.is_empty() && !host.contains([':', '/', '@', ' ', '[', ']']);
    (is_address || is_name)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::config::properties;

    fn settings(properties: &str) -> KafkaSettings {
        KafkaSettings {
            kafka_bootstrap_servers: "localhost:9092".to_owned(),
            kafka_properties: Some(Secret::new(properties)),
            kafka_properties_file: None,
        }
    }

    #[test]
    fn servers_are_hosts_and_ports() {
        assert_eq!(servers("a:1, b.c:2").as_deref(), Ok("a:1,b.c:2"));
        for right in ["kafka", "127.0.0.1:9092", "[::1]:9092", "[::1]"] {
            assert_eq!(servers(right).as_deref(), Ok(right));
        }
        for wrong in [
            "",
            "a:1,",
            "a:1;b:2",
            "a:0",
            "a:x",
            "a:99999",
            ":9092",
            "kafka://a:1",
            "SSL://a:1",
            "a b:1",
            "::1",
            "u@a:1",
        ] {
            let message = servers(wrong).unwrap_err();
            assert!(message.contains("kafka-1:9092"), "{wrong}: {message}");
        }
    }

    fn refusal(properties: &str) -> String {
        settings(properties).check().unwrap_err().to_string()
    }

    #[test]
    fn what_librdkafka_refuses_is_a_bad_setting_that_shows_no_value() {
        for (properties, expected) in [
            ("no.such.property=hunter2", "no.such.property"),
            ("batch.size=hunter2", "batch.size"),
            (
                "session.timeout.ms=20000,max.poll.interval.ms=10000",
                "max.poll.interval.ms",
            ),
            ("socket.timeout.ms=60000", "socket.timeout.ms"),
            (
                "transaction.timeout.ms=4000,message.timeout.ms=5000",
                "message.timeout.ms",
            ),
            ("max.in.flight=10", "max.in.flight"),
            ("retries=0", "retries"),
            ("fetch.max.bytes=1000", "fetch.max.bytes"),
            (
                "receive.message.max.bytes=1000",
                "receive.message.max.bytes",
            ),
            ("reconnect.backoff.ms=5000", "reconnect.backoff.max.ms"),
            (
                "security.protocol=SSL,ssl.ca.location=/nowhere.pem",
                "ssl.ca.location",
            ),
        ] {
            let failure = refusal(properties);
            assert!(failure.starts_with("KAFKA_PROPERTIES: "), "{failure}");
            assert!(failure.contains(expected), "{properties}: {failure}");
            assert!(!failure.contains("hunter2"), "{failure}");
        }
    }

    #[test]
    fn a_property_under_any_name_replaces_ours() {
        let settings = settings(
            "delivery.timeout.ms=5000,compression.codec=zstd,queue.buffering.max.ms=2,\
             socket.keepalive.enable=false",
        );
        settings.check().unwrap();
        let config = settings.producer().unwrap();
        let native = config.create_native_config().unwrap();
        for (name, value) in [
            ("message.timeout.ms", "5000"),
            ("compression.type", "zstd"),
            ("linger.ms", "2"),
            ("socket.keepalive.enable", "false"),
        ] {
            assert_eq!(config.get(name), Some(value));
            assert_eq!(native.get(name).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn our_properties_have_the_same_names_as_the_users() {
        let settings = settings("client.rack=a");
        for config in [
            settings.consumer("g").unwrap(),
            settings.transactional_producer("t").unwrap(),
            settings.observer().unwrap(),
        ] {
            for (name, _) in config.config_map() {
                assert_eq!(properties::canonical(name), name);
            }
            assert_eq!(config.get("allow.auto.create.topics"), Some("false"));
        }
    }

    #[test]
    fn a_shorter_transaction_timeout_shortens_that_of_its_records() {
        let settings = settings("transaction.timeout.ms=4000");
        settings.check().unwrap();
        let config = settings.transactional_producer("t").unwrap();
        assert_eq!(config.get("message.timeout.ms"), Some("4000"));
    }

    #[test]
    fn every_client_accepts_a_short_poll_interval() {
        let settings = settings("max.poll.interval.ms=10000");
        settings.check().unwrap();
        settings
            .observer()
            .unwrap()
            .create::<BaseConsumer>()
            .unwrap();
    }

    #[test]
    fn sasl_and_tls_are_accepted() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            settings(&format!(
                "security.protocol=sasl_ssl,sasl.mechanisms={mechanism},sasl.username=u,sasl.password=p"
            ))
            .check()
            .unwrap();
        }
    }
}
