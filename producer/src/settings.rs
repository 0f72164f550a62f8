//! The settings of `producer run`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use runtime::http::ConnectionLimits;
use runtime::key_file::KeyFile;
use runtime::lifecycle::{Failure, Failures};
use runtime::postgres::{Database, StartMigrations};
use runtime::registry::Registry;
use runtime::service::SharedSettings;
use runtime::settings::{HttpSettings, Secret, currency, whole};
use schemas::Currency;

use crate::database;
use crate::http::Limits;
use crate::http::auth::{ApiKeys, KeyRate};
use crate::relay::OutboxName;

/// The port of the system that this one replaces.
pub(crate) const DEFAULT_PORT: u16 = 54322;

/// Settings of `producer run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// The database of the orders.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Whether the service changes the schema when it starts.
    #[command(flatten)]
    pub migrations: StartMigrations,
    /// Who may use the API.
    #[command(flatten)]
    pub access: AccessSettings,
    /// What the API accepts, and its limits.
    #[command(flatten)]
    pub ingress: IngressSettings,
    /// The outbox that is published.
    #[command(flatten)]
    pub relay: OutboxSettings,
    /// The listener of API, health and metrics.
    #[command(flatten)]
    pub http: HttpSettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
}

/// The database of the orders.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Postgres")]
pub struct DatabaseSettings {
    /// Database of the orders, postgres://user:password@host:5432/database?sslmode=verify-full.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// Connections of the read routes. The writers and the relay have their own.
    #[arg(long, env = "DATABASE_POOL", default_value = "8", value_parser = whole::<u32>(2..=1000, "connections"))]
    pub database_pool: u32,
}

/// Who may use the API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// File of API keys, one per line: KEY, or NAME KEY with the name of its client. KEY is the key
    /// itself, or sha256: and its hex digest. Read again when it changes.
    #[arg(long, env = "API_KEYS_FILE")]
    pub api_keys_file: Option<PathBuf>,

    /// Maximum number of requests per second of each client, all its keys together; each line of a
    /// bulk request counts as one. Further requests are answered 429 [default: no limit].
    #[arg(long, env = "API_KEY_RATE", requires = "api_keys_file", value_parser = at_most_a_million)]
    pub api_key_rate: Option<NonZeroU32>,

    /// Requests that a client may make at once after a pause [default: those of one second].
    #[arg(long, env = "API_KEY_BURST", requires = "api_key_rate", value_parser = at_most_a_million)]
    pub api_key_burst: Option<NonZeroU32>,

    /// Accept requests without a key on the old system's routes (/order/...), as its clients send
    /// them.
    #[arg(
        long,
        env = "OLD_ROUTES_WITHOUT_KEY",
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub old_routes_without_key: bool,

    /// Listen on a public address without API keys.
    #[arg(long)]
    pub insecure: bool,
}

/// What the API accepts, and its limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ingress")]
pub struct IngressSettings {
    /// Currency of an order that names none.
    #[arg(long, env = "ORDER_DEFAULT_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub order_default_currency: Currency,

    /// Maximum number of unpublished events. With more, orders are answered 503.
    #[arg(long, env = "OUTBOX_LIMIT", default_value = "1000000", value_parser = whole::<i64>(1..=u64::MAX, "events"))]
    pub outbox_limit: i64,

    /// Maximum number of writers, each with one connection that commits groups of changes. Another
    /// writer joins when changes wait for the active ones.
    #[arg(long, env = "ORDER_WRITERS", default_value = "3", value_parser = whole::<u16>(1..=64, "writers"))]
    pub order_writers: u16,

    /// Maximum number of concurrent requests. More are answered 503.
    #[arg(long, env = "HTTP_CONCURRENCY", default_value = "4096", value_parser = whole::<u32>(1..=1_000_000, "requests"))]
    pub http_concurrency: u32,

