//! The settings of `console run`.

mod urls;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use runtime::configuration;
use runtime::health::command::HealthQuestion;
use runtime::key_file::KeyFile;
use runtime::lifecycle::{Failure, Failures};
use runtime::settings::{Secret, is_identifier, read_secret_file, socket_address};
use serde::Serialize;

use crate::http::keys::ConsoleKeys;
use crate::http::session::Access;

pub use urls::{BaseUrl, TraceUrl};

/// The default port, beside those of the processor and the sink.
const DEFAULT_PORT: u16 = 9466;

/// Settings of `console run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// The address, and the names under which it is reached.
    #[command(flatten)]
    pub listener: ListenerSettings,
    /// Who may use the console.
    #[command(flatten)]
    pub access: AccessSettings,
    /// The instances that are shown.
    #[command(flatten)]
    pub instances: InstanceSettings,
    /// Where orders are placed.
    #[command(flatten)]
    pub orders: OrdersSettings,
}

// The names of the variables differ from those of the services, because the console runs in the
// environment of the services and passes it on to the commands.
/// The address, and the names under which it is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct ListenerSettings {
    /// The address.
    #[command(flatten)]
    pub address: AddressSettings,

    /// Host names under which browsers and scrapers reach the console, separated by commas, without
    /// ports. localhost and IP addresses are always accepted.
    #[arg(long, env = "CONSOLE_HOSTS", value_delimiter = ',', value_parser = host_name)]
    pub console_hosts: Vec<String>,
}

/// The address of the listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct AddressSettings {
    /// Address on which the console serves its pages, API, health and metrics.
    #[arg(long, env = "CONSOLE_HTTP_ADDR", default_value_t = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)), value_parser = socket_address)]
    pub console_http_addr: SocketAddr,
}

/// Settings of `console health`.
#[derive(Debug, Clone, Args)]
pub struct HealthSettings {
    /// Where the console listens.
    #[command(flatten)]
    pub address: AddressSettings,
    /// What it is asked.
    #[command(flatten)]
    pub question: HealthQuestion,
}

impl HealthSettings {
    /// Asks the console.
    ///
    /// # Errors
    /// As [`HealthQuestion::ask`].
    pub async fn run(self) -> Result<(), Failure> {
        let address = self.address.console_http_addr;
        self.question.ask(address, "CONSOLE_HTTP_ADDR").await
    }
}

/// Who may use the console.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// File of keys, one per line: NAME ROLE KEY. ROLE is viewer or operator; KEY is the key itself
    /// (at least 16 characters), or sha256: and its hex digest. Read again when it changes.
    #[arg(long, env = "CONSOLE_KEYS_FILE")]
    pub console_keys_file: Option<PathBuf>,

    /// Give everybody who reaches the address this role, without a key. For a laptop.
    #[arg(
        long,
        env = "CONSOLE_WITHOUT_KEYS",
        value_enum,
        ignore_case = true,
        conflicts_with = "console_keys_file"
    )]
    pub console_without_keys: Option<Role>,

    /// Listen on a public address without keys.
    #[arg(long)]
    pub insecure: bool,
}

/// The instances that are shown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Services")]
pub struct InstanceSettings {
    /// Base URLs of the producers' /metrics and /readyz, separated by commas, such as
    /// http://127.0.0.1:54322. A host name with several addresses is several instances.
    #[arg(
        long,
        env = "CONSOLE_PRODUCER_URLS",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub console_producer_urls: Vec<BaseUrl>,

    /// Base URLs of the processors' /metrics and /readyz.
    #[arg(
        long,
        env = "CONSOLE_PROCESSOR_URLS",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub console_processor_urls: Vec<BaseUrl>,

    /// Base URLs of the sinks' /metrics and /readyz.
    #[arg(
        long,
        env = "CONSOLE_SINK_URLS",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub console_sink_urls: Vec<BaseUrl>,
}

/// Where orders are placed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Orders")]
pub struct OrdersSettings {
    /// Base URL of the ingress, so that operators can place and change orders in the console
    /// [default: they cannot].
    #[arg(long, env = "CONSOLE_ORDERS_URL", value_name = "URL")]
    pub console_orders_url: Option<BaseUrl>,

    /// File with the API key with which the console sends orders to the ingress.
    #[arg(long, env = "CONSOLE_ORDERS_KEY_FILE", requires = "console_orders_url")]
    pub console_orders_key_file: Option<PathBuf>,

    /// URL of a trace in a viewer of traces, with {trace_id} where the id of the trace belongs
    /// [default: traces have no link].
    #[arg(long, env = "CONSOLE_TRACE_URL", value_name = "URL")]
    pub console_trace_url: Option<TraceUrl>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at everything that is not secret, and preview what a command would do.
    Viewer,
    /// Run commands that change something, place orders, and reveal codes.
    Operator,
}

