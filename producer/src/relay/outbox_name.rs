//! The name of an outbox, for several outboxes that are published to one topic.

use std::fmt;
use std::str::FromStr;

use runtime::settings::is_identifier;

/// The maximum length of a name, in bytes.
const MAX_BYTES: usize = 100;

/// A part of the transactional ids of an outbox's relays: letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxName(String);

/// Why a text is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOutboxName {
    /// It is empty, too long, or has another character, such as a slash, which separates the parts of a
    /// transactional id.
    #[error("write 1 to {MAX_BYTES} letters, digits, '.', '_' or '-'")]
    Characters,
    /// It would result in the second transactional id of the outbox without a name.
    #[error("the name \"turn\" is taken: the outbox without a name uses it")]
    Turn,
}

impl FromStr for OutboxName {
    type Err = InvalidOutboxName;

    fn from_str(text: &str) -> Result<Self, InvalidOutboxName> {
        if !is_identifier(text, MAX_BYTES) {
            return Err(InvalidOutboxName::Characters);
        }
        if text == "turn" {
            return Err(InvalidOutboxName::Turn);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for OutboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_transactional_id() {
        let parse = str::parse::<OutboxName>;
        assert_eq!(parse("eu-west.2").unwrap().to_string(), "eu-west.2");
        for bad in ["", "a/b", "a b", "é", &"x".repeat(101)] {
            assert_eq!(parse(bad), Err(InvalidOutboxName::Characters), "{bad}");
        }
        assert_eq!(parse("turn"), Err(InvalidOutboxName::Turn));
    }
}