    /// Maximum number of open connections, also bounded by the limit of open files. Another one waits
    /// until one is closed.
    #[arg(long, env = "HTTP_CONNECTIONS", default_value = "16384", value_parser = whole::<u32>(1..=1_000_000, "connections"))]
    pub http_connections: u32,

    /// Maximum size of a request body, and of a line of a bulk request, in bytes.
    #[arg(long, env = "HTTP_BODY_LIMIT", default_value = "262144", value_parser = whole::<u32>(1024..=16_777_216, "bytes"))]
    pub http_body_limit: u32,

    /// Maximum size of the body of a bulk request, in bytes.
    #[arg(long, env = "HTTP_BULK_LIMIT", default_value = "67108864", value_parser = whole::<u64>(1024..=u64::MAX, "bytes"))]
    pub http_bulk_limit: u64,

    /// Maximum size of the temporary files (TMPDIR) of all bulk requests together, in bytes. They keep
    /// results that clients do not read yet; when they are full, bodies are read only as fast as
    /// results.
    #[arg(long, env = "HTTP_BULK_SPOOL_LIMIT", default_value = "4294967296", value_parser = whole::<u64>(0..=u64::MAX, "bytes"))]
    pub http_bulk_spool_limit: u64,

    /// Maximum duration of a request, in seconds, including the time until its body has arrived.
    #[arg(long, env = "HTTP_TIMEOUT", default_value = "10", value_parser = whole::<u64>(1..=3600, "seconds"))]
    pub http_timeout: u64,

    /// Time after which an idle connection is closed, in seconds. Set it higher than the idle timeout
    /// of a balancer, so that no request meets a connection that is being closed.
    #[arg(long, env = "HTTP_IDLE_TIMEOUT", default_value = "75", value_parser = whole::<u64>(1..=3600, "seconds"))]
    pub http_idle_timeout: u64,

    /// Time between a SIGTERM and the stop, in seconds. Requests are served meanwhile, and /readyz
    /// answers 503, so that balancers remove the instance first. A SIGINT (Ctrl-C) stops at once.
    #[arg(long, env = "HTTP_SHUTDOWN_DELAY", default_value = "5", value_parser = whole::<u64>(0..=600, "seconds"))]
    pub http_shutdown_delay: u64,
}

/// The outbox that is published.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Relay")]
pub struct OutboxSettings {
    /// Name of the outbox in this database. Needed where several databases publish to one topic: each
    /// has its own name, the same on all instances that share the database. Part of the transactional
    /// ids (TOPIC/relay/NAME) [default: none].
    #[arg(long, env = "OUTBOX_NAME")]
    pub outbox_name: Option<OutboxName>,
}

/// What the settings of `producer run` describe.
#[derive(Debug)]
pub struct Prepared {
    /// The database of the orders.
    pub database: Database,
    /// The file of API keys; `None` when requests need no key.
    pub api_keys: Option<KeyFile<ApiKeys>>,
    /// The schema registry, if there is one.
    pub registry: Option<Registry>,
}

impl RunSettings {
    /// Builds what the settings describe, without connecting to anything. Reports every mistake in the
    /// settings that can be found at the start.
    ///
    /// # Errors
    /// Exit code 2 with everything that is wrong, saying what to write instead.
    pub fn prepare(&self) -> Result<Prepared, Failure> {
        let mut failures = Failures::default();
        failures.keep(self.shared.kafka.check());
        let database = failures.keep(database::database(&self.database.database_url));
        let api_keys = failures.keep(self.api_keys());
        let registry = failures.keep(Registry::of(&self.shared.registry));
        match (database, api_keys, registry) {
            (Some(database), Some(api_keys), Some(registry)) if failures.is_empty() => {
                Ok(Prepared {
                    database,
                    api_keys,
                    registry,
                })
            }
            _ => Err(failures.into()),
        }
    }

    /// Returns the address to listen on.
    pub fn address(&self) -> SocketAddr {
        self.http.address(DEFAULT_PORT)
    }

