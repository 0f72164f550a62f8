//! Settings of every service, and the parsers of single settings.
//!
//! Every setting has a flag and a variable of the same name. A wrong value ends the process with exit
//! code 2 and a message that says what to write instead. Secrets never appear in `--help`, in logs or
//! in `Debug`.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use clap::Args;
use schemas::Currency;

use crate::lifecycle::Failure;

/// A text that must not be shown: a password, a key, or a URL that contains one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text itself, for the one call that needs it.
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

/// The names of the topics.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Topics")]
pub struct TopicSettings {
    /// Topic of order statuses: compacted, keyed by order id.
    #[arg(long, env = "ORDER_STATUS_TOPIC", default_value = "order-status", value_parser = identifier(MAX_TOPIC))]
    pub order_status_topic: String,

    /// Topic of vouchers: kept forever, keyed by order id.
    #[arg(long, env = "VOUCHERS_TOPIC", default_value = "vouchers", value_parser = identifier(MAX_TOPIC))]
    pub vouchers_topic: String,
}

impl TopicSettings {
    /// Returns the dead letter topic of order statuses.
    pub fn order_status_dead_letters(&self) -> String {
        dead_letters_of(&self.order_status_topic)
    }

    /// Returns the dead letter topic of vouchers.
    pub fn voucher_dead_letters(&self) -> String {
        dead_letters_of(&self.vouchers_topic)
    }
}

/// Returns the dead letter topic of `topic`.
pub fn dead_letters_of(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Returns the topic of the states of the dead letters in `dead_letters`.
pub fn states_of(dead_letters: &str) -> String {
    format!("{dead_letters}.state")
}

/// Kafka allows 249 characters; `.dlq.state` must still fit.
const MAX_TOPIC: usize = 249 - ".dlq.state".len();

/// Where a service listens for HTTP.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// Address of the API, health and metrics, such as 127.0.0.1:8080.
    #[arg(long, env = "HTTP_ADDR", value_parser = socket_address)]
    pub http_addr: Option<SocketAddr>,
}

impl HttpSettings {
    /// Returns the address that was set, or loopback with the service's default port.
    pub fn address(&self, default_port: u16) -> SocketAddr {
        self.http_addr
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], default_port)))
    }
}

/// Parses an address to listen on.
///
/// # Errors
/// What to write instead.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
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

/// Returns whether a text is a name with at most `max_length` characters that are legal everywhere: in
/// topics, transactional ids and file names.
pub fn is_identifier(text: &str, max_length: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= max_length && text.bytes().all(legal)
}

/// Returns a parser of names with at most `max_length` characters, see [`is_identifier`].
pub fn identifier(
    max_length: usize,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| {
        if is_identifier(text, max_length) {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "write 1 to {max_length} letters, digits, '.', '_' or '-'"
            ))
        }
    }
}

/// Parses the name of a consumer group.
///
/// # Errors
/// What to write instead.
pub fn group_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 249 || text.chars().any(char::is_control) {
        return Err("write 1 to 249 bytes without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a sentence that a person writes about what they do: a note, or a reason.
///
/// # Errors
/// What to write instead.
pub fn sentence(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) {
        return Err("write a sentence of at most 1 KiB, on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a currency.
///
/// # Errors
/// What to write instead.
pub fn currency(text: &str) -> Result<Currency, String> {
    text.parse()
        .map_err(|_| "write three letters such as EUR".to_owned())
}

/// Reads the file of a secret.
///
/// # Errors
/// Exit code 2, naming the variable and the file.
pub fn read_secret_file(variable: &str, path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::bad_setting(format!(
            "{variable}: cannot read {}: {error}",
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
        let topic = identifier(MAX_TOPIC);
        assert!(topic("order-status").is_ok());
        assert!(topic("").is_err());
        assert!(topic("orders/status").is_err());
        assert!(topic(&"a".repeat(MAX_TOPIC)).is_ok());
        assert!(topic(&"a".repeat(MAX_TOPIC + 1)).is_err());
    }

    #[test]
    fn a_sentence_is_one_line() {
        assert_eq!(sentence(" a test ").as_deref(), Ok("a test"));
        for wrong in ["", " ", "a\nb", &"a".repeat(1025)] {
            assert!(sentence(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_group_may_have_spaces_but_no_line_breaks() {
        assert!(group_name("processor of may").is_ok());
        for wrong in ["", "a\nb", &"a".repeat(250)] {
            assert!(group_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