impl Role {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// What the settings of `console run` describe.
#[derive(Debug)]
pub struct Prepared {
    /// Who may use the console.
    pub access: Access,
    /// The API key of the ingress, if one is set.
    pub orders_key: Option<Secret>,
}

impl RunSettings {
    /// Builds what the settings describe, without connecting to anything. Reports every mistake in the
    /// settings that can be found at the start.
    ///
    /// # Errors
    /// Exit code 2 with everything that is wrong, saying what to write instead.
    pub fn prepare(&self) -> Result<Prepared, Failure> {
        let mut failures = Failures::default();
        failures.keep(self.check());
        let access = failures.keep(self.access.access(self.listener.address.console_http_addr));
        let orders_key = failures.keep(self.orders.key());
        match (access, orders_key) {
            (Some(access), Some(orders_key)) if failures.is_empty() => {
                Ok(Prepared { access, orders_key })
            }
            _ => Err(failures.into()),
        }
    }

    /// Checks what the flag parser does not check.
    ///
    /// # Errors
    /// Exit code 2 for a URL with a user or a password.
    fn check(&self) -> Result<(), Failure> {
        let instances = &self.instances;
        let lists = [
            ("CONSOLE_PRODUCER_URLS", &*instances.console_producer_urls),
            ("CONSOLE_PROCESSOR_URLS", &*instances.console_processor_urls),
            ("CONSOLE_SINK_URLS", &*instances.console_sink_urls),
            (
                "CONSOLE_ORDERS_URL",
                self.orders.console_orders_url.as_slice(),
            ),
        ];
        for (variable, urls) in lists {
            if urls.iter().any(|url| url.has_credentials()) {
                return Err(has_password(variable));
            }
        }
        match &self.orders.console_trace_url {
            Some(url) if url.has_credentials() => Err(has_password("CONSOLE_TRACE_URL")),
            _ => Ok(()),
        }
    }
}

fn has_password(variable: &str) -> Failure {
    Failure::bad_setting(format!(
        "{variable}: a user or password in the URL is not supported; leave it out"
    ))
}

impl AccessSettings {
    /// Returns who may use a console that listens on `address`.
    ///
    /// # Errors
    /// Exit code 2 for a file that cannot be read or is wrong, when neither keys nor a role is set,
    /// and for a public address without keys.
    pub fn access(&self, address: SocketAddr) -> Result<Access, Failure> {
        match (&self.console_keys_file, self.console_without_keys) {
            (Some(path), _) => {
                KeyFile::<ConsoleKeys>::open("CONSOLE_KEYS_FILE", path).map(Access::Keys)
            }
            (None, Some(role)) if address.ip().is_loopback() || self.insecure => {
                Ok(Access::Anyone(role))
            }
            (None, Some(role)) => Err(Failure::bad_setting(format!(
                "CONSOLE_HTTP_ADDR {address} is a public address and CONSOLE_WITHOUT_KEYS makes \
                 everybody {} there: set CONSOLE_KEYS_FILE instead, listen on 127.0.0.1:{}, or add \
                 --insecure",
                role.with_article(),
                address.port()
            ))),
            (None, None) => Err(Failure::bad_setting(
                "nobody may use the console: set CONSOLE_KEYS_FILE to a file with lines of NAME ROLE KEY \
                 (create a key with: openssl rand -hex 32), or on a laptop CONSOLE_WITHOUT_KEYS to viewer \
                 or operator",
            )),
        }
    }
}

impl Role {
    const fn with_article(self) -> &'static str {
        match self {
            Self::Viewer => "a viewer",
            Self::Operator => "an operator",
        }
    }
}

impl OrdersSettings {
    /// Returns the API key of the ingress, or `None` when none is set.
    ///
    /// # Errors
    /// Exit code 2 for a file that cannot be read, or holds no key.
    pub fn key(&self) -> Result<Option<Secret>, Failure> {
        let Some(path) = &self.console_orders_key_file else {
            return Ok(None);
        };
        let text = read_secret_file("CONSOLE_ORDERS_KEY_FILE", path)?;
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::bad_setting(
                "CONSOLE_ORDERS_KEY_FILE: write one API key into it, visible ASCII without spaces",
            ));
        }
        Ok(Some(Secret::new(key)))
    }
}

/// Settings that the commands read from the inherited environment, and that pages show. They are no
/// flags of the console, because flags would not reach the commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inherited {
    /// To which topics the commands write audit records.
    pub audit_topics: AuditTopics,
    /// `VOUCHER_CAMPAIGN`.
    pub campaign: Option<String>,
}

/// `AUDIT_TOPIC` of each service that writes audit records, because the configuration file may name one
/// for each; `None` if its commands write none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditTopics {
    /// Of the commands of `processor`.
    pub processor: Option<String>,
    /// Of the commands of `sink`.
    pub sink: Option<String>,
}