    /// Returns the file of API keys, or `None` when requests need no key.
    ///
    /// # Errors
    /// Exit code 2 for a file that cannot be read or contains no key, and for a public address
    /// without keys.
    pub fn api_keys(&self) -> Result<Option<KeyFile<ApiKeys>>, Failure> {
        let address = self.address();
        let Some(path) = &self.access.api_keys_file else {
            if address.ip().is_loopback() || self.access.insecure {
                return Ok(None);
            }
            return Err(Failure::bad_setting(format!(
                "HTTP_ADDR {address} is a public address and API_KEYS_FILE is not set: set it to a file \
                 of keys (create a key with: openssl rand -hex 32), listen on 127.0.0.1:{}, or add \
                 --insecure",
                address.port()
            )));
        };
        KeyFile::open("API_KEYS_FILE", path).map(Some)
    }
}

impl AccessSettings {
    /// Returns the rate limit of each client, if any.
    pub fn key_rate(&self) -> Option<KeyRate> {
        let rate = self.api_key_rate?;
        Some(KeyRate::new(rate, self.api_key_burst.unwrap_or(rate)))
    }
}

impl IngressSettings {
    /// Returns the limits of the API.
    pub fn limits(&self) -> Limits {
        let request_time = Duration::from_secs(self.http_timeout);
        Limits {
            body: self.http_body_limit,
            bulk: self.http_bulk_limit,
            spool: self.http_bulk_spool_limit,
            // Half, so that a client that sends slowly is told that its body was late, not that the
            // service was.
            body_time: request_time / 2,
            request_time,
            requests: self.http_concurrency,
        }
    }

    /// Returns the limits of the listener.
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.http_connections,
            idle: Duration::from_secs(self.http_idle_timeout),
        }
    }
}

fn at_most_a_million(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .ok()
        .filter(|number: &NonZeroU32| number.get() <= 1_000_000)
        .ok_or_else(|| "write a whole number from 1 to 1000000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        settings: RunSettings,
    }

    fn settings(flags: &[&str]) -> RunSettings {
        let all = ["producer", "--database-url", "postgres://u@h/d"]
            .iter()
            .chain(flags);
        Cli::try_parse_from(all).unwrap().settings
    }

    #[test]
    fn an_open_address_without_keys_is_refused_unless_insecure() {
        assert!(settings(&[]).api_keys().unwrap().is_none());
        let open = ["--http-addr", "0.0.0.0:80"];
        let failure = settings(&open).api_keys().unwrap_err().to_string();
        assert!(failure.contains("API_KEYS_FILE"), "{failure}");
        let insecure = [open.as_slice(), &["--insecure"]].concat();
        assert!(settings(&insecure).api_keys().unwrap().is_none());
    }

    #[test]
    fn a_rate_needs_keys_and_a_burst_needs_a_rate() {
        let try_flags = |flags: &[&str]| {
            let all = ["producer", "--database-url", "postgres://u@h/d"];
            Cli::try_parse_from(all.iter().chain(flags)).map(|cli| cli.settings)
        };
        let file = "--api-keys-file=/keys";
        for wrong in [
            ["--api-key-rate=5", "--insecure"],
            [file, "--api-key-rate=0"],
            [file, "--api-key-burst=5"],
        ] {
            assert!(try_flags(&wrong).is_err(), "{wrong:?}");
        }
        let rate = |flags: &[&str]| try_flags(flags).unwrap().access.key_rate();
        assert!(rate(&[file]).is_none());
        let burst = rate(&[file, "--api-key-rate=5", "--api-key-burst=7"]);
        assert!(format!("{burst:?}").contains("max_burst: 7"), "{burst:?}");
        let default = rate(&[file, "--api-key-rate=5"]);
        assert!(
            format!("{default:?}").contains("max_burst: 5"),
            "{default:?}"
        );
    }

    #[test]
    fn old_routes_can_be_opened_by_flag() {
        assert!(!settings(&[]).access.old_routes_without_key);
        let open = settings(&["--old-routes-without-key"]);
        assert!(open.access.old_routes_without_key);
    }
}
