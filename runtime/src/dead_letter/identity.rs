//! What a letter is known by: where the original was read.

use std::fmt;
use std::str::FromStr;

use crate::record::{Offset, Partition};

/// The original's place; written `topic/partition/offset`, since no topic's name has a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The topic that it was read from.
    pub topic: String,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
}

/// The text is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write topic/partition/offset, such as order-status/3/41")]
pub struct InvalidIdentity;

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let mut parts = text.split('/');
        let (Some(topic), Some(partition), Some(offset), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidIdentity);
        };
        if topic.is_empty() {
            return Err(InvalidIdentity);
        }
        Ok(Self {
            topic: topic.to_owned(),
            partition: number(partition)?,
            offset: number(offset)?,
        })
    }
}

/// A number as we print it: one way to write it, so that one letter has one key.
pub(super) fn number<T: FromStr + fmt::Display>(text: &str) -> Result<T, InvalidIdentity> {
    let number: T = text.parse().map_err(|_| InvalidIdentity)?;
    if number.to_string() == text && !text.starts_with('-') {
        Ok(number)
    } else {
        Err(InvalidIdentity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let identity = Identity {
            topic: "order-status".to_owned(),
            partition: 3,
            offset: 41,
        };
        assert_eq!(identity.to_string(), "order-status/3/41");
        assert_eq!("order-status/3/41".parse(), Ok(identity));
    }

    #[test]
    fn whatever_has_two_ways_to_be_written_is_none() {
        for text in [
            "",
            "a/3",
            "/3/4",
            "a/3/4/5",
            "a/03/4",
            "a/3/+4",
            "a/-1/4",
            "a/3/4 ",
            "a/3/9999999999999999999",
        ] {
            assert_eq!(text.parse::<Identity>(), Err(InvalidIdentity), "{text}");
        }
    }
}