impl Inherited {
    /// Reads the environment, and the configuration file that the commands read too. An empty variable
    /// counts as not set.
    pub fn read() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of(|service, name| set(name).or_else(|| configuration::active_value(service, name)))
    }

    /// Returns the settings whose values `value` returns, by the service and the variable.
    fn of(value: impl Fn(&str, &str) -> Option<String>) -> Self {
        Self {
            audit_topics: AuditTopics {
                processor: value("processor", "AUDIT_TOPIC"),
                sink: value("sink", "AUDIT_TOPIC"),
            },
            campaign: value("processor", "VOUCHER_CAMPAIGN"),
        }
    }
}

fn host_name(text: &str) -> Result<String, String> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    if !is_identifier(&name, 253) {
        return Err(
            "write host names without scheme and port, such as console.example.com".to_owned(),
        );
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        settings: RunSettings,
    }

    fn parse(flags: &[&str]) -> Result<RunSettings, clap::Error> {
        Cli::try_parse_from(["console"].iter().chain(flags)).map(|cli| cli.settings)
    }

    fn access(flags: &[&str]) -> Result<Access, Failure> {
        let settings = parse(flags).unwrap();
        settings
            .access
            .access(settings.listener.address.console_http_addr)
    }

    #[test]
    fn somebody_must_be_allowed() {
        let failure = access(&[]).unwrap_err();
        assert_eq!(failure.code(), 2);
        let message = failure.to_string();
        for variable in ["CONSOLE_KEYS_FILE", "CONSOLE_WITHOUT_KEYS"] {
            assert!(message.contains(variable), "{message}");
        }
    }

    #[test]
    fn a_public_address_without_keys_is_refused_unless_insecure() {
        let laptop = ["--console-without-keys", "operator"];
        assert!(matches!(
            access(&laptop),
            Ok(Access::Anyone(Role::Operator))
        ));
        let public = [laptop.as_slice(), &["--console-http-addr", "0.0.0.0:80"]].concat();
        let message = access(&public).unwrap_err().to_string();
        assert!(message.contains("--insecure"), "{message}");
        assert!(access(&[public.as_slice(), &["--insecure"]].concat()).is_ok());
    }

    #[test]
    fn a_wrong_key_file_is_refused_without_showing_the_key() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "ann admin 0123456789abcdef").unwrap();
        let path = file.path().to_str().unwrap();
        let failure = access(&["--console-keys-file", path]).unwrap_err();
        let message = failure.to_string();
        assert_eq!(failure.code(), 2);
        assert!(message.contains("line 1") && !message.contains("0123456789abcdef"));
        assert!(
            parse(&[
                "--console-keys-file",
                path,
                "--console-without-keys",
                "viewer"
            ])
            .is_err()
        );
    }

    #[test]
    fn urls_are_lists_of_bases() {
        let settings = parse(&[
            "--console-processor-urls",
            "http://127.0.0.1:9464,http://processor:9464/",
        ])
        .unwrap();
        let urls = &settings.instances.console_processor_urls;
        let metrics: Vec<_> = urls.iter().map(|url| url.join(["metrics"])).collect();
        assert_eq!(metrics[0].as_str(), "http://127.0.0.1:9464/metrics");
        assert_eq!(metrics[1].as_str(), "http://processor:9464/metrics");
        let below: BaseUrl = "https://shop.example.com/ingress".parse().unwrap();
        let order = below.join(["orders", "a/../b?c"]);
        assert_eq!(
            order.as_str(),
            "https://shop.example.com/ingress/orders/a%2F..%2Fb%3Fc"
        );
        for wrong in [
            "",
            "127.0.0.1:9464",
            "ftp://host/",
            "http://host/?a=b",
            "http://host/#a",
        ] {
            assert!(wrong.parse::<BaseUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        assert!(parse(&[]).unwrap().check().is_ok());
        for flag in [
            "--console-sink-urls",
            "--console-orders-url",
            "--console-trace-url",
        ] {
            let settings = parse(&[flag, "http://user:hunter2@host/"]).unwrap();
            let message = settings.check().unwrap_err().to_string();
            assert!(message.starts_with("CONSOLE_"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn each_service_has_the_audit_topic_of_its_own_settings() {
        let inherited = Inherited::of(|service, name| Some(format!("{service} {name}")));
        let topics = &inherited.audit_topics;
        assert_eq!(topics.processor.as_deref(), Some("processor AUDIT_TOPIC"));
        assert_eq!(topics.sink.as_deref(), Some("sink AUDIT_TOPIC"));
        let campaign = inherited.campaign.as_deref();
        assert_eq!(campaign, Some("processor VOUCHER_CAMPAIGN"));
    }

    #[test]
    fn hosts_are_names() {
        let settings = parse(&["--console-hosts", "Console.example.com., console"]).unwrap();
        assert_eq!(
            settings.listener.console_hosts,
            ["console.example.com", "console"]
        );
        for wrong in ["https://console", "console:80", "a b", ""] {
            assert!(parse(&["--console-hosts", wrong]).is_err(), "{wrong}");
        }
    }
}
