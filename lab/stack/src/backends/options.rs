//! What to start, where, and what the user runs already.

use std::path::PathBuf;

use crate::progress::Progress;

/// What to start, where, and what the user runs already.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of data and logs: `target/stack`, or a test's own.
    pub directory: PathBuf,
    /// Goes on with the data of the last time; otherwise everything starts clean.
    pub keep: bool,
    /// A Kafka to use instead of starting one.
    pub bootstrap_servers: Option<String>,
    /// A registry to use instead of starting one (its Confluent-compatible API).
    pub schema_registry_url: Option<String>,
    /// A Postgres database to use instead of starting one.
    pub database_url: Option<String>,
    /// Fixed ports; each that is `None` is a free one.
    pub ports: Ports,
    /// How progress is shown.
    pub progress: Progress,
    /// The number of brokers. With several, everything is replicated, up to three times, and one
    /// broker may fail.
    pub brokers: u8,
    /// More addresses that the first broker listens on.
    pub listeners: Vec<Listener>,
    /// More `server.properties` for all brokers; they override the stack's.
    pub broker_settings: Vec<(String, String)>,
    /// Makes Postgres speak TLS, and accept others than its superuser only over TLS and with a
    /// password.
    pub postgres_tls: Option<PostgresTls>,
    /// Whether Postgres waits for the disk, as it does in production. Off is quicker and loses
    /// data only when the machine goes down.
    pub postgres_fsync: bool,
}

impl Options {
    /// Starts everything on free ports, clean, without showing progress, in `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            keep: false,
            bootstrap_servers: None,
            schema_registry_url: None,
            database_url: None,
            ports: Ports::default(),
            progress: Progress::Silent,
            brokers: 1,
            listeners: Vec::new(),
            broker_settings: Vec::new(),
            postgres_tls: None,
            postgres_fsync: true,
        }
    }
}

/// Fixed ports of the loopback interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Kafka's. With several brokers it is the first one's, and the others take those after it.
    pub kafka: Option<u16>,
    /// The registry's.
    pub registry: Option<u16>,
    /// Postgres's.
    pub postgres: Option<u16>,
}

/// One more address that a broker listens on, for tests of access.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name in the broker's settings, upper case.
    pub name: &'static str,
    /// `SASL_PLAINTEXT`, `SSL` or `SASL_SSL`. The mechanisms and certificates are in the broker's
    /// settings.
    pub protocol: &'static str,
    /// Host and port.
    pub address: String,
}

/// The certificate that Postgres presents.
#[derive(Clone, Debug)]
pub struct PostgresTls {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, without a password.
    pub key: PathBuf,
}
