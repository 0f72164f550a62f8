//! What `producer run` reads from flags and environment variables.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::registry::RegistrySettings;
use runtime::settings::{HttpSettings, Secret, TopicSettings, whole};
use runtime::telemetry::LogSettings;
use schemas::Currency;

use crate::http::auth::{KeyFile, KeyRate};
use crate::relay::OutboxName;

/// The port of the system that this one replaces.
const DEFAULT_PORT: u16 = 54322;

/// All settings of `producer run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistrySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub topics: TopicSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub http: HttpSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub access: AccessSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub ingress: IngressSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub relay: OutboxSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
}

/// Where orders are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Postgres")]
pub struct DatabaseSettings {
    /// The database of orders, postgres://user:password@host:5432/database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// Connections of the routes that read; the writers and the relay have their own.
    #[arg(long, env = "DATABASE_POOL", default_value = "8", value_parser = whole::<u32>(2..=1000, "connections"))]
    pub database_pool: u32,
}

/// Who may use the API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// A file of bearer keys, one a line: the key itself, or sha256: and the hex digest of it, with or
    /// without its client's name before it (NAME KEY). Read again when it changes.
    #[arg(long, env = "API_KEYS_FILE")]
    pub api_keys_file: Option<PathBuf>,

    /// The requests that each client may make in a second with all its keys together, lines of bulk
    /// requests included; beyond it they are answered 429 [default: as many as it likes].
    #[arg(long, env = "API_KEY_RATE", requires = "api_keys_file", value_parser = at_most_a_million)]
    pub api_key_rate: Option<NonZeroU32>,

    /// How many of them may come at once after a pause [default: one second's].
    #[arg(long, env = "API_KEY_BURST", requires = "api_key_rate", value_parser = at_most_a_million)]
    pub api_key_burst: Option<NonZeroU32>,

    /// Let the old system's routes (/order/...) be used without a key, as its clients do.
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

    /// Listen on an address that others can reach although no key is asked for.
    #[arg(long)]
    pub insecure: bool,
}

/// What is taken in, and how much of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ingress")]
pub struct IngressSettings {
    /// The currency of an order that names none.
    #[arg(long, env = "ORDER_DEFAULT_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub order_default_currency: Currency,

    /// The most events that may wait to be published; beyond it orders are answered 503.
    #[arg(long, env = "OUTBOX_LIMIT", default_value = "1000000", value_parser = whole::<i64>(1..=u64::MAX, "events"))]
    pub outbox_limit: i64,

    /// The most writers, each a connection that commits groups of changes; a further one joins when
    /// the others let changes wait.
    #[arg(long, env = "ORDER_WRITERS", default_value = "3", value_parser = whole::<u16>(1..=64, "writers"))]
    pub order_writers: u16,

    /// The most requests at work at a time; beyond it they are answered 503.
    #[arg(long, env = "HTTP_CONCURRENCY", default_value = "4096", value_parser = whole::<u32>(1..=1_000_000, "requests"))]
    pub http_concurrency: u32,

    /// The most connections; a further one waits until one ends. Bounded by the open files' limit too.
    #[arg(long, env = "HTTP_CONNECTIONS", default_value = "16384", value_parser = whole::<u32>(1..=1_000_000, "connections"))]
    pub http_connections: u32,

    /// The longest body, in bytes; a line of a bulk request is bounded by it too.
    #[arg(long, env = "HTTP_BODY_LIMIT", default_value = "262144", value_parser = whole::<u32>(1024..=16_777_216, "bytes"))]
    pub http_body_limit: u32,

    /// The longest body of a bulk request, in bytes.
    #[arg(long, env = "HTTP_BULK_LIMIT", default_value = "67108864", value_parser = whole::<u64>(1024..=u64::MAX, "bytes"))]
    pub http_bulk_limit: u64,

    /// The most bytes of bulk results that may wait in temporary files (TMPDIR) for clients that do
    /// not read yet, of all requests together. Beyond it bodies are read only as fast as results are.
    #[arg(long, env = "HTTP_BULK_SPOOL_LIMIT", default_value = "4294967296", value_parser = whole::<u64>(0..=u64::MAX, "bytes"))]
    pub http_bulk_spool_limit: u64,

    /// How long a request may take, in seconds; its body must arrive in that time too.
    #[arg(long, env = "HTTP_TIMEOUT", default_value = "10", value_parser = whole::<u64>(1..=3600, "seconds"))]
    pub http_timeout: u64,

    /// How long a connection may be idle between two requests, in seconds. Longer than a balancer's
    /// own idle time, so that no request meets a connection that is being closed.
    #[arg(long, env = "HTTP_IDLE_TIMEOUT", default_value = "75", value_parser = whole::<u64>(1..=3600, "seconds"))]
    pub http_idle_timeout: u64,

    /// How long requests are served as before after a SIGTERM, in seconds, while /readyz answers 503,
    /// so that balancers take the instance out first. A SIGINT (Ctrl-C) has no delay.
    #[arg(long, env = "HTTP_SHUTDOWN_DELAY", default_value = "5", value_parser = whole::<u64>(0..=600, "seconds"))]
    pub http_shutdown_delay: u64,
}

/// Which outbox is published.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Relay")]
pub struct OutboxSettings {
    /// Name of this database's outbox. Needed where several databases are published to one topic: each
    /// needs a name of its own, the same on all instances that share the database. Part of the
    /// transactional ids (TOPIC/relay/NAME) [default: none].
    #[arg(long, env = "OUTBOX_NAME")]
    pub outbox_name: Option<OutboxName>,
}

impl RunSettings {
    /// The address to listen on.
    pub fn address(&self) -> SocketAddr {
        self.http.address(DEFAULT_PORT)
    }

    /// The file of API keys; none asks for none.
    ///
    /// # Errors
    /// Exit code 2 for a file that can't be read or has no key in it, and for an address that others
    /// can reach without any key.
    pub fn api_keys(&self) -> Result<Option<KeyFile>, Failure> {
        let address = self.address();
        let Some(path) = &self.access.api_keys_file else {
            if address.ip().is_loopback() || self.access.insecure {
                return Ok(None);
            }
            return Err(Failure::bad_setting(format!(
                "HTTP_ADDR {address} can be reached by others, and API_KEYS_FILE is not set: name a \
                 file of keys (openssl rand -hex 32 makes one), or listen on \
                 127.0.0.1:{}, or say --insecure",
                address.port()
            )));
        };
        KeyFile::open(path).map(Some)
    }
}

impl AccessSettings {
    /// What each key may ask for; none: as much as it likes.
    pub fn key_rate(&self) -> Option<KeyRate> {
        let rate = self.api_key_rate?;
        Some(KeyRate::new(rate, self.api_key_burst.unwrap_or(rate)))
    }
}

impl IngressSettings {
    /// How long a request may take.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.http_timeout)
    }
}

fn at_most_a_million(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .ok()
        .filter(|number: &NonZeroU32| number.get() <= 1_000_000)
        .ok_or_else(|| "write a whole number from 1 to 1000000".to_owned())
}

fn currency(text: &str) -> Result<Currency, String> {
    text.parse()
        .map_err(|_| "write three letters such as EUR".to_owned())
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
    fn a_rate_is_a_keys_and_a_burst_is_a_rates() {
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
