//! What every service reads from flags and environment variables, and the pieces to read more.
//!
//! Every setting has a flag of the variable's name; a wrong one ends the process with exit code 2
//! and says what to write instead. Secrets never show in `--help`, logs or `Debug`.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use clap::Args;

use crate::lifecycle::Failure;

/// A text that must not be shown: a password, a key, a URL that holds one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

/// The topics' names.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Topics")]
pub struct TopicSettings {
    /// Order statuses: compacted, keyed by order id.
    #[arg(long, env = "ORDER_STATUS_TOPIC", default_value = "order-status", value_parser = topic_name)]
    pub order_status_topic: String,

    /// Vouchers: kept for ever, keyed by order id.
    #[arg(long, env = "VOUCHERS_TOPIC", default_value = "vouchers", value_parser = topic_name)]
    pub vouchers_topic: String,
}

impl TopicSettings {
    /// Dead letters of the order statuses.
    pub fn order_status_dead_letters(&self) -> String {
        dead_letters_of(&self.order_status_topic)
    }

    /// Dead letters of the vouchers.
    pub fn voucher_dead_letters(&self) -> String {
        dead_letters_of(&self.vouchers_topic)
    }
}

/// The dead letter topic of `topic`.
pub fn dead_letters_of(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// The topic that keeps what became of the letters of `dead_letters`.
pub fn states_of(dead_letters: &str) -> String {
    format!("{dead_letters}.state")
}

/// The longest name of which `.dlq` and `.dlq.state` still are legal names (Kafka allows 249).
const MAX_TOPIC: usize = 249 - ".dlq.state".len();

fn topic_name(name: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_TOPIC || !name.bytes().all(legal) {
        return Err(format!(
            "a topic is 1 to {MAX_TOPIC} letters, digits, '.', '_' or '-'"
        ));
    }
    Ok(name.to_owned())
}

/// Where a service answers over HTTP.
///
/// The default address differs by service, so it is given by the caller of [`HttpSettings::address`].
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// Address of the API, health and metrics, such as 127.0.0.1:8080.
    #[arg(long, env = "HTTP_ADDR", value_parser = socket_address)]
    pub http_addr: Option<SocketAddr>,
}

impl HttpSettings {
    /// The address that was set, or loopback with the service's own port.
    pub fn address(&self, default_port: u16) -> SocketAddr {
        self.http_addr
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], default_port)))
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for all \
         interfaces"
            .to_owned()
    })
}

/// Returns a parser of whole numbers within `range`; `unit` is what they count, such as "seconds".
pub fn whole<N: TryFrom<u64>>(
    range: RangeInclusive<u64>,
    unit: &'static str,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.trim().parse().ok();
        number
            .filter(|number| range.contains(number))
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| match (range.start(), range.end()) {
                (least, &u64::MAX) => {
                    format!("write a whole number of {unit}, at least {least}, without a unit")
                }
                (least, most) => {
                    format!("write a whole number of {unit} from {least} to {most}, without a unit")
                }
            })
    }
}

/// Reads a secret's file.
///
/// # Errors
/// Exit code 2, naming the variable and the file.
pub fn read_secret_file(variable: &str, path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::bad_setting(format!(
            "{variable}: can't read {}: {error}",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "(secret)");
    }

    #[test]
    fn a_number_says_its_bounds_and_its_unit() {
        let seconds = whole::<u64>(1..=3600, "seconds");
        assert_eq!(seconds(" 10 "), Ok(10));
        for wrong in [
            "",
            "0",
            "3601",
            "-1",
            "1.5",
            "10s",
            "1e3",
            "99999999999999999999",
        ] {
            let message = seconds(wrong).unwrap_err();
            assert!(
                message.contains("seconds from 1 to 3600"),
                "{wrong}: {message}"
            );
        }
        let rows = whole::<i64>(1..=u64::MAX, "rows");
        assert_eq!(rows("9223372036854775807"), Ok(i64::MAX));
        assert!(
            rows("9223372036854775808")
                .unwrap_err()
                .contains("at least 1")
        );
    }

    #[test]
    fn an_address_is_an_ip_address_and_a_port() {
        assert!(socket_address("[::1]:8080").is_ok());
        for wrong in [
            "8080",
            ":8080",
            "localhost:8080",
            "http://127.0.0.1:8080",
            "127.0.0.1",
        ] {
            assert!(
                socket_address(wrong)
                    .unwrap_err()
                    .contains("127.0.0.1:8080")
            );
        }
    }

    #[test]
    fn a_topic_leaves_room_for_its_dead_letters() {
        assert!(topic_name("order-status").is_ok());
        assert!(topic_name("orders/status").is_err());
        assert!(topic_name(&"a".repeat(MAX_TOPIC)).is_ok());
        assert!(topic_name(&"a".repeat(MAX_TOPIC + 1)).is_err());
    }
}
