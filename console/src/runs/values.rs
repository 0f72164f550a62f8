//! Checks the values of requests by their type before they become words of a command: pure.

use processor::backfill::settings::MAX_NAME;
use runtime::dead_letter::OriginFilter;
use runtime::kafka::Bound;
use runtime::replay::Rate;
use runtime::settings::{identifier, is_identifier};
use schemas::{OrderId, Timestamp, decimal};

/// The maximum length of the reason of an action, in bytes. The note of a discarded dead letter has the
/// same limit.
const MAX_WHY: usize = 1024;

/// The maximum length of a dead letter's reason, in bytes.
const MAX_REASON: usize = 64;

/// Checks an order id.
pub(super) fn order_id(text: &str) -> Result<&str, String> {
    OrderId::new(text)
        .map(|_| text)
        .map_err(|error| error.to_string())
}

/// Checks the reason of an action: one sentence, as the commands require it.
pub(super) fn why(text: Option<&str>) -> Result<&str, String> {
    let text = text.unwrap_or_default().trim();
    if text.is_empty() || text.len() > MAX_WHY || text.contains(char::is_control) {
        return Err("why: write a sentence of at most 1 KiB, on one line".to_owned());
    }
    Ok(text)
}

/// Checks the reason of dead letters.
pub(super) fn reason(text: &str) -> Result<&str, String> {
    if !is_identifier(text, MAX_REASON) {
        return Err("reason: write one word, such as invalid_total".to_owned());
    }
    Ok(text)
}

/// Checks the id of a dead letter.
pub(super) fn dead_letter(text: &str) -> Result<&str, String> {
    // A comma would separate two ids, and a topic's name cannot contain one.
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'@');
    let id = text.parse::<OriginFilter>();
    if id.is_err() || !text.bytes().all(legal) {
        return Err(format!(
            "{}: write the id of a dead letter as the list shows it, such as order-status/3/41",
            schemas::printable(text)
        ));
    }
    Ok(text)
}

/// Checks the digest of what a preview selected.
pub(super) fn selection(text: &str) -> Result<&str, String> {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 16 || !text.bytes().all(is_hex) {
        return Err("selection: write the 16 hex digits that the preview returned".to_owned());
    }
    Ok(text)
}

/// Checks a bound of a range.
pub(super) fn bound<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    Bound::parse(text)
        .map(|_| text)
        .map_err(|why| format!("{name}: {why}"))
}

/// Checks the name of a backfill.
pub(super) fn name(text: &str) -> Result<&str, String> {
    identifier(MAX_NAME)(text)
        .map(|_| text)
        .map_err(|why| format!("name: {why}"))
}

/// Checks an amount of money, which is text so that it never is a binary float.
pub(super) fn money<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    decimal::parse(text)
        .map(|_| text)
        .map_err(|why| format!("{name}: {why}; write an amount such as 100.00"))
}

/// Checks a currency.
pub(super) fn currency(text: &str) -> Result<&str, String> {
    runtime::settings::currency(text)
        .map(|_| text)
        .map_err(|why| format!("currency: {why}"))
}

/// Checks a time.
pub(super) fn time<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    Timestamp::parse_rfc3339(text)
        .map(|_| text)
        .map_err(|_| format!("{name}: write a time with its zone, such as 2026-12-01T00:00:00Z"))
}

/// Checks the pace of a backfill: records a second, or `max`.
pub(super) fn rate(text: &str) -> Result<&str, String> {
    Rate::parse(text)
        .map(|_| text)
        .map_err(|why| format!("rate: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_their_type_pass_as_they_are() {
        assert_eq!(order_id("a/b c"), Ok("a/b c"));
        assert_eq!(why(Some("  wrong schema ")), Ok("wrong schema"));
        assert_eq!(reason("invalid_total"), Ok("invalid_total"));
        for id in [
            "3/41",
            "order-status/3/41",
            "order-status/3/41@0db467891ad02df3",
        ] {
            assert_eq!(dead_letter(id), Ok(id));
        }
        assert_eq!(bound("from", "-7d"), Ok("-7d"));
        assert_eq!(name("may.2_-"), Ok("may.2_-"));
        assert_eq!(money("amount", "7.50"), Ok("7.50"));
        assert_eq!(currency("EUR"), Ok("EUR"));
        for pace in ["100", "max"] {
            assert_eq!(rate(pace), Ok(pace));
        }
    }

    #[test]
    fn others_are_refused_with_what_to_write() {
        assert!(order_id("").is_err() && order_id("a\nb").is_err());
        for text in [None, Some(" "), Some("a\nb")] {
            assert!(why(text).unwrap_err().starts_with("why: "), "{text:?}");
        }
        assert!(why(Some(&"a".repeat(1025))).is_err());
        for text in ["", "a,b", "a b", "a/b"] {
            assert!(reason(text).is_err(), "{text}");
        }
        for text in ["", "3", "3/4,3/5", "a b/3/4", "a/3/4/5", "3/x", "--every"] {
            assert!(dead_letter(text).is_err(), "{text}");
        }
        assert!(
            bound("from", "yesterday")
                .unwrap_err()
                .starts_with("from: ")
        );
        assert!(name("a b").is_err() && name("").is_err());
        assert!(money("amount", "x").unwrap_err().starts_with("amount: "));
        assert!(currency("EURO").is_err());
        for text in ["0", "-1", "1.5", "fast", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(time("sent_from", "2026-12-01").is_err());
    }
}
