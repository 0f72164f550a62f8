//! The name of a campaign: part of a voucher's identity and of what its code is derived from.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A campaign's name: `[a-z0-9-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Campaign(String);

/// The text is no campaign's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a campaign's name is 1 to 64 of the characters a-z, 0-9 and -")]
pub struct InvalidCampaign;

impl Campaign {
    /// Returns whether `text` is a campaign's name.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Campaign {
    type Err = InvalidCampaign;

    fn from_str(text: &str) -> Result<Self, InvalidCampaign> {
        if Self::is_valid(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCampaign)
        }
    }
}

impl Deref for Campaign {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_is_1_to_64_lower_case_letters_digits_and_dashes() {
        let longest = "a".repeat(64);
        for text in ["order-reward", "spring-2027", "-", "0", &longest] {
            assert_eq!(text.parse::<Campaign>().unwrap().as_str(), text);
        }
        let too_long = "a".repeat(65);
        for text in ["", "Order", "a_b", "a b", "ä", "a\n", &too_long] {
            assert_eq!(text.parse::<Campaign>(), Err(InvalidCampaign), "{text:?}");
        }
    }
}
